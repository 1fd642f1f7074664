// SPDX-License-Identifier: Apache-2.0
//
// The trie of path segments: built in order of registration, walked in order of specificity.
#include "http/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"
#include "core/text.h"
#include "http/route.h"

namespace goma::http {

namespace {

template <class Word>
uint64_t load(const char* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Eight bytes at a time. Keys come from the configuration alone, so nobody can aim for collisions. Never 0: that marks
// an empty slot.
uint64_t hash_of(uint32_t owner, std::string_view text) {
  constexpr uint64_t multiplier = 0x9e3779b97f4a7c15;
  const char* at = text.data();
  size_t left = text.size();
  uint64_t hash = (uint64_t{owner} << 32 ^ left) * multiplier;
  for (; left > 8; left -= 8, at += 8) hash = (hash ^ hash >> 32 ^ load<uint64_t>(at)) * multiplier;
  uint64_t tail = 0;
  if (left >= 4) {
    tail = load<uint32_t>(at) | load<uint32_t>(at + left - 4) << 32;
  } else if (left > 0) {
    tail = load<uint8_t>(at) | load<uint8_t>(at + left / 2) << 8 | load<uint8_t>(at + left - 1) << 16;
  }
  hash = (hash ^ hash >> 32 ^ tail) * multiplier;
  return (hash ^ hash >> 29) | 1;
}

// The part of a path between two slashes, and where its ";parameters" begin.
struct Segment {
  std::string_view text;
  std::string_view name;  // without parameters
  size_t end = 0;         // where it ends in the path
};

// Requires: at < path.size(); path[at] is the slash in front.
Segment segment_at(std::string_view path, size_t at) {
  const size_t begin = at + 1;
  size_t name_end = 0;
  size_t end = begin;
  for (; end < path.size() && path[end] != '/'; ++end) {
    if (path[end] == ';' && name_end == 0) name_end = end;
  }
  if (name_end == 0) name_end = end;
  return {{path.data() + begin, end - begin}, {path.data() + begin, name_end - begin}, end};
}

// Kinds of host patterns (goma-config 6.3) in the owner's upper half of the host table; the port is in the lower.
enum class HostKind : uint32_t { whole, one_label, labels, any };

constexpr uint32_t host_owner(HostKind kind, uint32_t port) { return static_cast<uint32_t>(kind) << 16 | port; }

struct HostText {
  std::string_view name;  // without a trailing dot; IPv6 with its brackets
  uint32_t port = 0;      // 0: none
};

// 0 for anything that is no port.
uint32_t port_number(std::string_view digits) {
  uint32_t port = 0;
  for (char c : digits) {
    if (!core::is_digit(c) || port > 6553) return 0;
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  return port <= 65535 ? port : 0;
}

// Host texts here were validated before; what looks odd simply serves nobody.
HostText split_host(std::string_view text) {
  size_t colon = text.starts_with('[') ? text.find(']') : 0;
  colon = text.find(':', std::min(colon, text.size()));
  HostText host{text.substr(0, colon), 0};
  if (colon != std::string_view::npos) host.port = port_number(text.substr(colon + 1));
  if (!host.name.empty() && host.name.back() == '.') host.name.remove_suffix(1);
  return host;
}

// A number as a table's key.
std::string_view key_of(const uint32_t& number) { return {reinterpret_cast<const char*>(&number), sizeof number}; }

bool is_parameter(std::string_view text) { return text.size() > 2 && text.front() == '{' && text.back() == '}'; }
bool is_rest(std::string_view text) { return is_parameter(text) && text.substr(0, text.size() - 1).ends_with("..."); }

std::string_view without_slashes(std::string_view path) {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return path;
}

core::Problem duplicate(const Route& route, const Route& first) {
  core::Problem problem;
  problem.severity = core::Severity::warning;
  problem.code = "duplicate-route";
  problem.message = fmt::format("route \"{}\" has the path and a host of route \"{}\"; the first one is kept, this one never serves",
                                route.name, first.name);
  if (route.conf != nullptr) problem.place = route.conf->path.place;
  if (first.conf != nullptr) problem.second = first.conf->path.place;
  problem.second_label = "first one here";
  return problem;
}

}  // namespace

// ---------------------------------------------------------------- tables

uint32_t Router::Table::find(uint32_t owner, std::string_view text) const {
  if (count_ == 0) return none;
  const size_t mask = slots_.size() - 1;
  const uint64_t hash = hash_of(owner, text);
  for (size_t i = hash >> 7 & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.hash == 0) return none;
    if (slot.hash == hash && slot.owner == owner && std::string_view(texts_.data() + slot.offset, slot.length) == text) return slot.value;
  }
}

void Router::Table::insert(uint32_t owner, std::string_view text, uint32_t value) {
  if ((count_ + 1) * 2 > slots_.size()) grow();
  place(Slot{hash_of(owner, text), owner, value, texts_.size(), text.size()});
  texts_ += text;
  ++count_;
}

void Router::Table::place(const Slot& slot) {
  const size_t mask = slots_.size() - 1;
  size_t i = slot.hash >> 7 & mask;
  while (slots_[i].hash != 0) i = (i + 1) & mask;
  slots_[i] = slot;
}

void Router::Table::grow() {
  std::vector<Slot> old(std::max<size_t>(16, slots_.size() * 2));
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.hash != 0) place(slot);
  }
}

