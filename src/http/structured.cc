// SPDX-License-Identifier: Apache-2.0
//
// One cursor over the text, a function per rule of the grammar.
#include "http/structured.h"

#include <algorithm>

#include "core/text.h"
#include "http/h1_parser.h"

namespace goma::http {

namespace {

using Kind = DictionaryMember::Kind;

bool is_key_start(char c) { return (c >= 'a' && c <= 'z') || c == '*'; }
bool is_key_char(char c) { return is_key_start(c) || core::is_digit(c) || c == '_' || c == '-' || c == '.'; }

class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  char head() const { return rest_.empty() ? '\0' : rest_.front(); }
  void skip(std::string_view chars) { rest_.remove_prefix(std::min(rest_.find_first_not_of(chars), rest_.size())); }
  bool take(char c) {
    if (head() != c || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool key(std::string_view& name) {
    if (!is_key_start(head())) return false;
    name = while_(is_key_char);
    return true;
  }
  bool item(Kind& kind, std::string_view& text) { return bare_item(kind, text) && parameters(); }
  bool parameters() {
    while (take(';')) {
      skip(" ");
      std::string_view name, text;
      Kind kind{};
      if (!key(name) || (take('=') && !bare_item(kind, text))) return false;
    }
    return true;
  }
  bool inner_list() {
    while (true) {
      skip(" ");
      if (take(')')) return parameters();
      std::string_view text;
      Kind kind{};
      if (!item(kind, text) || (head() != ' ' && head() != ')')) return false;
    }
  }

 private:
  template <class Is>
  std::string_view while_(Is is) {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is);
    const std::string_view taken = rest_.substr(0, static_cast<size_t>(end - rest_.begin()));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  bool bare_item(Kind& kind, std::string_view& text) {
    const char c = head();
    if (c == '"') return string(kind, text);
    if (c == '-' || core::is_digit(c)) return number(kind, text);
    kind = Kind::other;
    if (c == '?') return boolean(kind);
    if (take(':')) {
      while_([](char b) { return core::is_alpha(b) || core::is_digit(b) || b == '+' || b == '/' || b == '='; });
      return take(':');
    }
    if (c != '*' && !core::is_alpha(c)) return false;
    while_([](char t) { return is_token_char(t) || t == ':' || t == '/'; });
    return true;
  }
  bool boolean(Kind& kind) {
    take('?');
    kind = head() == '1' ? Kind::yes : Kind::no;
    return take('1') || take('0');
  }
  bool number(Kind& kind, std::string_view& text) {
    const char* begin = rest_.data();
    take('-');
    const size_t whole = while_(core::is_digit).size();
    if (whole == 0 || whole > 15) return false;
    kind = Kind::integer;
    text = {begin, static_cast<size_t>(rest_.data() - begin)};
    if (!take('.')) return true;
    kind = Kind::other;
    text = {};
    const size_t fraction = while_(core::is_digit).size();
    return whole <= 12 && fraction >= 1 && fraction <= 3;
  }
  bool string(Kind& kind, std::string_view& text) {
    kind = Kind::string;
    take('"');
    const char* begin = rest_.data();
    for (; !rest_.empty(); rest_.remove_prefix(1)) {
      const char c = rest_.front();
      if (c == '"') {
        text = {begin, static_cast<size_t>(rest_.data() - begin)};
        return take('"');
      }
      if (c < 0x20 || c == 0x7f) return false;
      if (c != '\\') continue;
      rest_.remove_prefix(1);
      if (head() != '"' && head() != '\\') return false;
    }
    return false;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<std::vector<DictionaryMember>> parse_dictionary(std::string_view text) {
  std::vector<DictionaryMember> members;
  Cursor at(text);
  at.skip(" ");
  while (!at.done()) {
    DictionaryMember m;
    if (!at.key(m.name)) return std::nullopt;
    if (at.take('=')) {
      if (at.take('(')) m.kind = Kind::other;
      if (m.kind == Kind::other ? !at.inner_list() : !at.item(m.kind, m.text)) return std::nullopt;
    } else if (!at.parameters()) {
      return std::nullopt;
    }
    std::erase_if(members, [&m](const DictionaryMember& before) { return before.name == m.name; });
    members.push_back(m);
    at.skip(" \t");
    if (at.done()) break;
    if (!at.take(',')) return std::nullopt;
    at.skip(" \t");
    if (at.done()) return std::nullopt;  // a comma at the end
  }
  return members;
}

}  // namespace goma::http
