// SPDX-License-Identifier: Apache-2.0
//
// The composer: events in, nodes out, limits applied while going, so that a hostile file stops early instead of
// being built first and judged later. An alias shares the node of its anchor; what it would cost when expanded is
// counted as if it were copied.
#include "core/yaml.h"

#include <fmt/format.h>
#include <yaml.h>

#include <cstring>
#include <optional>
#include <unordered_map>

#include "core/text.h"
#include "core/variable.h"
#include "core/yaml_trap.h"

namespace goma::core::yaml {

bool Node::is_null() const {
  if (type != Type::scalar || style != Style::plain) return false;
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

Place Node::place() const {
  const bool one_line = is_scalar() && end_line == line && end_column > column;
  return Place{file == nullptr ? std::string() : *file, line, column, one_line ? end_column : column + 1};
}

const Node* Node::find(std::string_view key) const {
  for (const Pair& pair : pairs) {
    if (pair.key->text == key) return pair.value;
  }
  return nullptr;
}

const Node* Node::ifind(std::string_view key) const {
  for (const Pair& pair : pairs) {
    if (iequals(pair.key->text, key)) return pair.value;
  }
  return nullptr;
}

void hide(const Node& node, Problems& problems) {
  if (node.is_scalar() && node.file != nullptr) problems.hide(Place{*node.file, node.line, node.column, 0}, node.end_line, node.end_column);
  for (const Node* item : node.items) hide(*item, problems);
  for (const Pair& pair : node.pairs) {
    hide(*pair.key, problems);
    hide(*pair.value, problems);
  }
}

namespace {

// libyaml's parser and its current event, released whatever happens.
class Events {
 public:
  explicit Events(std::string_view text) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  ~Events() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }
  // The next event; false when the text cannot be read any further.
  bool next() {
    yaml_event_delete(&event_);
    return yaml_parser_parse(&parser_, &event_) == 1;
  }
  const yaml_event_t& event() const { return event_; }
  const yaml_parser_t& parser() const { return parser_; }

 private:
  yaml_parser_t parser_;
  yaml_event_t event_{};
};

std::string_view view(const yaml_char_t* text) { return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text); }

}  // namespace

class Composer {
 public:
  Composer(Document& document, std::string_view text, Problems& problems, const Substitute& substitute)
      : document_(document), text_(text), problems_(problems), substitute_(substitute), events_(text) {}

  // Builds the first document. False after adding a problem.
  bool run();

 private:
  bool next();
  Node* compose(int depth);
  Node* compose_scalar();
  Node* compose_sequence(int depth);
  Node* compose_mapping(int depth);
  Node* compose_alias(int depth);
  bool add_pair(Node& mapping, Node* key, Node* value, std::vector<Node*>& merges);
  bool merge(Node& mapping, const Node& from);
  bool merge_all(Node& mapping, const std::vector<Node*>& merges);
  bool check_duplicates(const Node& mapping);
  bool is_secret(const std::string& key);
  void keep_secret(Node& node);
  Node* make(Type type);
  void finish(Node* node, const std::string& anchor);
  Node* fail(std::string code, const Node& node, std::string message, std::string hint = {});
  bool judge_rest();
  bool is_empty_rest();

  Document& document_;
  std::string_view text_;
  Problems& problems_;
  const Substitute& substitute_;
  Events events_;
  std::unordered_map<std::string, Node*> anchors_;
  std::unordered_map<std::string, bool> asked_;  // keys: whether they name a secret
  size_t alias_nodes_ = 0;
  bool in_brackets_ = false;  // the document is a { } or [ ], as JSON is
  std::vector<Level> levels_;  // block mappings from the outside in; those beyond open_ are closed already
  size_t open_ = 0;
};

bool Composer::next() {
  if (events_.next()) return true;
  report_trap(document_.file_, text_, events_.parser(), levels_, problems_);
  return false;
}

