// SPDX-License-Identifier: Apache-2.0
//
// The parser against RFC 9112 by section and attack cases A01-A20, A23 and A26 by line: what is understood, and what
// is refused with which status and code. A head cut anywhere gives the same answer as a whole one.
#include "http/h1_parser.h"

#include "check.h"

using namespace goma;
using http::Framing;
using http::HeaderId;
using http::HeadScanner;
using http::Method;
using http::RequestHead;
using State = http::HeadScanner::State;

namespace {

core::ChunkPool pool;

std::string visible(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 120)) out += c == '\r' ? "\\r" : c == '\n' ? "\\n" : c < 0x20 || c == 0x7F ? fmt::format("\\x{:02x}", static_cast<unsigned char>(c)) : std::string(1, c);
  return out;
}

// A request that has been through both steps, as on a connection.
struct Request {
  explicit Request(std::string_view bytes, const http::Limits& limits = {}) {
    HeadScanner scanner;
    state = scanner.feed(bytes.data(), bytes.size(), limits);
    status = scanner.status();
    if (state != State::complete) return;
    length = scanner.length();
    accepted = http::parse_request(arena.copy(bytes.substr(0, length)), arena, limits, head, error);
    if (!accepted) status = error.status;
  }
  core::Arena arena{pool};
  RequestHead head{arena};
  http::ParseError error;
  State state;
  size_t length = 0;
  int status = 0;
  bool accepted = false;
};

struct Response {
  explicit Response(std::string_view bytes, Method method = Method::get) {
    accepted = http::parse_response(arena.copy(bytes), arena, http::Limits(), method, head, error);
  }
  core::Arena arena{pool};
  http::ResponseHead head{arena};
  http::ParseError error;
  bool accepted;
};

void must_refuse(std::string_view bytes, int status, std::string_view code = {}, const http::Limits& limits = {}) {
  const Request r(bytes, limits);
  const bool refused = r.state == State::bad || (r.state == State::complete && !r.accepted);
  if (refused && r.status == status && (code.empty() || code == r.error.code)) return;
  throw test::Failure{fmt::format("{}: accepted {}, status {}, code {}, wanted {} {}", visible(bytes), r.accepted, r.status, r.error.code, status, code),
                      __FILE__, __LINE__};
}

std::string with(std::string_view fields, std::string_view line = "POST / HTTP/1.1") {
  return fmt::format("{}\r\nHost: a.test\r\n{}\r\n\r\n", line, fields);
}

// ---------------------------------------------------------------- what is understood

void a_usual_request() {  // RFC 9112 2.1
  constexpr std::string_view text =
      "GET /a/b?x=1&y HTTP/1.1\r\nHost: a.test:8080\r\nUser-Agent:  curl \t\r\naccept: */*\r\nX-Empty:\r\nX-Tab: a\tb\xE9\r\n\r\nrest";
  const Request r(text);
  CHECK(r.accepted);
  CHECK_EQ(r.length, text.size() - 4);
  const RequestHead& h = r.head;
  CHECK(h.method == Method::get && h.form == RequestHead::Form::origin);
  CHECK_EQ(h.method_text, "GET");
  CHECK_EQ(h.target, "/a/b?x=1&y");
  CHECK_EQ(h.path, "/a/b");
  CHECK_EQ(h.query, "x=1&y");
  CHECK_EQ(h.host, "a.test:8080");
  CHECK_EQ(h.scheme, "");
  CHECK(h.has_query && h.keep_alive && !h.upgrade && !h.expect_continue);
  CHECK_EQ(h.minor_version, 1);
  CHECK(h.body.framing == Framing::none);
  CHECK_EQ(h.headers.size(), 5);
  CHECK_EQ(h.headers.get(HeaderId::user_agent), "curl");
  CHECK_EQ(h.headers.find("accept")->name, "accept");
  CHECK_EQ(h.headers.find("X-Empty")->value, "");
  CHECK_EQ(h.headers.find("x-tab")->value, "a\tb\xE9");
}