// ---------------------------------------------------------------- building

void Router::add(const Route* route, int priority, std::string_view path, std::span<const core::PlacedText> hosts) {
  GOMA_CHECK(nodes_.empty());
  Registered& entry = registered_.emplace_back(Registered{route, priority, std::string(path), {}, false, true});
  for (const core::PlacedText& host : hosts) entry.hosts.push_back(host.text);
}

void Router::add_builtin(const Route* route, std::string_view path, bool below, std::string_view host) {
  GOMA_CHECK(nodes_.empty());
  Registered& entry = registered_.emplace_back(Registered{route, 0, std::string(path), {}, true, below});
  if (!host.empty()) entry.hosts.emplace_back(host);
}

void Router::compile(core::Problems& problems, bool strict_slash) {
  strict_slash_ = strict_slash;
  nodes_.push_back(Node{.parent = 0});
  std::stable_sort(registered_.begin(), registered_.end(), [](const Registered& a, const Registered& b) {
    return a.priority != b.priority ? a.priority < b.priority : a.builtin && !b.builtin;
  });
  for (const Registered& entry : registered_) install(entry, problems);
  settle_priorities();
  registered_.clear();
  registered_.shrink_to_fit();
}

void Router::install(const Registered& entry, core::Problems& problems) {
  const std::vector<uint32_t> leaves = make_leaves(entry);
  std::vector<uint32_t> hosts;
  for (const std::string& host : entry.hosts) hosts.push_back(make_host(host));
  if (hosts.empty() || std::find(hosts.begin(), hosts.end(), none) != hosts.end()) hosts = {none};
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  uint32_t builtin = none;
  if (entry.builtin) {
    builtin = static_cast<uint32_t>(builtins_.size());
    builtins_.push_back(entry.path);
  } else if (const Route* first = taken(leaves, hosts)) {
    problems.add(duplicate(*entry.route, *first));
    return;
  }
  for (uint32_t leaf : leaves) {
    leaves_[leaf].priority = std::min<int64_t>(leaves_[leaf].priority, entry.priority);
    for (uint32_t host : hosts) {
      uint32_t* link = make_chain(leaf, host);
      while (*link != none) link = &entries_[*link].next;
      *link = static_cast<uint32_t>(entries_.size());
      entries_.push_back({entry.route, builtin, none});
    }
  }
  ++served_;
}

// The patterns of a route: the end of its path and everything below; some
// built-ins have the end only, and "{rest...}" only what is below.
std::vector<uint32_t> Router::make_leaves(const Registered& entry) {
  uint32_t node = 0;
  const std::string_view path = without_slashes(entry.path);
  if (!path.empty()) {
    for (std::string_view segment : core::split(path, '/')) {
      if (is_rest(segment)) return {make_leaf(nodes_[node].rest)};
      node = make_child(node, segment);
    }
  }
  const uint32_t end = make_leaf(nodes_[node].end);
  if (!entry.below) return {end};
  return {end, make_leaf(nodes_[node].rest)};
}