Node* Composer::make(Type type) {
  Node& node = document_.nodes_.emplace_back();
  const yaml_event_t& event = events_.event();
  node.type = type;
  node.file = &document_.file_;
  node.line = static_cast<int>(event.start_mark.line) + 1;
  node.column = static_cast<int>(event.start_mark.column) + 1;
  node.end_line = static_cast<int>(event.end_mark.line) + 1;
  node.end_column = static_cast<int>(event.end_mark.column) + 1;
  return &node;
}

Node* Composer::fail(std::string code, const Node& node, std::string message, std::string hint) {
  problems_.error(std::move(code), node.place(), std::move(message), std::move(hint));
  return nullptr;
}

// Known under its anchor only now: an alias inside its own anchor finds nothing, so the tree has no cycle.
void Composer::finish(Node* node, const std::string& anchor) {
  if (!anchor.empty()) anchors_[anchor] = node;
}

Node* Composer::compose_scalar() {
  Node* node = make(Type::scalar);
  const auto& scalar = events_.event().data.scalar;
  node->text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
  const bool block = scalar.style == YAML_LITERAL_SCALAR_STYLE || scalar.style == YAML_FOLDED_SCALAR_STYLE;
  node->style = scalar.style == YAML_PLAIN_SCALAR_STYLE ? Style::plain : (block ? Style::block : Style::quoted);
  if (substitute_) node->substituted = substitute_(node->text);
  if (node->substituted && !node->text.empty()) problems_.conceal(node->place(), node->text);
  finish(node, std::string(view(scalar.anchor)));
  return node;
}

Node* Composer::compose_alias(int depth) {
  const std::string name(view(events_.event().data.alias.anchor));
  const auto found = anchors_.find(name);
  if (found == anchors_.end()) {
    const Node& alias = *make(Type::scalar);
    const std::string shown = problems_.shown(alias.place(), name);
    return fail("yaml-alias", alias, fmt::format("the alias \"*{}\" has no anchor \"&{}\" before it", shown, shown), fmt::format("if it is meant as text, quote it: \"*{}\"", shown));
  }
  Node* node = found->second;
  alias_nodes_ += node->weight;
  if (alias_nodes_ > max_alias_nodes) {
    return fail("yaml-limit", *make(Type::scalar), fmt::format("the aliases of this file stand for more than {} nodes", max_alias_nodes));
  }
  if (depth + node->height > max_depth) return fail("yaml-limit", *make(Type::scalar), fmt::format("nested deeper than {} levels", max_depth));
  return node;
}

Node* Composer::compose_sequence(int depth) {
  Node* node = make(Type::sequence);
  const std::string anchor(view(events_.event().data.sequence_start.anchor));
  while (true) {
    if (!next()) return nullptr;
    if (events_.event().type == YAML_SEQUENCE_END_EVENT) break;
    Node* item = compose(depth + 1);
    if (item == nullptr) return nullptr;
    node->items.push_back(item);
    node->weight += item->weight;
    node->height = std::max(node->height, item->height + 1);
  }
  finish(node, anchor);
  return node;
}

bool Composer::merge(Node& mapping, const Node& from) {
  for (const Pair& pair : from.pairs) {
    if (mapping.find(pair.key->text) == nullptr) mapping.pairs.push_back(pair);
  }
  return true;
}

bool Composer::merge_all(Node& mapping, const std::vector<Node*>& merges) {
  for (const Node* from : merges) {
    if (from->is_mapping()) {
      merge(mapping, *from);
      continue;
    }
    for (const Node* item : from->items) {
      if (!item->is_mapping()) return fail("yaml-merge", *item, "\"<<\" merges mappings only") != nullptr;
      merge(mapping, *item);
    }
    if (!from->is_sequence()) return fail("yaml-merge", *from, "\"<<\" wants a mapping, or a list of mappings, usually an alias") != nullptr;
  }
  return true;
}