void targets() {  // RFC 9112 3.2
  struct Row {
    std::string_view line, host, path, query;
    bool has_query;
    RequestHead::Form form;
  };
  using Form = RequestHead::Form;
  constexpr Row rows[] = {
      {"GET / HTTP/1.1", "a.test", "/", "", false, Form::origin},
      {"GET /? HTTP/1.1", "a.test", "/", "", true, Form::origin},
      {"GET /a?b?c HTTP/1.1", "a.test", "/a", "b?c", true, Form::origin},
      {"GET //b.test/a HTTP/1.1", "a.test", "//b.test/a", "", false, Form::origin},
      {"GET /a?q=\\d HTTP/1.1", "a.test", "/a", "q=\\d", true, Form::origin},
      {"GET http://a.test HTTP/1.1", "a.test", "/", "", false, Form::absolute},
      {"GET HTTP://A.test/x?y HTTP/1.1", "a.test", "/x", "y", true, Form::absolute},
      {"GET http://a.test:80/ HTTP/1.1", "a.test:80", "/", "", false, Form::absolute},
      {"GET https://a.test:443?q HTTP/1.1", "a.test:443", "/", "q", true, Form::absolute},
      {"OPTIONS * HTTP/1.1", "a.test", "*", "", false, Form::asterisk},
      {"OPTIONS http://a.test HTTP/1.1", "a.test", "*", "", false, Form::asterisk},
      {"OPTIONS http://a.test/ HTTP/1.1", "a.test", "/", "", false, Form::absolute},
      {"M-SEARCH /a HTTP/1.1", "a.test", "/a", "", false, Form::origin},
  };
  for (const Row& row : rows) {
    const Request r(with("A: b", row.line));
    if (!r.accepted) throw test::Failure{fmt::format("{}: {}", row.line, r.error.code), __FILE__, __LINE__};
    CHECK_EQ(r.head.host, row.host);
    CHECK_EQ(r.head.path, row.path);
    CHECK_EQ(r.head.query, row.query);
    CHECK_EQ(r.head.has_query, row.has_query);
    CHECK(r.head.form == row.form);
  }
}

void framing_of_requests() {  // RFC 9112 6
  const Request length(with("Content-Length: 12"));
  CHECK(length.accepted && length.head.body.framing == Framing::length);
  CHECK_EQ(length.head.body.length, 12);
  const Request largest(with("Content-Length: 9223372036854775807"));
  CHECK_EQ(largest.head.body.length, uint64_t{INT64_MAX});
  const Request zero(with("Content-Length: 0"));
  CHECK(zero.head.body.framing == Framing::length && zero.head.body.length == 0);
  const Request chunked(with("Transfer-Encoding: Chunked"));
  CHECK(chunked.accepted && chunked.head.body.framing == Framing::chunked);
  const Request get(with("Content-Length: 3", "GET / HTTP/1.1"));  // A22
  CHECK(get.accepted && get.head.body.length == 3);
}

void persistence() {  // RFC 9112 9.3
  struct Row {
    std::string_view fields, line;
    bool keep_alive;
  };
  constexpr Row rows[] = {
      {"A: b", "GET / HTTP/1.1", true},
      {"Connection: close", "GET / HTTP/1.1", false},
      {"Connection: x, Close ,y", "GET / HTTP/1.1", false},
      {"Connection: keep-alive\r\nConnection: close", "GET / HTTP/1.1", false},
      {"Connection: closed", "GET / HTTP/1.1", true},
      {"A: b", "GET / HTTP/1.0", false},
      {"Connection: Keep-Alive", "GET / HTTP/1.0", true},
      {"Connection: keep-alive, close", "GET / HTTP/1.0", false},
  };
  for (const Row& row : rows) CHECK_EQ(Request(with(row.fields, row.line)).head.keep_alive, row.keep_alive);
}

