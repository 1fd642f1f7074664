// SPDX-License-Identifier: Apache-2.0
//
// Response heads as backends write them. What is clean goes straight through the strict parser (http/h1_parser.h). What
// is not clean but has one meaning only is mended first, and the oddity is named, so that it can be counted or refused:
//
//   a line that ends with LF alone            RFC 9112 2.2
//   empty lines in front of the status line   RFC 9112 2.2, said there of requests
//   Content-Length several times, the same    RFC 9112 6.3
//   a field line that is folded               RFC 9112 5.2: a proxy puts a blank in its place
//   a blank in front of a colon               RFC 9112 5.1: a proxy removes it
//
// The one idea: mending gives a clean text, and only the strict parser gives a meaning. So nothing gets in by mending
// that a clean head could not say: lengths that differ, a length beside a coding, a CR alone, a NUL stay faults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/arena.h"
#include "http/failure.h"
#include "http/h1_parser.h"
#include "http/message.h"

namespace goma::http {

// networking.backendMaxHeaderBytes, backendMaxHeaders and backendStrict.
struct ResponseLimits {
  size_t head_bytes = size_t{2} << 20;
  size_t headers = 10'000;
  bool strict = false;  // oddities are faults
};

// Some of the oddities at the end of Failure::Kind.
class Oddities {
 public:
  static constexpr Failure::Kind first = Failure::Kind::bare_lf;
  void add(Failure::Kind kind) { bits_ |= 1u << (static_cast<unsigned>(kind) - static_cast<unsigned>(first)); }
  bool has(Failure::Kind kind) const { return (bits_ >> (static_cast<unsigned>(kind) - static_cast<unsigned>(first)) & 1) != 0; }
  bool empty() const { return bits_ == 0; }
  // Calls visit(kind) for each.
  template <class Visit>
  void each(Visit visit) const {
    for (size_t kind = static_cast<size_t>(first); kind < Failure::kinds; ++kind) {
      if (has(static_cast<Failure::Kind>(kind))) visit(static_cast<Failure::Kind>(kind));
    }
  }

 private:
  unsigned bits_ = 0;
};

struct ResponseFault {
  Failure::Kind kind = Failure::Kind::none;
  std::string_view text;  // one sentence; static
};

// Finds the empty line that ends a head. Sees every byte once, however often it is asked.
class ResponseScanner {
 public:
  enum class State : unsigned char { more, complete, bad };

  // As HeadScanner::feed. What begins with anything but HTTP/1. is refused at once.
  State feed(const char* begin, size_t total, const ResponseLimits& limits);
  // Bytes of the head with its empty line. Requires: complete.
  size_t length() const { return line_start_; }
  // It has to be mended. Requires: complete.
  bool untidy() const { return untidy_; }
  // Requires: bad.
  const ResponseFault& fault() const { return fault_; }
  void reset() { *this = ResponseScanner(); }

 private:
  State refuse(Failure::Kind kind, std::string_view text);
  State line_complete(std::string_view line, const ResponseLimits& limits);

  size_t scanned_ = 0;     // bytes without an LF that was not looked at
  size_t line_start_ = 0;  // of the line being read
  size_t lines_ = 0;
  int leading_ = 0;        // empty lines before the status line
  bool untidy_ = false;
  ResponseFault fault_;
};

// For those that the parser does not take as they are.
bool read_odd_response(std::string_view head, core::Arena& arena, const ResponseLimits& limits, Method request_method, ResponseHead& out,
                       Oddities& oddities, ResponseFault& fault);

// Understands a head as the scanner delimited it; untidy as the scanner said. `head` must live as long as `out`. The
// method of its request decides whether there is content (RFC 9112 6.3). False: `fault` says why.
inline bool read_response(std::string_view head, bool untidy, core::Arena& arena, const ResponseLimits& limits, Method request_method, ResponseHead& out,
                          Oddities& oddities, ResponseFault& fault) {
  ParseError error;
  if (!untidy && parse_response(head, arena, {.headers = limits.headers}, request_method, out, error)) return true;
  return read_odd_response(head, arena, limits, request_method, out, oddities, fault);
}

// The text without its oddities, in the arena, for the strict parser to judge.
std::string_view mend_response(std::string_view head, core::Arena& arena, Oddities& oddities);

}  // namespace goma::http