// All duplicates of a mapping are told, then it is refused.
bool Composer::check_duplicates(const Node& mapping) {
  std::unordered_map<std::string_view, const Node*> first;
  bool unique = true;
  for (const Pair& pair : mapping.pairs) {
    const auto [entry, added] = first.try_emplace(pair.key->text, pair.key);
    if (added) continue;
    Problem problem;
    problem.code = "duplicate-key";
    problem.place = pair.key->place();
    problem.message = fmt::format("the key \"{}\" stands twice in one mapping", problems_.shown(pair.key->place(), pair.key->text));
    problem.hint = "second one here";
    problem.second = entry->second->place();
    problem.second_label = "first one here";
    problems_.add(std::move(problem));
    unique = false;
  }
  return unique;
}

// Keys repeat, so each is judged once.
bool Composer::is_secret(const std::string& key) {
  const auto [entry, added] = asked_.try_emplace(key);
  if (added) entry->second = resembles_secret(key);
  return entry->second;
}

// An anchor's node is shared with its aliases: the place of the anchor becomes a secret too.
void Composer::keep_secret(Node& node) {
  if (node.secret) return;
  node.secret = true;
  if (node.is_scalar() && (node.substituted || !only_names_variables(node.text))) {
    hide(node, problems_);
    if (!node.text.empty()) problems_.conceal(node.place(), node.text);
  }
  for (Node* item : node.items) keep_secret(*item);
  for (Pair& pair : node.pairs) {
    keep_secret(*pair.key);
    keep_secret(*pair.value);
  }
}

bool Composer::add_pair(Node& mapping, Node* key, Node* value, std::vector<Node*>& merges) {
  if (!key->is_scalar()) return fail("yaml-key", *key, "a key must be plain text, not a list or a mapping") != nullptr;
  if (is_secret(key->text)) keep_secret(*value);
  mapping.weight += key->weight + value->weight;
  mapping.height = std::max(mapping.height, value->height + 1);
  if (key->style == Style::plain && key->text == "<<") {
    merges.push_back(value);
  } else {
    mapping.pairs.push_back({key, value});
  }
  return true;
}

Node* Composer::compose_mapping(int depth) {
  Node* node = make(Type::mapping);
  const auto& start = events_.event().data.mapping_start;
  const std::string anchor(view(start.anchor));
  const bool block = start.style == YAML_BLOCK_MAPPING_STYLE;
  std::vector<Node*> merges;
  if (block) {
    levels_.resize(open_++);
    levels_.push_back({node->column - 1, {}, levels_.empty() ? std::string() : levels_.back().key});
  }
  while (true) {
    if (!next()) return nullptr;
    if (events_.event().type == YAML_MAPPING_END_EVENT) break;
    Node* key = compose(depth + 1);
    if (key == nullptr) return nullptr;
    if (block) levels_[open_ - 1].key = key->text;
    if (!next()) return nullptr;
    Node* value = compose(depth + 1);
    if (value == nullptr || !add_pair(*node, key, value, merges)) return nullptr;
  }
  if (block) --open_;
  if (!check_duplicates(*node) || !merge_all(*node, merges)) return nullptr;
  finish(node, anchor);
  return node;
}

Node* Composer::compose(int depth) {
  const yaml_event_type_t type = events_.event().type;
  if (depth > max_depth) return fail("yaml-limit", *make(Type::scalar), fmt::format("nested deeper than {} levels", max_depth));
  if (document_.nodes_.size() > max_nodes) return fail("yaml-limit", *make(Type::scalar), fmt::format("more than {} values in one file", max_nodes));
  switch (type) {
    case YAML_SCALAR_EVENT: return compose_scalar();
    case YAML_SEQUENCE_START_EVENT: return compose_sequence(depth);
    case YAML_MAPPING_START_EVENT: return compose_mapping(depth);
    default: return compose_alias(depth);
  }
}