void upgrades() {  // RFC 9110 7.8
  CHECK(Request(with("Connection: keep-alive, Upgrade\r\nUpgrade: websocket", "GET / HTTP/1.1")).head.upgrade);
  CHECK(!Request(with("Upgrade: websocket", "GET / HTTP/1.1")).head.upgrade);
  CHECK(!Request(with("Connection: upgrade", "GET / HTTP/1.1")).head.upgrade);
  CHECK(!Request(with("Connection: upgrade\r\nUpgrade: websocket", "GET / HTTP/1.0")).head.upgrade);
  CHECK(!Request(with("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5")).head.upgrade);
  CHECK(!Request(with("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked")).head.upgrade);
}

void expectations() {  // RFC 9110 10.1.1, A20
  CHECK(Request(with("Expect: 100-Continue\r\nContent-Length: 1")).head.expect_continue);
  CHECK(!Request(with("Expect: 100-continue\r\nContent-Length: 1", "POST / HTTP/1.0")).head.expect_continue);
  CHECK(Request(with("Expect: 100-continue", "GET / HTTP/1.1")).accepted);
  must_refuse(with("Expect: y 100-continue"), 417, "expect");
  must_refuse(with("Expect: 100-continue\r\nExpect: 100-continue"), 417, "expect");
  must_refuse(with("Expect:"), 417, "expect");
}

void old_requests_need_no_host() {
  const Request r("GET / HTTP/1.0\r\n\r\n");
  CHECK(r.accepted && r.head.minor_version == 0 && r.head.host.empty());
}

void empty_lines_before_a_request() {  // RFC 9112 2.2
  CHECK(Request("\r\nGET / HTTP/1.0\r\n\r\n").accepted);
  CHECK(Request("\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n").accepted);
  must_refuse("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n", 400);
}

void names_with_underscores_are_left_out() {  // C37
  const Request r(with("X_Forwarded_For: 1.2.3.4\r\nX-A: 1\r\nContent_Length: 5\r\n_: x", "GET / HTTP/1.1"));
  CHECK(r.accepted);
  CHECK_EQ(r.head.dropped, 3);
  CHECK_EQ(r.head.headers.size(), 2);
  CHECK(r.head.body.framing == Framing::none);
}

// ---------------------------------------------------------------- what is refused

void two_ways_to_read_a_length() {
  must_refuse(with("Content-Length: 4\r\nTransfer-Encoding: chunked"), 400, "both-lengths");  // A01
  must_refuse(with("Transfer-Encoding: chunked\r\nContent-Length: 4"), 400, "both-lengths");
  must_refuse(with("Transfer-Encoding: x\r\nContent-Length: 4"), 400, "both-lengths");
  must_refuse(with("Content-Length: 3\r\nContent-Length: 4"), 400, "two-lengths");  // A02
  must_refuse(with("Content-Length: 3\r\ncontent-length: 3"), 400, "two-lengths");
  for (const char* v : {"", "+1", "-1", "0x10", "1_0", "1 0", "1e3", "1;", "\xB2", "1,", "\"1\"", "3, 4", "3,3", "1.0", "a"}) {
    must_refuse(with(fmt::format("Content-Length: {}", v)), 400, "bad-length");  // A03
  }
  for (const char* v : {"9223372036854775808", "18446744073709551617", "99999999999999999999", "00000000000000000001"}) {
    must_refuse(with(fmt::format("Content-Length: {}", v)), 400, "bad-length");  // A04
  }
  for (const char* v : {"cow", "chunked, gzip", "chunked, chunked", "gzip, chunked", "identity", "", "chunk", "\"chunked\"", "'chunked'", ",chunked", "chunked,",
                        "chunked;a=b", "xchunked", "chunked x", "\x85" "chunked", "cow, chunked", "\xA0" "chunked"}) {
    must_refuse(with(fmt::format("Transfer-Encoding: {}", v)), 501, "bad-coding");  // A05, A06
  }
  must_refuse(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 501, "bad-coding");
  must_refuse(with("Transfer-Encoding: x\r\nTransfer-Encoding: chunked"), 501, "bad-coding");
  must_refuse(with("Transfer-Encoding: chunked", "POST / HTTP/1.0"), 400, "coding-in-1.0");  // A07
}

