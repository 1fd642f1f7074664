// SPDX-License-Identifier: Apache-2.0
//
// Request targets (RFC 3986): one canonical form of a path before anybody judges it, and the few operations on paths
// that routing and forwarding need.
//
// A canonical path is `encoded` as backends get it: dot segments and repeated slashes are resolved, every
// percent-encoding stays as it was sent, and what RFC 3986 lets nobody write is percent-encoded. Rules look at its
// readings, all decoded exactly once ("%252F" reads "%2F" and is no separator). As written, an encoded slash stays "%2F"
// and an encoded backslash is a byte of a name. Backends decode them, some merge what becomes of that, and some take a
// backslash for a slash: a path with either in it has further readings, one for each way it can be understood. What
// cannot be told apart by reading on (encoded dot segments, "..;", raw backslashes, overlong UTF-8, control bytes) is refused.
//
// The invariant: whatever a backend makes of a path is one of its readings, or the path is refused; canonical paths are
// fixed points. Who protects something asks for any reading, who exempts something for all of them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/arena.h"
#include "core/text.h"

namespace goma::http {

// What becomes of an encoded slash or backslash in a client's path (networking.encodedSlash).
enum class EncodedSlash : uint8_t {
  keep,    // it goes to the backend as it is
  refuse,
  decode,  // it is a slash before anybody looks, and goes to the backend as one
};

struct CanonicalPath {
  bool ok = false;           // false: answer 400 and tell `fault`; the texts are empty
  bool changed = false;      // encoded is not what was given
  std::string_view encoded;  // starts with '/', or is "*"
  std::string_view decoded;  // as written
  std::span<const std::string_view> others;  // the further readings; none of an ordinary path
  std::string_view fault;    // a short name for metrics; static

  // Whether it holds for one of the readings. judge: std::string_view -> bool.
  template <class Judge>
  bool any(Judge judge) const {
    if (judge(decoded)) return true;
    for (const std::string_view reading : others) {
      if (judge(reading)) return true;
    }
    return false;
  }
  // Whether it holds for all of them.
  template <class Judge>
  bool all(Judge judge) const {
    return !any([&](std::string_view reading) { return !judge(reading); });
  }
};

// The canonical form of a path as sent, without its query (goma-config 6.1). An empty one is "/". Copies nothing when there is
// nothing to change or decode.
CanonicalPath canonical_path(std::string_view raw, core::Arena& arena, EncodedSlash slash = EncodedSlash::keep);

// The same path with its texts in another arena.
CanonicalPath copy_path(const CanonicalPath& path, core::Arena& arena);

// Base and path with exactly one slash between them. An empty base gives the path.
std::string_view join_paths(std::string_view base, std::string_view path, core::Arena& arena);

// What a route's `rewrite` makes of a path (goma-config 7.3), encoded: when the decoded path starts with `prefix` (plain text), the
// prefix is replaced by `rewrite` and the result is cleaned; the rest keeps its percent-encoding. Otherwise the path itself.
std::string_view rewrite_prefix(std::string_view prefix, std::string_view rewrite, const CanonicalPath& path, core::Arena& arena);

// Walks over the name=value pairs of a query, still encoded: for (const Parameter& p : Query(text)). Pairs are separated by
// '&'; empty ones are skipped.
struct Parameter {
  std::string_view name;
  std::string_view value;
  bool has_value;  // there was a '='
};
class Query {
 public:
  explicit Query(std::string_view text) : text_(text) {}

  class Iterator {
   public:
    explicit Iterator(std::string_view rest) : rest_(rest) { advance(); }
    const Parameter& operator*() const { return now_; }
    Iterator& operator++() {
      advance();
      return *this;
    }
    // Only good for comparing with the end.
    bool operator!=(const Iterator&) const { return !done_; }

   private:
    void advance();
    std::string_view rest_;
    Parameter now_{};
    bool done_ = false;
  };
  Iterator begin() const { return Iterator(text_); }
  Iterator end() const { return Iterator({}); }

 private:
  std::string_view text_;
};

// The text with every byte percent-encoded that may not stand in a path (RFC 3986 3.3), a '%' included; '/' stays when told.
std::string_view percent_encode(std::string_view text, core::Arena& arena, bool keep_slash = true);

// Whether a byte may stand in a path or a query (RFC 3986 3.3, 3.4), '%' included.
constexpr bool is_uri_char(char c) {
  return core::is_alpha(c) || core::is_digit(c) || std::string_view("-._~!$&'()*+,;=:@/?%").find(c) != std::string_view::npos;
}
// A path or a query with every other byte percent-encoded; what is encoded already stays as it is, well-formed or not.
// Copies nothing when there is nothing to encode.
std::string_view encode_strays(std::string_view text, core::Arena& arena);

}  // namespace goma::http
