// SPDX-License-Identifier: Apache-2.0
//
// What is known by its first bytes, how few of them suffice, and that nothing else is taken for it.
#include "http/stray_greeting.h"

#include "check.h"

using namespace std::string_view_literals;

namespace {

std::string name(std::string_view begin) {
  const goma::http::ParseError* error = goma::http::stray_greeting(begin);
  return error != nullptr ? fmt::format("{} {}", error->status, error->code) : "none";
}

void protocols_have_names() {
  for (const auto begin : {"\x16"sv, "\x16\x03"sv, "\x16\x03\x01\x02\0\x01"sv, "\x16\x03\x03"sv}) CHECK_EQ(name(begin), "400 tls");
  for (const auto begin : {"PROXY"sv, "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"sv, "PROXY UNKNOWN\r\n"sv, "\r\n\r\n\0"sv, "\r\n\r\n\0\r\nQUIT\n\x21"sv}) {
    CHECK_EQ(name(begin), "400 proxy-header");
  }
  for (const auto begin : {"PRI * HTTP/2.0\r\n"sv, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"sv}) CHECK_EQ(name(begin), "505 http2-preface");
}

void nothing_else_has() {
  for (const auto begin : {""sv, "\x16G"sv, "\x15\x03\x01"sv, "GET /\r\n"sv, "PROX"sv, "PROXYX / HTTP/9\r\n"sv, "proxy tcp4"sv, "\r\n\r\nG"sv, "\r\n\r\n"sv,
                           "\r\n\r\n\0QUIT"sv, "PRI * HTTP/2.0"sv, "PRI / HTTP/2.0\r\n"sv}) {
    CHECK_EQ(name(begin), "none");
  }
}

}  // namespace

GOMA_TESTS(protocols_have_names, nothing_else_has)