void line_ends() {  // A10, A11
  must_refuse("GET / HTTP/1.1\nHost: a\n\n", 400);
  must_refuse("GET / HTTP/1.1\r\nHost: a\r\nA: b\n\r\n", 400);
  must_refuse("GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
  must_refuse("GET / HTTP/1.1\rHost: a\r\r", 400);
  must_refuse(with("A: b\rC: d"), 400);
  must_refuse(with("A: b\r"), 400);
  must_refuse("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400);
  must_refuse("\nGET / HTTP/1.1\r\n", 400);
}

void folded_lines() {  // A12
  must_refuse(with("A: b\r\n c"), 400, "obs-fold");
  must_refuse(with("A: b\r\n\tc"), 400, "obs-fold");
  must_refuse(with("Content-Length:\r\n 5"), 400, "obs-fold");
  must_refuse("GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", 400, "obs-fold");
  must_refuse(with("A: b\r\n "), 400, "obs-fold");
}

void field_names() {  // A13, RFC 9112 5.1
  must_refuse(with("A : b"), 400, "blank-before-colon");
  must_refuse(with("Content-Length\t: 5"), 400, "blank-before-colon");
  for (const char* line : {": b", "no-colon", "A(: b", "A@: b", "\xE9: b", "\"A\": b", "A,B: c", "A/B: c", "[A]: b", "{A}: b", "A=B: c", "A\\: b", "A<: b", "A?: b", "A;: b"}) {
    must_refuse(with(line), 400, "bad-field-name");
  }
  must_refuse(with("A\tB: c"), 400, "blank-before-colon");
  must_refuse(with("no colon"), 400, "blank-before-colon");
}

void control_bytes() {  // A14
  for (int c = 0; c < 256; ++c) {
    const bool control = (c < 0x20 && c != '\t') || c == 0x7F;
    const Request in_value(with(fmt::format("A: b{}c", static_cast<char>(c)), "GET / HTTP/1.1"));
    CHECK_EQ(in_value.accepted, !control);
    const Request in_name(with(fmt::format("A{}: b", static_cast<char>(c)), "GET / HTTP/1.1"));
    CHECK_EQ(in_name.accepted, http::is_token_char(static_cast<char>(c)) || c == ':');
  }
}

void hosts() {  // A15, A16
  must_refuse("GET / HTTP/1.1\r\nA: b\r\n\r\n", 400, "no-host");
  must_refuse("GET http://a.test/ HTTP/1.1\r\nA: b\r\n\r\n", 400, "no-host");
  must_refuse(with("Host: b.test"), 400, "two-hosts");
  must_refuse(with("Host: a.test"), 400, "two-hosts");
  for (const char* host : {"", "a b", "a:80@evil", "a/b", "[::1", "a:99999", "a:b", "a?b", "a#b", "a\\b", "::1", "a,b", "a..b", ".a", "u@a", "[::1]x", "a:-1", "[zz]", "<a>", "a%00", "m\xC3\xBCnchen"}) {
    must_refuse(fmt::format("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host), 400, "bad-host");
    if (*host != '\0') must_refuse(fmt::format("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", host), 400, "bad-host");
  }
  for (const auto& [sent, form] : {std::pair("A.Test.:0080", "a.test:80"), {"a!b", "a!b"}, {"%61.test:", "a.test"}, {"[0::1]:8", "[::1]:8"}}) {
    const Request r(fmt::format("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", sent));
    CHECK(r.accepted);
    CHECK_EQ(r.head.host, form);
    CHECK_EQ(r.head.headers.get(HeaderId::host), form);
  }
  CHECK(Request(with("A: b", "GET http://A.TEST.:80/ HTTP/1.1")).accepted);
  must_refuse(with("A: b", "GET http://b.test/ HTTP/1.1"), 400, "host-mismatch");
  must_refuse(with("A: b", "GET http://a.test:81/ HTTP/1.1"), 400, "host-mismatch");
  must_refuse(with("A: b", "GET https://a.test:80/ HTTP/1.1"), 400, "host-mismatch");
  must_refuse(with("A: b", "GET http://u@a.test/ HTTP/1.1"), 400, "bad-target");
  must_refuse(with("A: b", "GET http:///a HTTP/1.1"), 400, "bad-target");
  must_refuse(with("A: b", "GET ftp://a.test/ HTTP/1.1"), 400, "bad-target");
}

void request_lines() {  // A17-A19, B29, B33
  struct Row {
    std::string_view line;
    int status;
  };
  constexpr Row rows[] = {
      {"GET /", 400}, {"GET", 400}, {"GET ", 400}, {"GET  / HTTP/1.1", 400}, {"GET /  HTTP/1.1", 400}, {"GET\t/ HTTP/1.1", 400}, {" GET / HTTP/1.1", 400},
      {"GET / HTTP/1.32", 400}, {"GET / HTTP/2.0", 505}, {"GET / HTTP/3.0", 505}, {"GET / HTTP/1.2", 505}, {"GET / HTTP/1.9", 505}, {"GET / HTTP/0.9", 400},
      {"GET / http/1.1", 400}, {"GET / HTTP/1.2x", 400}, {"GET / HTTP/01.1", 400}, {"GET / ICY/1.1", 400}, {"GET / HTTP/1.1 ", 400}, {"GET / HTTP/1.", 400},
      {"GET / HTTP/1,1", 400}, {"GET / HTTP/", 400}, {"GET a HTTP/1.1", 400}, {"GET * HTTP/1.1", 400}, {"GET a.test:80 HTTP/1.1", 400},
      {"G\x01T / HTTP/1.1", 400}, {"G(T / HTTP/1.1", 400}, {"GET / x HTTP/1.1", 400}, {"GET /a#b HTTP/1.1", 400}, {"GET #b HTTP/1.1", 400},
      {"GET /a\\b HTTP/1.1", 400}, {"GET /a\xC3\xA9 HTTP/1.1", 400}, {"GET /?\xFF HTTP/1.1", 400}, {"GET /a\x7F HTTP/1.1", 400}, {"GET /a\tb HTTP/1.1", 400},
      {"CONNECT a.test:443 HTTP/1.1", 405}, {"CONNECT / HTTP/1.1", 405}, {"TRACE / HTTP/1.1", 405}, {"get / HTTP/1.1", 501}, {"Post / HTTP/1.1", 501},
      {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1", 400}, {"/ HTTP/1.1", 400}, {"OPTIONS ** HTTP/1.1", 400},
  };
  for (const Row& row : rows) must_refuse(with("A: b", row.line), row.status);
  CHECK(Request(with("A: b", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1")).accepted);
}

void sizes() {  // A26, RFC 9112 3
  std::string many;
  for (int i = 0; i < 99; ++i) many += fmt::format("A{}: b\r\n", i);
  CHECK(Request(with(many.substr(0, many.size() - 2))).accepted);
  must_refuse(with(many + "One: more"), 431);
  must_refuse(with("A: " + std::string(65536, 'b')), 431);
  must_refuse(with("A: b", "GET /" + std::string(100000, 'a') + " HTTP/1.1"), 414);
  must_refuse("GET /" + std::string(16500, 'a'), 414);  // no need to wait for the end
  must_refuse(std::string(1000000, 'A') + " / HTTP/1.1\r\n", 400);
  must_refuse("GET / HTTP/1.1\r\nA: " + std::string(65536, 'b'), 431);
  const http::Limits small{.request_line = 20, .head_bytes = 60, .headers = 2};
  CHECK(Request("GET /567890 HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n", small).accepted);
  must_refuse("GET /5678901 HTTP/1.1\r\nHost: a\r\n\r\n", 414, {}, small);
  must_refuse("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n", 431, {}, small);
  must_refuse("GET / HTTP/1.1\r\nHost: a\r\nA: " + std::string(40, 'b') + "\r\n\r\n", 431, {}, small);
  HeadScanner scanner;
  const std::string exact = "GET / HTTP/1.1\r\nA: " + std::string(37, 'b') + "\r\n\r\n";
  CHECK_EQ(exact.size(), 60);
  CHECK(scanner.feed(exact.data(), exact.size(), small) == State::complete);
}

// ---------------------------------------------------------------- the scanner

void a_head_may_arrive_in_any_pieces() {
  constexpr std::string_view good = "\r\nGET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\nnext";
  constexpr std::string_view bad = "GET / HTTP/1.1\r\nHost: a\rB: c\r\n and so on for longer";
  for (size_t step = 1; step < 12; ++step) {
    HeadScanner scanner;
    State state = State::more;
    std::string place;  // moves as it grows
    for (size_t n = step; state == State::more; n += step) {
      place.assign(good.substr(0, n)).shrink_to_fit();
      state = scanner.feed(place.data(), place.size(), {});
    }
    CHECK(state == State::complete);
    CHECK_EQ(scanner.length(), good.size() - 4);
    CHECK_EQ(scanner.lines(), 3);
    scanner.reset();
    state = State::more;
    for (size_t n = step; state == State::more; n += step) state = scanner.feed(bad.data(), std::min(n, bad.size()), {});
    CHECK(state == State::bad);
    CHECK_EQ(scanner.status(), 400);
  }
}

void bad_bytes_are_reported_before_the_head_is_complete() {
  using namespace std::string_view_literals;
  for (const std::string_view start : {"GET / HTTP/1.1\r\nA: b\0"sv, "GET / HTTP/1.1\r\nA\x01"sv, "GET /\x7F"sv, "GET / HTTP/1.1\rH"sv, "GET / HTTP/1.1\n"sv,
                                       "\0"sv, "\n"sv, "\rG"sv, "A: b\rc\r\nD: e\r\n"sv}) {
    HeadScanner scanner;
    CHECK(scanner.feed(start.data(), start.size() - 1, {}) != State::complete);
    CHECK(scanner.feed(start.data(), start.size(), {}) == State::bad);
    CHECK_EQ(scanner.status(), 400);
  }
}

void nothing_is_a_head_before_its_end() {
  constexpr std::string_view text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t n = 0; n < text.size(); ++n) {
    HeadScanner scanner;
    CHECK(scanner.feed(text.data(), n, {}) == State::more);
    core::Arena arena(pool);
    RequestHead head(arena);
    http::ParseError error;
    CHECK(!http::parse_request(arena.copy(text.substr(0, n)), arena, {}, head, error));
  }
}

// As far as a head has come, what is said of its request line is what is said of the whole.
void a_request_line_is_judged_alone() {
  constexpr std::string_view rest = "Host: a\r\nA: b\r\n\r\n";
  for (const std::string_view line : {"GET / HTTP/1.1\r\n", "GET /a{b}?c|d HTTP/1.0\r\n", "\r\nGET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "GET http://a/ HTTP/1.1\r\n",
                                      "GET /\r\n", "GET / HTTP/9.9\r\n", "A\r\n", "\r\nA\r\n", "\r\n\r\n\r\n\r\nA\r\n", "A \r\n", "A / \r\n", "A / H\r\n", "get / HTTP/1.1\r\n",
                                      "GET a HTTP/1.1\r\n", "GET /\\ HTTP/1.1\r\n", " / HTTP/1.1\r\n"}) {
    const Request whole(std::string(line) + std::string(rest));
    HeadScanner scanner;
    const std::string cut = std::string(line) + "Host: a";
    CHECK(scanner.feed(cut.data(), cut.size(), {}) == State::more);
    CHECK_EQ(scanner.lines(), 1);
    CHECK_EQ(scanner.whole_lines(), line.size());
    core::Arena arena(pool);
    RequestHead head(arena);
    http::ParseError error;
    const bool good = http::parse_request_line(arena.copy(line), head, error);
    CHECK_EQ(good, whole.accepted);
    CHECK_EQ(head.has_strays, whole.head.has_strays);
    CHECK_EQ(head.target, whole.head.target);
    if (good) continue;
    CHECK_EQ(error.status, whole.error.status);
    CHECK_EQ(std::string_view(error.code), whole.error.code);
    RequestHead again(arena);
    CHECK(!http::parse_request(arena.copy(line), arena, {}, again, error));  // the head that is refused is the line alone
    CHECK_EQ(std::string_view(error.code), whole.error.code);
  }
}

// ---------------------------------------------------------------- responses

void usual_responses() {  // RFC 9112 4, 6.3
  const Response r("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x_y\r\nX_Y: 1\r\n\r\n");
  CHECK(r.accepted && r.head.keep_alive);
  CHECK_EQ(r.head.status, 200);
  CHECK_EQ(r.head.reason, "OK");
  CHECK(r.head.body.framing == Framing::length && r.head.body.length == 5);
  CHECK_EQ(r.head.headers.size(), 3);
  CHECK_EQ(Response("HTTP/1.1 404\r\n\r\n").head.status, 404);
  CHECK_EQ(Response("HTTP/1.1 299 \r\n\r\n").head.reason, "");
  CHECK_EQ(Response("HTTP/1.1 500 a b\xE9\r\n\r\n").head.reason, "a b\xE9");
  CHECK(Response("HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n").head.body.framing == Framing::chunked);
  const Response open("HTTP/1.1 200 OK\r\n\r\n");
  CHECK(open.head.body.framing == Framing::until_close && !open.head.keep_alive);
  CHECK(!Response("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").head.keep_alive);
  CHECK(Response("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n").head.keep_alive);
  CHECK(!Response("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n").head.keep_alive);
}

void responses_without_content() {  // RFC 9112 6.3 item 1
  for (const char* line : {"204 No Content", "304 Not Modified", "100 Continue", "103 Early Hints", "101 Switching Protocols"}) {
    const Response r(fmt::format("HTTP/1.1 {}\r\nContent-Length: 5\r\n\r\n", line));
    CHECK(r.accepted && r.head.body.framing == Framing::none && r.head.keep_alive);
  }
  const Response head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::head);
  CHECK(head.accepted && head.head.body.framing == Framing::none && head.head.keep_alive);
  CHECK_EQ(head.head.headers.get(HeaderId::content_length), "5");
  CHECK(Response("HTTP/1.1 200 OK\r\n\r\n", Method::head).head.keep_alive);
}

void bad_responses() {  // A23
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const std::string& text :
       {ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", ok + "Content-Length: x\r\n\r\n",
        ok + "Transfer-Encoding: gzip\r\n\r\n", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", ok + "A: b\r\n c\r\n\r\n", ok + "A : b\r\n\r\n",
        ok + "A: b\x01\r\n\r\n", ok + "no colon\r\n\r\n", std::string("HTTP/1.1 20 OK\r\n\r\n"), std::string("HTTP/1.1 2000 OK\r\n\r\n"),
        std::string("HTTP/1.1 000 OK\r\n\r\n"), std::string("HTTP/1.1  200 OK\r\n\r\n"), std::string("HTTP/2.0 200 OK\r\n\r\n"), std::string("HTTP/1.1200 OK\r\n\r\n"),
        std::string("http/1.1 200 OK\r\n\r\n"), std::string("ICY 200 OK\r\n\r\n"), std::string("\r\nHTTP/1.1 200 OK\r\n\r\n"), std::string("HTTP/1.1 2x0 OK\r\n\r\n"),
        std::string("HTTP/1.1 200 O\x7FK\r\n\r\n"), std::string("HTTP/1.1\r\n\r\n"), std::string("\r\n\r\n"), std::string("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")}) {
    const Response r(text);
    if (r.accepted) throw test::Failure{"accepted: " + visible(text), __FILE__, __LINE__};
    CHECK_EQ(r.error.status, 502);
    CHECK(*r.error.code != '\0' && !r.error.text.empty());
  }
}

}  // namespace

GOMA_TESTS(a_usual_request, targets, framing_of_requests, persistence, upgrades, expectations, old_requests_need_no_host,
           empty_lines_before_a_request, names_with_underscores_are_left_out, two_ways_to_read_a_length, line_ends, folded_lines,
           field_names, control_bytes, hosts, request_lines, sizes, a_head_may_arrive_in_any_pieces,
           bad_bytes_are_reported_before_the_head_is_complete, nothing_is_a_head_before_its_end, a_request_line_is_judged_alone,
           usual_responses, responses_without_content, bad_responses)
