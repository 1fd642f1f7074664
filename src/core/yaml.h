// SPDX-License-Identifier: Apache-2.0
//
// YAML text to a tree of nodes that remember where they stood. libyaml finds the tokens; this composer decides what
// a configuration may contain: no key twice, no alias without an anchor, at most 100 levels, at most 10,000 nodes
// made by aliases, merge keys as go-yaml does them, one document and nothing behind it.
//
// The one idea: variables are replaced per scalar after scanning, so a value can never change the structure and
// every place still points into the file on disk.
//
// The invariant: a tree that is handed out is finite, acyclic and bounded, whatever the text was.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_tree.h"
#include "core/problem.h"

namespace goma::core::yaml {

enum class Type : unsigned char { scalar, sequence, mapping };
enum class Style : unsigned char { plain, quoted, block };

constexpr size_t max_file_size = core::max_file_size;
constexpr int max_depth = 100;
constexpr size_t max_alias_nodes = 10'000;
constexpr size_t max_nodes = 1'000'000;

struct Pair;

struct Node {
  Type type = Type::scalar;
  Style style = Style::plain;   // scalars only
  bool substituted = false;     // a variable was replaced in it: not to be quoted in messages
  bool secret = false;          // stands below a key that names a secret, or seems to: likewise
  std::string text;             // scalars: the value after substitution
  std::vector<Node*> items;     // sequences
  std::vector<Pair> pairs;      // mappings, in file order, merged keys last
  const std::string* file = nullptr;
  int line = 0, column = 0;     // of the first character, from 1
  int end_line = 0, end_column = 0;  // one past the last character
  size_t weight = 1;            // nodes in this subtree, aliases expanded
  int height = 1;               // levels in this subtree

  bool is_scalar() const { return type == Type::scalar; }
  bool is_sequence() const { return type == Type::sequence; }
  bool is_mapping() const { return type == Type::mapping; }
  // YAML's null: a plain scalar that is empty, ~ or null.
  bool is_null() const;
  // The token to point at: a scalar's whole text, a collection's first character.
  Place place() const;
  // The value of a key, or null. Exact comparison.
  const Node* find(std::string_view key) const;
  // The same, ASCII case ignored.
  const Node* ifind(std::string_view key) const;
};

struct Pair {
  Node* key = nullptr;
  Node* value = nullptr;
};

// Hides the scalars of a subtree in every line that findings show.
void hide(const Node& node, Problems& problems);

// One parsed file; owns its nodes.
class Document {
 public:
  explicit Document(std::string file) : file_(std::move(file)) {}
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  // The root, or null for an empty document.
  const Node* root() const { return root_; }
  const std::string& file() const { return file_; }

 private:
  friend class Composer;
  std::string file_;
  std::deque<Node> nodes_;
  Node* root_ = nullptr;
};

// Replaces variables in a scalar's text, or leaves it alone; true when it changed something. Called with every
// scalar, keys included.
using Substitute = std::function<bool(std::string& text)>;

// Parses the text; a byte order mark in front of it is none of it. Null when it is not acceptable; the reasons are in problems (the text is remembered there under
// `file`). An empty text is a document without a root. The text must outlive `problems`' last add().
std::unique_ptr<Document> parse(const std::string& file, std::string_view text, Problems& problems, const Substitute& substitute = {});

}  // namespace goma::core::yaml
