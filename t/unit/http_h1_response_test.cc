// SPDX-License-Identifier: Apache-2.0
//
// Responses as RFC 9112 allows them, almost allows them and forbids them: what is accepted means what it must, what is
// mended says so, and what could be read in two ways is refused. Every text is fed whole and byte by byte.
#include "http/h1_response.h"

#include <initializer_list>

#include "check.h"
#include "http/h1_parser.h"

using goma::http::Failure;
using goma::http::Framing;
using goma::http::Method;
using goma::http::Oddities;
using goma::http::ResponseLimits;
using goma::http::ResponseScanner;
using Kind = goma::http::Failure::Kind;
namespace core = goma::core;
namespace http = goma::http;

namespace {

core::ChunkPool pool;

struct Reading {
  Reading(std::string_view bytes, const ResponseLimits& limits = {}, Method method = Method::get, size_t step = SIZE_MAX) {
    ResponseScanner scanner;
    ResponseScanner::State state = ResponseScanner::State::more;
    for (size_t n = std::min(step, bytes.size()); state == ResponseScanner::State::more; n += std::min(step, bytes.size() - n)) {
      const std::string sofar(bytes.substr(0, n));  // elsewhere each time: nobody reads beyond, or relies on the place
      state = scanner.feed(sofar.data(), sofar.size(), limits);
      if (n == bytes.size()) break;
    }
    complete = state == ResponseScanner::State::complete;
    if (state == ResponseScanner::State::bad) fault = scanner.fault();
    if (!complete) return;
    length = scanner.length();
    accepted = http::read_response(arena.copy(bytes.substr(0, length)), scanner.untidy(), arena, limits, method, head, oddities, fault);
  }
  // The fields as one text.
  std::string fields() const {
    std::string out;
    for (const http::Header& h : head.headers) out += fmt::format("{}={};", h.name, h.value);
    return out;
  }
  core::Arena arena{pool};
  http::ResponseHead head{arena};
  Oddities oddities;
  http::ResponseFault fault;
  size_t length = 0;
  bool complete = false;
  bool accepted = false;
};

void must_refuse(std::string_view bytes, Kind kind, const ResponseLimits& limits = {}) {
  for (const size_t step : {SIZE_MAX, size_t{1}}) {
    const Reading r(bytes, limits, Method::get, step);
    CHECK_EQ(fmt::format("{}: {} {}", bytes, r.accepted, http::failure_name(r.fault.kind)), fmt::format("{}: {} {}", bytes, false, http::failure_name(kind)));
  }
}

// Accepted with one oddity and these fields; refused under its name where strictness is asked for.
void must_mend(std::string_view bytes, Kind oddity, std::string_view fields) {
  for (const size_t step : {SIZE_MAX, size_t{1}}) {
    const Reading r(bytes, {}, Method::get, step);
    CHECK_EQ(fmt::format("{}: {} {}", bytes, r.accepted, r.fields()), fmt::format("{}: {} {}", bytes, true, fields));
    CHECK(r.oddities.has(oddity));
  }
  must_refuse(bytes, oddity, {.strict = true});
}

std::string with(std::string_view fields) { return fmt::format("HTTP/1.1 200 OK\r\n{}\r\n\r\n", fields); }

void clean_heads_pass_untouched() {
  for (const bool strict : {false, true}) {
    const Reading r("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nA:  b \t\r\nEmpty:\r\n\r\n12345678", {.strict = strict});
    CHECK(r.accepted && r.oddities.empty());
    CHECK_EQ(r.fields(), "Content-Length=8;A=b;Empty=;");
    CHECK_EQ(r.head.body.length, 8u);
  }
  for (const std::string_view line : {"HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 404 Not Found", "HTTP/1.1 999 \xC3\xA9", "HTTP/1.9 200 OK"}) {
    CHECK(Reading(std::string(line) + "\r\n\r\n").accepted);
  }
}

void oddities_pass_and_are_named() {
  must_mend("HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\nok", Kind::bare_lf, "A=b;Content-Length=2;");
  must_mend("HTTP/1.1 200 OK\r\nA: b\n\r\n", Kind::bare_lf, "A=b;");
  must_mend("HTTP/1.1 200 OK\r\nA: b\r\n\n", Kind::bare_lf, "A=b;");
  must_mend("HTTP/1.1 200 OK\nContent-Length:8\nContent-Length:8\n\n", Kind::repeated_length, "Content-Length=8;");
  must_mend("\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", Kind::empty_line, "A=b;");
  must_mend("\r\n\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Kind::empty_line, "");
  must_mend(with("Content-Length: 8, 8"), Kind::repeated_length, "Content-Length=8;");
  must_mend(with("Content-Length: 8,8 ,8"), Kind::repeated_length, "Content-Length=8;");
  must_mend(with("Content-Length: 8\r\nX: y\r\ncontent-length: 8"), Kind::repeated_length, "Content-Length=8;X=y;");
  must_mend(with("Content-Length: 8\r\nContent-Length: 8, 8"), Kind::repeated_length, "Content-Length=8;");
  must_mend(with("A: b\r\n c"), Kind::folded_line, "A=b c;");
  must_mend(with("A: b \r\n\t \tc\r\n d\r\nE: f"), Kind::folded_line, "A=b c d;E=f;");
  must_mend(with("A: b\r\n \r\nE: f"), Kind::folded_line, "A=b;E=f;");
  must_mend(with("A:\r\n b"), Kind::folded_line, "A=b;");
  must_mend(with("A : b"), Kind::blank_before_colon, "A=b;");
  must_mend(with("Content-Length \t: 8"), Kind::blank_before_colon, "Content-Length=8;");
}

void mended_framing_is_the_framing() {
  const Reading coding(with("Transfer-Encoding:\r\n chunked"));
  CHECK(coding.accepted && coding.head.body.framing == Framing::chunked);
  const Reading blank(with("Transfer-Encoding : chunked"));
  CHECK(blank.accepted && blank.head.body.framing == Framing::chunked);
  const Reading length(with("Content-Length: 8, 8"));
  CHECK(length.accepted && length.head.body.framing == Framing::length && length.head.body.length == 8);
  const Reading none(with("Content-Length: 8, 8"), {}, Method::head);
  CHECK(none.accepted && none.head.body.framing == Framing::none);
}

void what_has_two_meanings_is_refused() {
  must_refuse(with("Content-Length: 8\r\nContent-Length: 9"), Kind::conflicting_lengths);
  must_refuse(with("Content-Length: 8, 9"), Kind::conflicting_lengths);
  must_refuse(with("Content-Length: 8, 8\r\nContent-Length: 9"), Kind::conflicting_lengths);
  must_refuse(with("Content-Length: 8\r\nContent-Length: 08"), Kind::conflicting_lengths);
  must_refuse(with("Content-Length: 8\r\n 0"), Kind::bad_length);
  must_refuse(with("X: y\r\nContent-Length: 8\r\nContent-Length: 8\r\n 0"), Kind::bad_header);
  must_refuse(with("Content-Length: 8,"), Kind::conflicting_lengths);
  for (const std::string_view length : {"", "x", "-1", "+8", "0x8", "8 8", "99999999999999999999", "9223372036854775808", "1e3", "8.0"}) {
    must_refuse(with(fmt::format("Content-Length: {}", length)), Kind::bad_length);
  }
  must_refuse(with("Content-Length: 8\r\nTransfer-Encoding: chunked"), Kind::both_lengths);
  must_refuse(with("Content-Length : 8\r\nTransfer-Encoding: chunked"), Kind::both_lengths);
  must_refuse(with("Content-Length: 8, 8\r\nTransfer-Encoding:\r\n chunked"), Kind::both_lengths);
  for (const std::string_view coding : {"gzip", "gzip, chunked", "chunked, gzip", "identity", "", "chunked;a=b", "\"chunked\""}) must_refuse(with(fmt::format("Transfer-Encoding: {}", coding)), Kind::bad_coding);
  must_refuse(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Kind::bad_coding);
  must_refuse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Kind::bad_coding);
}

void broken_lines_are_refused() {
  for (const std::string_view line : {"HTTP/1.1 099 No", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 abc", "HTTP/1.1", "HTTP/2.0 200 OK",
                                      "HTTP/1.1200 OK", "http/1.1 200 OK", "ICY 200 OK", "SSH-2.0-x", "200 OK", " HTTP/1.1 200 OK"}) {
    must_refuse(std::string(line) + "\r\n\r\n", Kind::bad_status_line);
    must_refuse(std::string(line) + "\n\n", Kind::bad_status_line);
  }
  must_refuse("\r\n\r\n\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Kind::bad_status_line);
  for (const std::string_view field : {"A", "A b", ": b", " : b", "A b: c", "A\xC3: c", "(A): b", "A,B: c", "A\": c", "A@: c"}) must_refuse(with(field), Kind::bad_header);
  must_refuse(with(" A: b"), Kind::bad_header);  // nothing to go on from
  must_refuse("HTTP/1.1 200 OK\r\n A: b\r\nC: d\r\n\r\n", Kind::bad_header);
  for (const std::string& value : {std::string("a\0b", 3), std::string("a\rb"), std::string("a\r"), std::string("a\x01"), std::string("a\x7f"), std::string("\r")}) {
    must_refuse(with("A: " + value), Kind::control_byte);
  }
  must_refuse("HTTP/1.1 200 O\rK\r\n\r\n", Kind::control_byte);
  must_refuse("HTTP/1.1 200 OK\r\r\n\r\n", Kind::control_byte);
}

void sizes_are_bounded() {
  const ResponseLimits small{.head_bytes = 200, .headers = 3};
  CHECK(Reading(with("A: b\r\nC: d\r\nE: f"), small).accepted);
  must_refuse(with("A: b\r\nC: d\r\nE: f\r\nG: h"), Kind::too_many_headers, small);
  must_refuse(with("A: " + std::string(200, 'x')), Kind::header_too_large, small);
  must_refuse("HTTP/1.1 200 " + std::string(200, 'x'), Kind::header_too_large, small);  // it need not end
  must_refuse(with("Connection: " + std::string(600, ',')), Kind::bad_header);
  std::string many;
  for (int i = 0; i < 5000; ++i) many += fmt::format("{}X-{}: {}", i == 0 ? "" : "\r\n", i, std::string(100, 'v'));
  CHECK(Reading(with(many)).accepted);
}

// However a head ends, what follows it belongs to the body.
void nothing_is_taken_from_the_body() {
  for (const std::string_view head : {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 3\n\n", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n"}) {
    const Reading r(std::string(head) + "\r\n\n");
    CHECK(r.accepted);
    CHECK_EQ(r.length, head.size());
  }
}

void every_reason_has_a_word() {
  for (size_t kind = 0; kind < Failure::kinds; ++kind) {
    const std::string_view name = http::failure_name(static_cast<Kind>(kind));
    CHECK(!name.empty());
    CHECK_EQ(name.starts_with("upstream-"), http::is_malformed(static_cast<Kind>(kind)));
    for (size_t other = 0; other < kind; ++other) CHECK(http::failure_name(static_cast<Kind>(other)) != name);
  }
}

}  // namespace

GOMA_TESTS(clean_heads_pass_untouched, oddities_pass_and_are_named, mended_framing_is_the_framing, what_has_two_meanings_is_refused,
           broken_lines_are_refused, sizes_are_bounded, nothing_is_taken_from_the_body, every_reason_has_a_word)
