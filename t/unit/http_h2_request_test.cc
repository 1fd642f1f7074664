// SPDX-License-Identifier: Apache-2.0
//
// Fields of HTTP/2 become the request head that HTTP/1 would have had, or are refused for the same reasons.
#include <initializer_list>
#include <utility>

#include "check.h"
#include "core/arena.h"
#include "http/h2_request.h"

namespace goma {
namespace {

using Pairs = std::initializer_list<std::pair<std::string_view, std::string_view>>;

struct Read {
  explicit Read(Pairs fields, bool end_stream = true, http::Limits limits = {}) : request(arena, limits) {
    for (const auto& [name, value] : fields) size = std::max(size, request.field(name, value));
    ok = request.complete(end_stream, error);
  }
  std::string_view get(http::HeaderId id) { return request.head().headers.get(id); }

  core::ChunkPool chunks;
  core::Arena arena{chunks};
  http::H2Request request;
  http::H2Request::Size size = http::H2Request::Size::fits;
  http::ParseError error;
  bool ok = false;
};

// The code of the refusal of a GET with these fields in place of, or behind, the usual ones.
std::string refusal(std::string_view path, std::string_view authority, Pairs more = {}, std::string_view method = "GET", std::string_view scheme = "https") {
  core::ChunkPool chunks;
  core::Arena arena(chunks);
  http::H2Request request(arena, http::Limits());
  request.field(":method", method);
  request.field(":scheme", scheme);
  if (!authority.empty()) request.field(":authority", authority);
  request.field(":path", path);
  for (const auto& [name, value] : more) request.field(name, value);
  http::ParseError error;
  return request.complete(true, error) ? "" : error.code;
}

void a_request_is_understood() {
  Read r({{":method", "GET"}, {":scheme", "https"}, {":authority", "a.test:8443"}, {":path", "/x/y?a=b"}, {"user-agent", "u"}, {"x-own", "v"}});
  CHECK(r.ok);
  const http::RequestHead& head = r.request.head();
  CHECK(head.method == http::Method::get);
  CHECK_EQ(head.major_version, 2);
  CHECK_EQ(head.path, "/x/y");
  CHECK_EQ(head.query, "a=b");
  CHECK_EQ(head.host, "a.test:8443");
  CHECK_EQ(r.get(http::HeaderId::host), "a.test:8443");
  CHECK_EQ(r.get(http::HeaderId::user_agent), "u");
  CHECK_EQ(head.headers.find("X-Own")->value, "v");
  CHECK(head.body.framing == http::Framing::none);
}

void content_has_a_length_or_not() {
  const Pairs fields{{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  Read open(fields, false);
  CHECK(open.ok && open.request.head().body.framing == http::Framing::chunked);
  Read sized({{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"content-length", "12"}}, false);
  CHECK(sized.ok && sized.request.head().body.framing == http::Framing::length);
  CHECK_EQ(sized.request.head().body.length, 12);
  CHECK_EQ(refusal("/", "a", {{"content-length", "+1"}}), "bad-length");
}

void crumbs_become_one_cookie() {
  Read r({{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}, {"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}, {"cookie", "c"}});
  CHECK(r.ok);
  CHECK_EQ(r.get(http::HeaderId::cookie), "a=1; b=2; c");
  CHECK_EQ(r.request.head().headers.count(http::HeaderId::cookie), 1);
}

void hosts_must_agree() {
  CHECK_EQ(refusal("/", ""), "no-host");
  CHECK_EQ(refusal("/", "", {{"host", "a.test"}}), "");
  CHECK_EQ(refusal("/", "a.test", {{"host", "A.TEST:443"}}), "");
  CHECK_EQ(refusal("/", "a.test", {{"host", "a.test:80"}}), "host-mismatch");
  CHECK_EQ(refusal("/", "a.test", {{"host", "b.test"}}), "host-mismatch");
  CHECK_EQ(refusal("/", "a.test", {{"host", "a.test"}, {"host", "a.test"}}), "two-hosts");
  CHECK_EQ(refusal("/", "u@a.test"), "bad-host");
}

void targets_are_as_strict_as_in_http1() {
  for (const std::string_view path : {"", "x", "http://a/", "/a b", "/a#b", "/a\\b", "/\x7F", "/\xC3\xA4"}) {
    CHECK_EQ(refusal(path, "a"), "bad-target");
  }
  CHECK_EQ(refusal("*", "a"), "bad-target");
  CHECK_EQ(refusal("*", "a", {}, "OPTIONS"), "");
  CHECK_EQ(refusal("/", "a", {}, "GET", "ftp"), "bad-target");
}

void methods_are_as_strict_as_in_http1() {
  CHECK_EQ(refusal("/", "a", {}, "CONNECT"), "method");
  CHECK_EQ(refusal("/", "a", {}, "TRACE"), "method");
  CHECK_EQ(refusal("/", "a", {}, "get"), "method-case");
  CHECK_EQ(refusal("/", "a", {}, "G T"), "bad-method");
  CHECK_EQ(refusal("/", "a", {}, std::string(33, 'A')), "bad-method");
  CHECK_EQ(refusal("/", "a", {}, "PURGE"), "");
}

void odd_fields_are_refused_or_dropped() {
  CHECK_EQ(refusal("/", "a", {{"x", "a\nb"}}), "control-byte");
  CHECK_EQ(refusal("/", "a", {{"expect", "tea"}}), "expect");
  Read r({{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}, {"x_forwarded_for", "1.2.3.4"}});
  CHECK(r.ok);
  CHECK_EQ(r.request.head().dropped, 1);
  CHECK_EQ(r.request.head().headers.size(), 1);  // Host
}

void limits_count_everything() {
  http::Limits limits;
  limits.headers = 3;
  Read many({{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}, {"cookie", "a"}, {"cookie", "b"}, {"cookie", "c"}, {"cookie", "d"}}, true, limits);
  CHECK(!many.ok && many.size == http::H2Request::Size::too_large);
  CHECK_EQ(many.error.status, 431);
  CHECK_EQ(many.request.head().method_text, "GET");
  limits.head_bytes = 200;
  const std::string large(180, 'x');
  const std::string huge(2000, 'x');
  Read long_one({{":method", "GET"}, {":path", "/"}, {"x", large}}, true, limits);
  CHECK_EQ(long_one.error.status, 431);
  Read absurd({{":method", "GET"}, {":path", "/"}, {"x", huge}}, true, limits);
  CHECK(absurd.size == http::H2Request::Size::absurd);
  limits.request_line = 10;
  Read path({{":method", "GET"}, {":path", "/12345678901"}}, true, limits);
  CHECK_EQ(path.error.status, 414);
}

void a_websocket_becomes_an_upgrade() {
  Read r({{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/ws"}, {"sec-websocket-version", "13"}}, false);
  CHECK(r.ok);
  CHECK(r.request.head().upgrade);
  CHECK_EQ(r.request.head().method_text, "GET");
  CHECK_EQ(r.get(http::HeaderId::upgrade), "websocket");
  CHECK_EQ(r.get(http::HeaderId::sec_websocket_key).size(), 24);
  CHECK(r.request.head().body.framing == http::Framing::none);
  Read other({{":method", "CONNECT"}, {":protocol", "tea"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}}, false);
  CHECK_EQ(other.error.status, 501);
}

}  // namespace
}  // namespace goma

using namespace goma;
GOMA_TESTS(a_request_is_understood, content_has_a_length_or_not, crumbs_become_one_cookie, hosts_must_agree, targets_are_as_strict_as_in_http1,
           methods_are_as_strict_as_in_http1, odd_fields_are_refused_or_dropped, limits_count_everything, a_websocket_becomes_an_upgrade)