// Goma reads the first document only; half a configuration that is left out may be the half that protects.
bool Composer::judge_rest() {
  if (!next()) return false;
  const bool ended = events_.event().data.document_end.implicit == 0;
  const int end_line = static_cast<int>(events_.event().start_mark.line) + 1;
  const bool good = events_.next();
  if (good && events_.event().type == YAML_STREAM_END_EVENT) return true;
  const yaml_mark_t mark = good ? events_.event().start_mark : events_.parser().problem_mark;
  const Place place{document_.file_, static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1, 0};
  if (!good && !ended && !in_brackets_) {
    report_trap(document_.file_, text_, events_.parser(), levels_, problems_);
    return false;
  }
  if (good && is_empty_rest()) return true;
  if (good) {
    problems_.error("yaml-documents", place, "a second document begins here, and of a file only the first one is read", "remove it, or make it a file of gateway.extraConfig.directory");
  } else if (ended) {
    problems_.error("yaml-documents", place, fmt::format("there is text after the end of the document, which is the \"...\" in line {}", end_line), "remove the \"...\", or what follows it");
  } else {
    problems_.error("yaml-documents", place, "there is text after the end of the document", "remove it; is a bracket too many?");
  }
  return false;
}

// A "---" with nothing behind it.
bool Composer::is_empty_rest() {
  if (!events_.next() || events_.event().type != YAML_SCALAR_EVENT || events_.event().data.scalar.length != 0) return false;
  return events_.next() && events_.next() && events_.event().type == YAML_STREAM_END_EVENT;
}

bool Composer::run() {
  if (!next() || !next()) return false;  // stream start, document start
  if (events_.event().type == YAML_STREAM_END_EVENT) return true;
  if (!next()) return false;
  const yaml_event_t& first = events_.event();
  in_brackets_ = (first.type == YAML_MAPPING_START_EVENT && first.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE) ||
                 (first.type == YAML_SEQUENCE_START_EVENT && first.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
  document_.root_ = compose(1);
  if (document_.root_ == nullptr) return false;
  return judge_rest();
}

namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

// Files that were joined have one in the middle, where it would become part of a key.
std::optional<size_t> find_lost_mark(std::string_view text) {
  if (text.starts_with(byte_order_mark)) return 0;
  const size_t at = text.find(std::string("\n").append(byte_order_mark));
  return at == std::string_view::npos ? std::nullopt : std::optional<size_t>(at + 1);
}

}  // namespace

std::unique_ptr<Document> parse(const std::string& file, std::string_view text, Problems& problems, const Substitute& substitute) {
  if (std::optional<Problem> foreign = foreign_encoding(file, text)) {
    problems.add(std::move(*foreign));
    return nullptr;
  }
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  problems.remember(file, text);
  if (text.size() > max_file_size) {
    problems.error("file-too-large", Place{file, 0, 0, 0}, fmt::format("the file has {} bytes; a configuration has at most {}", text.size(), max_file_size));
    return nullptr;
  }
  if (const void* nul = std::memchr(text.data(), 0, text.size()); nul != nullptr && !text.empty()) {
    const auto offset = static_cast<size_t>(static_cast<const char*>(nul) - text.data());
    problems.error("yaml-encoding", place_of_offset(file, text, offset), "a NUL byte cannot stand in a configuration", "is this a text file?");
    return nullptr;
  }
  if (const auto lost = find_lost_mark(text)) {
    problems.error("yaml-encoding", place_of_offset(file, text, *lost), "a byte order mark stands in the middle of the file", "remove it: it is invisible, and belongs to the very beginning or nowhere");
    return nullptr;
  }
  auto document = std::make_unique<Document>(file);
  const size_t before = problems.errors();
  Composer composer(*document, text, problems, substitute);
  return composer.run() && problems.errors() == before ? std::move(document) : nullptr;
}

}  // namespace goma::core::yaml