uint32_t Router::make_child(uint32_t node, std::string_view segment) {
  const auto fresh = static_cast<uint32_t>(nodes_.size());
  if (is_parameter(segment)) {
    if (nodes_[node].param != none) return nodes_[node].param;
    nodes_[node].param = fresh;
  } else {
    const uint32_t known = edges_.find(node, segment);
    if (known != none) return known;
    edges_.insert(node, segment, fresh);
  }
  nodes_.push_back(Node{.parent = node});
  return fresh;
}

uint32_t Router::make_leaf(uint32_t& leaf) {
  if (leaf == none) {
    leaf = static_cast<uint32_t>(leaves_.size());
    leaves_.emplace_back();
  }
  return leaf;
}

// The number of a host pattern; none for one that serves any host.
uint32_t Router::make_host(std::string_view pattern) {
  HostText host = split_host(core::trim(pattern));
  HostKind kind = HostKind::whole;
  const size_t brace = host.name.starts_with('{') ? host.name.find('}') : 0;
  const size_t dot = std::min(host.name.find('.', std::min(brace, host.name.size())), host.name.size());
  const std::string_view first = host.name.substr(0, dot);
  if (first == "*" || is_parameter(first)) {
    const bool many = first == "*" || is_rest(first);
    kind = !many ? HostKind::one_label : dot == host.name.size() ? HostKind::any : HostKind::labels;
    host.name = dot == host.name.size() ? std::string_view() : host.name.substr(dot + 1);
    if (kind == HostKind::any && host.port == 0) return none;
    has_wildcards_ = true;
  }
  has_ports_ = has_ports_ || host.port != 0;
  const std::string name = core::to_lower(host.name);
  const uint32_t owner = host_owner(kind, host.port);
  const uint32_t known = hosts_.find(owner, name);
  if (known != none) return known;
  hosts_.insert(owner, name, host_count_);
  return host_count_++;
}

// Where the chain of a leaf and a host begins.
uint32_t* Router::make_chain(uint32_t leaf, uint32_t host) {
  if (host == none) return &leaves_[leaf].any_host;
  leaves_[leaf].has_hosts = true;
  uint32_t at = chain_table_.find(leaf, key_of(host));
  if (at == none) {
    at = static_cast<uint32_t>(chains_.size());
    chains_.push_back(none);
    chain_table_.insert(leaf, key_of(host), at);
  }
  return &chains_[at];
}

// The ordinary route that already has one of these places, or null.
const Route* Router::taken(const std::vector<uint32_t>& leaves, const std::vector<uint32_t>& hosts) {
  for (uint32_t leaf : leaves) {
    for (uint32_t host : hosts) {
      for (uint32_t at = *make_chain(leaf, host); at != none; at = entries_[at].next) {
        if (entries_[at].builtin == none) return entries_[at].route;
      }
    }
  }
  return nullptr;
}

// Children have higher numbers than their parents, so one pass from the back suffices.
void Router::settle_priorities() {
  const auto priority = [this](uint32_t leaf) { return leaf == none ? INT64_MAX : leaves_[leaf].priority; };
  for (size_t i = nodes_.size(); i > 0; --i) {
    Node& node = nodes_[i - 1];
    node.lowest = std::min({node.lowest, priority(node.end), priority(node.rest)});
    nodes_[node.parent].lowest = std::min(nodes_[node.parent].lowest, node.lowest);
  }
}

// ---------------------------------------------------------------- finding

// The host patterns that serve a request, most specific first.
struct Router::Hosts {
    static constexpr size_t max_name = 256;
  Hosts() {}                                  // leaves ids as they are: a kilobyte nobody reads
  std::array<uint32_t, max_name + 8> ids;     // two for every dot, and the whole name's and any's
  size_t count = 0;
  uint32_t probes = 0;
  bool resolved = false;
};

struct Router::Walk {
  Walk(std::string_view h, std::string_view p, std::string_view m) : host(h), path(p), method(m) {}
  std::string_view host;
  std::string_view path;
  std::string_view method;
  int64_t best = INT64_MAX;            // priority of what was found
  const Route* found = nullptr;
  uint32_t endpoint = none;            // its place in builtins_, when it is one
  bool wrong_method = false;           // a built-in would have served other methods
  uint32_t probes = 0;
  Hosts hosts;
};

