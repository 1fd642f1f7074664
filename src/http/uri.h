// SPDX-License-Identifier: Apache-2.0
//
// Request targets (RFC 3986): one canonical form of a path before anybody judges it, and the few operations on paths
// and authorities that routing and forwarding need.
//
// A canonical path has two views. `encoded` is what backends get: dot segments and repeated slashes are resolved, every
// percent-encoding stays as it was sent. `decoded` is what rules look at: everything decoded exactly once, except that
// an encoded slash stays "%2F" and so never separates segments. What decoders are known to disagree about (encoded
// dot segments, "..;", backslashes, overlong UTF-8, control bytes) is refused.
//
// The invariant: two spellings of a path that a backend could treat as one have the same decoded view, or one of them
// is refused; canonical paths are fixed points.
#pragma once

#include <string_view>

#include "core/arena.h"

namespace goma::http {

struct CanonicalPath {
  bool ok = false;           // false: answer 400; the rest is empty
  bool changed = false;      // encoded is not what was given
  std::string_view encoded;  // starts with '/', or is "*"
  std::string_view decoded;
};

// The canonical form of a path as sent, without its query (goma-config 6.1). An empty one is "/". Copies nothing when there is
// nothing to change or decode.
CanonicalPath canonical_path(std::string_view raw, core::Arena& arena);

// Base and path with exactly one slash between them. An empty base gives the path.
std::string_view join_paths(std::string_view base, std::string_view path, core::Arena& arena);

// What a route's `rewrite` makes of a path (goma-config 7.3), encoded: when the decoded path starts with `prefix` (plain text), the
// prefix is replaced by `rewrite` and the result is cleaned; the rest keeps its percent-encoding. Otherwise the path itself.
std::string_view rewrite_prefix(std::string_view prefix, std::string_view rewrite, const CanonicalPath& path, core::Arena& arena);

// Whether this is host[:port] as goma accepts it in Host and absolute targets (RFC 9110 7.2): a name of letters, digits, '-', '.',
// '_', '~', an IPv4 address or a bracketed IPv6 address, and a port up to 65535. User information is refused.
bool validate_authority(std::string_view authority);

struct HostPort {
  std::string_view host;  // with the brackets of an IPv6 address
  std::string_view port;  // digits; empty when absent
};
// Takes an authority apart. Requires: validate_authority.
HostPort split_host_port(std::string_view authority);

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

}  // namespace goma::http
