// SPDX-License-Identifier: Apache-2.0
//
// Fields are counted and copied as they come; the rules over them run once, when all are there.
#include "http/h2_request.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "core/scan.h"
#include "core/text.h"
#include "http/authority.h"

namespace goma::http {

namespace {

constexpr size_t line_bytes = 4;   // what a field has besides name and value in HTTP/1; so both have one limit
constexpr uint32_t absurd_times = 8;

bool refuse(ParseError& error, int status, const char* code, std::string_view text) {
  error = ParseError{status, code, text};
  return false;
}

// A fresh Sec-WebSocket-Key (RFC 6455 4.1).
std::string_view websocket_key(core::Arena& arena) {
  unsigned char random[16] = {};
  static_cast<void>(RAND_bytes(random, sizeof random));  // a nonce against confused caches, no secret
  auto* text = arena.array<unsigned char>(25);
  const int n = EVP_EncodeBlock(text, random, sizeof random);
  return {reinterpret_cast<char*>(text), static_cast<size_t>(n)};
}

}  // namespace

H2Request::H2Request(core::Arena& arena, const Limits& limits) : arena_(arena), limits_(limits), head_(*arena.make<RequestHead>(arena)) {
  head_.major_version = 2;
  head_.minor_version = 0;
  head_.keep_alive = true;
}

H2Request::Size H2Request::field(std::string_view name, std::string_view value) {
  bytes_ += name.size() + value.size() + line_bytes;
  const bool pseudo = name.starts_with(':');
  if (!pseudo) ++fields_;
  if (bytes_ > limits_.head_bytes || fields_ > limits_.headers) {
    const bool absurd = bytes_ > absurd_times * limits_.head_bytes || fields_ > absurd_times * limits_.headers;
    if (pseudo && !absurd && value.size() <= 256) pseudo_field(name, value);  // for the log
    return absurd ? Size::absurd : Size::too_large;
  }
  if (pseudo) pseudo_field(name, value);
  else keep(name, value);
  return Size::fits;
}

void H2Request::pseudo_field(std::string_view name, std::string_view value) {
  if (name == ":method") head_.method_text = arena_.copy(value);
  else if (name == ":path") head_.target = arena_.copy(value);
  else if (name == ":authority") authority_ = arena_.copy(value);
  else if (name == ":scheme") scheme_ = arena_.copy(value);
  else if (name == ":protocol") protocol_ = arena_.copy(value);
}

// Known names need no copy. One with an underscore could be mistaken for another where '-' becomes '_'.
void H2Request::keep(std::string_view name, std::string_view value) {
  const HeaderId id = header_id(name);
  if (id == HeaderId::other && name.find('_') != std::string_view::npos) {
    ++head_.dropped;
    return;
  }
  const std::string_view text = arena_.copy(value);
  switch (id) {
    case HeaderId::host: ++hosts_; break;
    case HeaderId::cookie:
      ++cookies_;
      cookie_bytes_ += text.size() + 2;
      break;
    case HeaderId::content_length: length_ = text; break;
    case HeaderId::expect:
      expect_ = text;
      ++expects_;
      break;
    default: break;
  }
  head_.headers.add(id, id == HeaderId::other ? arena_.copy(name) : header_name(id), text);
}

bool H2Request::complete(bool end_stream, ParseError& error) {
  if (head_.target.size() > limits_.request_line) return refuse(error, 414, "request-line-too-long", "414 URI Too Long");
  if (bytes_ > limits_.head_bytes) return refuse(error, 431, "head-too-large", "the head is too long");
  if (fields_ > limits_.headers) return refuse(error, 431, "too-many-fields", "too many fields");
  const std::string_view method = head_.method_text;
  if (method.empty() || method.size() > max_method || !std::all_of(method.begin(), method.end(), is_token_char)) {
    head_.method_text = {};
    return refuse(error, 400, "bad-method", "a method that is no token of sensible length");
  }
  if (!protocol_.empty() && !understand_tunnel(error)) return false;
  if (!check_method(head_, error)) return false;
  if (!core::iequals(scheme_, "http") && !core::iequals(scheme_, "https")) return refuse(error, 400, "bad-target", "a scheme other than http and https");
  if (head_.target != "*" && !head_.target.starts_with('/')) return refuse(error, 400, "bad-target", "a :path that is none");
  return check_target(head_, error) && understand_authority(error) && understand_fields(end_stream, error);
}

// RFC 8441 5: to everybody behind this it is the GET of RFC 6455 4.1.
bool H2Request::understand_tunnel(ParseError& error) {
  if (head_.method_text != "CONNECT" || protocol_ != "websocket") return refuse(error, 501, "protocol", "a protocol other than websocket");
  head_.method_text = "GET";
  head_.upgrade = true;
  head_.headers.set(HeaderId::upgrade, "websocket");
  head_.headers.set(HeaderId::sec_websocket_key, websocket_key(arena_));
  return true;
}

// RFC 9113 8.3.1: :authority, or Host in a request that came from HTTP/1; both must say the same.
bool H2Request::understand_authority(ParseError& error) {
  const std::string_view host = head_.headers.get(HeaderId::host);
  if (hosts_ > 1) return refuse(error, 400, "two-hosts", "more than one Host");
  if (authority_.empty() && hosts_ == 0) return refuse(error, 400, "no-host", "neither :authority nor Host");
  const std::string_view named = canonical_authority(authority_.empty() ? host : authority_, arena_);
  if (named.empty()) return refuse(error, 400, "bad-host", "the authority is not a host with an optional port");
  if (hosts_ != 0 && !same_authority(named, canonical_authority(host, arena_), scheme_)) {
    return refuse(error, 400, "host-mismatch", ":authority names another host than Host");
  }
  head_.host = named;
  head_.headers.set(HeaderId::host, named);
  return true;
}

bool H2Request::understand_fields(bool end_stream, ParseError& error) {
  for (const Header& field : head_.headers) {
    const char* const end = field.value.data() + field.value.size();
    if (core::find_control(field.value.data(), end) != end) return refuse(error, 400, "control-byte", "a control byte in a field");
  }
  if (expects_ > 1 || (expects_ == 1 && !is_continue(expect_))) return refuse(error, 417, "expect", "an expectation other than 100-continue");
  head_.expect_continue = expects_ == 1 && !end_stream;
  if (cookies_ > 1) join_cookies();
  if (head_.upgrade) return true;
  if (!length_.empty()) {
    if (!parse_length(length_, head_.body.length)) return refuse(error, 400, "bad-length", "Content-Length is not a length");
    head_.body.framing = Framing::length;
  } else if (!end_stream) {
    head_.body.framing = Framing::chunked;
  }
  return true;
}

// RFC 9113 8.2.3: what was split for compression is one field again.
void H2Request::join_cookies() {
  char* const text = arena_.array<char>(std::exchange(cookie_bytes_, 0));
  char* out = text;
  for (const Header& field : head_.headers) {
    if (field.id != HeaderId::cookie) continue;
    if (out != text) out = std::copy_n("; ", 2, out);
    out = std::copy(field.value.begin(), field.value.end(), out);
  }
  head_.headers.set(HeaderId::cookie, {text, static_cast<size_t>(out - text)});
}

}  // namespace goma::http