void Router::resolve_hosts(std::string_view text, Hosts& into) const {
  into.resolved = true;
  const HostText host = split_host(text);
  std::array<char, Hosts::max_name> lowered;
  if (host.name.size() > lowered.size()) return;
  for (size_t i = 0; i < host.name.size(); ++i) lowered[i] = core::lower(host.name[i]);
  const std::string_view name(lowered.data(), host.name.size());
  const uint32_t port = has_ports_ ? host.port : 0;
  const auto ask_one = [&](uint32_t owner, std::string_view suffix) {
    ++into.probes;
    const uint32_t id = hosts_.find(owner, suffix);
    if (id != none) into.ids[into.count++] = id;
  };
  const auto ask = [&](HostKind kind, std::string_view suffix) {
    if (port != 0) ask_one(host_owner(kind, port), suffix);
    ask_one(host_owner(kind, 0), suffix);
  };
  ask(HostKind::whole, name);
  if (!has_wildcards_) return;
  size_t dot = name.find('.');
  if (dot != 0) ask(HostKind::one_label, dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1));
  for (; dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    if (dot > 0) ask(HostKind::labels, name.substr(dot + 1));
  }
  ask(HostKind::any, {});
}

bool Router::try_chain(Walk& walk, uint32_t at) const {
  for (; at != none; at = entries_[at].next) {
    const Entry& entry = entries_[at];
    if (entry.builtin != none && walk.method != "GET" && walk.method != "HEAD") {
      walk.wrong_method = true;
      continue;
    }
    walk.found = entry.route;
    walk.endpoint = entry.builtin;
    return true;
  }
  return false;
}

uint32_t Router::find_chain(Walk& walk, uint32_t leaf, uint32_t host) const {
  ++walk.probes;
  const uint32_t at = chain_table_.find(leaf, key_of(host));
  return at == none ? none : chains_[at];
}

void Router::try_leaf(Walk& walk, uint32_t index) const {
  if (index == none) return;
  const Leaf& leaf = leaves_[index];
  if (leaf.priority >= walk.best) return;
  bool served = false;
  if (leaf.has_hosts) {
    if (!walk.hosts.resolved) resolve_hosts(walk.host, walk.hosts);
    for (size_t i = 0; i < walk.hosts.count && !served; ++i) served = try_chain(walk, find_chain(walk, index, walk.hosts.ids[i]));
  }
  if (served || try_chain(walk, leaf.any_host)) walk.best = leaf.priority;
}

// Looks below a node; `at` is the slash in front of what is left of the path, or its end. Recurses once per segment
// of a configured pattern, never more often.
void Router::walk_node(Walk& walk, uint32_t index, size_t at) const {
  const Node& node = nodes_[index];
  if (node.lowest >= walk.best) return;
  const size_t size = walk.path.size();
  const bool below = at < size;
  Segment s;
  uint32_t literal = none;
  for (; at < size; at = s.end) {
    s = segment_at(walk.path, at);
    ++walk.probes;
    literal = edges_.find(index, s.text);
    if (literal != none || !s.name.empty() || s.text.empty()) break;  // else only parameters: as if it were not there
  }
  if (at < size) {
    if (literal != none) walk_node(walk, literal, s.end);
    if (!s.name.empty() && s.name.size() != s.text.size()) {
      ++walk.probes;
      literal = edges_.find(index, s.name);
      if (literal != none) walk_node(walk, literal, s.end);
    }
    if (node.param != none && !s.name.empty()) walk_node(walk, node.param, s.end);
  } else {
    try_leaf(walk, node.end);
  }
  if (below) try_leaf(walk, node.rest);
}

Router::Match Router::find(std::string_view host, std::string_view path, std::string_view method) const {
  Match match;
  Walk walk(host, path, method);
  if (path == "*") {
    try_leaf(walk, nodes_[0].rest);
  } else if (path.empty() || path.front() == '/') {
    walk_node(walk, 0, path == "/" ? 1 : 0);
  }
  match.probes = walk.probes + walk.hosts.probes;
  match.route = walk.found;
  if (walk.found != nullptr) return match;
  if (walk.wrong_method) {
    match.method_mismatch = true;
    match.allow = "GET, HEAD";
  } else if (strict_slash_ && path.size() > 1 && path.back() == '/') {
    Walk other(host, path.substr(0, path.size() - 1), method);
    walk_node(other, 0, other.path == "/" ? 1 : 0);
    if (other.endpoint != none) match.redirect = builtins_[other.endpoint];
  }
  return match;
}

}  // namespace goma::http
