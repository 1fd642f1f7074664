// SPDX-License-Identifier: Apache-2.0
//
// Heads as written (RFC 9112 3-6), what the writer adds and leaves out, and the property that the parser reads back what
// was written.
#include "http/h1_writer.h"

#include "check.h"
#include "http/h1_parser.h"

using namespace goma;
using http::Body;
using http::Framing;
using http::HeaderId;
using http::Headers;
using http::HeadOptions;

namespace {

core::ChunkPool pool;

struct Fixture {
  core::Arena arena{pool};
  Headers headers{arena};
  std::string request(std::string_view method, Body body = {}, bool keep_alive = true) {
    return std::string(http::write_request_head(arena, method, "/x?y", headers, body, keep_alive));
  }
  std::string response(int status, Body body, const HeadOptions& options = {}) {
    return std::string(http::write_response_head(arena, 1, status, http::reason_phrase(status), headers, body, options));
  }
};

void requests() {
  Fixture f;
  CHECK_EQ(f.request("GET"), "GET /x?y HTTP/1.1\r\n\r\n");
  f.headers.add(HeaderId::host, "a.test");
  f.headers.add("x-a", "1");
  CHECK_EQ(f.request("GET", {}, false), "GET /x?y HTTP/1.1\r\nHost: a.test\r\nx-a: 1\r\nConnection: close\r\n\r\n");
  f.headers.remove("x-a");
  CHECK_EQ(f.request("POST"), "POST /x?y HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
  CHECK_EQ(f.request("POST", {Framing::length, 12}), "POST /x?y HTTP/1.1\r\nHost: a.test\r\nContent-Length: 12\r\n\r\n");
  CHECK_EQ(f.request("PUT", {Framing::chunked, 0}), "PUT /x?y HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
  f.headers.add(HeaderId::upgrade, "websocket");
  CHECK_EQ(f.request("GET"), "GET /x?y HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
}

void fields_of_the_connection_are_made_here() {
  Fixture f;
  for (const char* name : {"Connection", "Keep-Alive", "Content-Length", "transfer-encoding", "Proxy-Connection"}) f.headers.add(name, "77");
  CHECK_EQ(f.request("GET"), "GET /x?y HTTP/1.1\r\n\r\n");
  CHECK_EQ(f.response(200, {Framing::length, 3}), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
}

void responses() {
  Fixture f;
  CHECK_EQ(f.response(200, {Framing::none, 0}), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK_EQ(f.response(200, {Framing::chunked, 0}), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK_EQ(f.response(200, {Framing::until_close, 0}, {.keep_alive = false}), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  CHECK_EQ(f.response(200, {Framing::length, UINT64_MAX}, {.http10 = true}),
           "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\nConnection: keep-alive\r\n\r\n");
  CHECK_EQ(f.response(204, {Framing::length, 0}, {.bodiless = true}), "HTTP/1.1 204 No Content\r\n\r\n");
  f.headers.add(HeaderId::content_length, "5");
  CHECK_EQ(f.response(204, {}, {.bodiless = true}), "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK_EQ(f.response(304, {}, {.bodiless = true}), "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
  CHECK_EQ(f.response(200, {Framing::length, 9}, {.bodiless = true}), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
}

void informational_responses() {
  Fixture f;
  f.headers.add("Link", "</a>");
  CHECK_EQ(f.response(103, {}, {.keep_alive = false, .informational = true}), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
  f.headers.set("Upgrade", "websocket");
  CHECK_EQ(f.response(101, {}, {.upgrade = true}), "HTTP/1.1 101 Switching Protocols\r\nLink: </a>\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
}

void no_value_ends_a_line() {  // C42
  using namespace std::string_view_literals;
  Fixture f;
  f.headers.add(HeaderId::location, "/a\r\nSet-Cookie: x\n\0\x7F\t."sv);
  CHECK_EQ(f.response(302, {}), "HTTP/1.1 302 Found\r\nLocation: /a  Set-Cookie: x   \t.\r\nContent-Length: 0\r\n\r\n");
  CHECK_EQ(http::write_request_head(f.arena, "GET", "/\r\nA: b", Headers(f.arena), {}, true), "GET /  A: b HTTP/1.1\r\n\r\n");
}

void chunk_heads() {
  struct Row {
    size_t n;
    std::string_view text;
  };
  for (const Row& row : {Row{1, "1\r\n"}, Row{10, "a\r\n"}, Row{0x1f0, "1f0\r\n"}, Row{0, "0\r\n"}, Row{SIZE_MAX, "ffffffffffffffff\r\n"}}) {
    char out[18];
    CHECK_EQ(std::string_view(out, http::write_chunk_head(out, row.n)), row.text);
  }
}

// ---------------------------------------------------------------- what is written is read

struct Random {
  std::mt19937_64 engine{test::seed()};
  size_t below(size_t n) { return static_cast<size_t>(engine() % n); }
  std::string text(std::string_view alphabet, size_t most) {
    std::string out;
    for (size_t n = 1 + below(most); n > 0; --n) out += alphabet[below(alphabet.size())];
    return out;
  }
};

constexpr std::string_view name_letters = "abcXYZ-09!~";
constexpr std::string_view value_letters = "abc XYZ\t:;,=\"/\xC3\xA9";

void add_random(Random& random, core::Arena& arena, Headers& headers) {
  for (size_t n = random.below(20); n > 0; --n) {
    const std::string value = "v" + random.text(value_letters, 40) + "v";  // no blanks at the ends
    headers.add(arena.copy("X-" + random.text(name_letters, 20)), arena.copy(value));
  }
}

void check_same(const Headers& a, const Headers& b) {
  CHECK_EQ(a.size(), b.size());
  auto other = b.begin();
  for (const http::Header& h : a) {
    CHECK_EQ(h.name, other->name);
    CHECK_EQ(h.value, other->value);
    CHECK(h.id == other->id);
    ++other;
  }
}

void requests_are_read_back() {
  Random random;
  for (int round = 0; round < 2000; ++round) {
    core::Arena arena(pool);
    Headers headers(arena);
    headers.add(HeaderId::host, "a.test");
    add_random(random, arena, headers);
    const std::string target = "/" + random.text("abc/?=&%41", 60);
    const Body body = random.below(2) ? Body{Framing::length, random.below(100)} : random.below(2) ? Body{Framing::chunked, 0} : Body{};
    const bool keep_alive = random.below(2) != 0;
    const std::string_view text = http::write_request_head(arena, "GET", target, headers, body, keep_alive);
    http::RequestHead head(arena);
    http::ParseError error;
    CHECK(http::parse_request(text, arena, {}, head, error));
    CHECK_EQ(head.target, target);
    CHECK(head.body.framing == body.framing && head.body.length == body.length);
    CHECK_EQ(head.keep_alive, keep_alive);
    for (const HeaderId id : {HeaderId::content_length, HeaderId::transfer_encoding, HeaderId::connection}) head.headers.remove(id);
    check_same(headers, head.headers);
  }
}

void responses_are_read_back() {
  Random random;
  for (int round = 0; round < 2000; ++round) {
    core::Arena arena(pool);
    Headers headers(arena);
    add_random(random, arena, headers);
    const int status = 200 + static_cast<int>(random.below(300));
    const Body body = random.below(2) ? Body{Framing::length, random.below(100)} : Body{Framing::chunked, 0};
    const bool bodiless = status == 204 || status == 304;
    const std::string_view text = http::write_response_head(arena, 1, status, "Reason \xE9", headers, body, {.bodiless = bodiless});
    http::ResponseHead head(arena);
    http::ParseError error;
    CHECK(http::parse_response(text, arena, {}, http::Method::get, head, error));
    CHECK_EQ(head.status, status);
    CHECK_EQ(head.reason, "Reason \xE9");
    CHECK(head.keep_alive);
    if (!bodiless) CHECK(head.body.framing == body.framing && head.body.length == body.length);
    for (const HeaderId id : {HeaderId::content_length, HeaderId::transfer_encoding}) head.headers.remove(id);
    check_same(headers, head.headers);
  }
}

}  // namespace

GOMA_TESTS(requests, fields_of_the_connection_are_made_here, responses, informational_responses, no_value_ends_a_line, chunk_heads,
           requests_are_read_back, responses_are_read_back)
