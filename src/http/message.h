// SPDX-License-Identifier: Apache-2.0
//
// What a request and a response say before their content (RFC 9110 6.2), understood: method, target in its parts,
// status, fields, and how the content is delimited. Values without behaviour; the parser fills them, the writer and
// everybody else read them. All text is views into the arena of the exchange.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/arena.h"
#include "http/headers.h"

namespace goma::http {

enum class Method : uint8_t { get, head, post, put, delete_, connect, options, trace, patch, other };

// "GET" and so on; "OTHER" for `other`.
std::string_view method_name(Method method);
// The number of a method name; case matters (RFC 9110 9.1). `other` when it has none.
Method method_id(std::string_view name);
// RFC 9110 9.2.1, 9.2.2; `other` is neither.
bool is_safe(Method method);
bool is_idempotent(Method method);

// "Not Found" and so on; "Unknown" for a status without a name (RFC 9110 15).
std::string_view reason_phrase(int status);

// How the content of a message is delimited (RFC 9112 6.3).
enum class Framing : uint8_t {
  none,         // there is no content
  length,       // Body::length bytes
  chunked,      // chunks and a last one
  until_close,  // everything until the connection ends; responses only
};

struct Body {
  Framing framing = Framing::none;
  uint64_t length = 0;  // with Framing::length
};

struct RequestHead {
  enum class Form : uint8_t { origin, absolute, authority, asterisk };  // RFC 9112 3.2

  explicit RequestHead(core::Arena& arena) : headers(arena) {}

  Method method = Method::other;
  Form form = Form::origin;
  int major_version = 1;         // 1 or 2
  int minor_version = 1;         // 0 or 1; 0 with HTTP/2
  std::string_view method_text;
  std::string_view target;       // as received
  std::string_view scheme;       // of an absolute target, as received; else empty
  std::string_view host;         // authority: of an absolute target, else the Host field; empty in a 1.0 request without
  std::string_view path;         // percent-encoded, never empty; "*" for OPTIONS about the server itself
  std::string_view query;        // without the question mark
  Headers headers;
  Body body;
  bool has_query = false;
  bool has_strays = false;       // the target has bytes that RFC 3986 lets nobody write; they are not passed on as they are
  bool keep_alive = false;
  bool expect_continue = false;  // RFC 9110 10.1.1; never with HTTP/1.0
  bool accepts_trailers = false; // TE says so (RFC 9110 10.1.4)
  bool upgrade = false;          // asks to switch protocols (RFC 9110 7.8): Connection and Upgrade say so, no content
  uint32_t dropped = 0;          // fields left out because of an underscore in their name
};

struct ResponseHead {
  explicit ResponseHead(core::Arena& arena) : headers(arena) {}

  int status = 0;
  int minor_version = 1;
  std::string_view reason;
  Headers headers;
  Body body;  // none for HEAD, 1xx, 204 and 304, whatever the fields say
  bool keep_alive = false;
};

}  // namespace goma::http
