// SPDX-License-Identifier: Apache-2.0
//
// The one HTTP/1.x parser (RFC 9112), strict on purpose: what two readers could understand differently is refused
// here, so that no later stage has to wonder. Two steps: HeadScanner finds the end of a head in bytes that keep
// arriving; parse_request and parse_response understand a complete one, in place.
//
// The invariant: an accepted head has exactly one meaning, and everything in the result is a view into it. Bytes are
// never repaired. Obsolete line folding, bare CR or LF, blanks before a colon and control bytes are all refused.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/arena.h"
#include "http/message.h"

namespace goma::http {

struct Limits {
  size_t request_line = 16384;  // bytes without CRLF
  size_t head_bytes = 65536;    // everything up to and with the empty line
  size_t headers = 100;         // field lines
};

// Finds the empty line that ends a head. Sees every byte once, however often it is asked.
class HeadScanner {
 public:
  enum class State { more, complete, bad };

  // `begin` is the first byte of the head, `total` how many have arrived; total never shrinks between calls, the place
  // of the bytes may change. While a head is incomplete, a byte that can be in no head is reported as soon as it is seen.
  State feed(const char* begin, size_t total, const Limits& limits);
  // Bytes of the head with its empty line. Requires: complete.
  size_t length() const { return length_; }
  // Lines so far, the start line included.
  size_t lines() const { return lines_; }
  // Bytes up to the end of the last complete line.
  size_t whole_lines() const { return line_start_; }
  // The answer for a client and why, as a word for metrics and in a sentence. Requires: bad. 400, 414 or 431.
  int status() const { return status_; }
  const char* code() const { return code_; }
  const char* reason() const { return reason_; }
  void reset() { *this = HeadScanner(); }

 private:
  State refuse(int status, const char* code, const char* reason);
  State refuse_byte(char byte);
  State refuse_start_line(std::string_view line);
  State line_complete(const char* begin, size_t at, const Limits& limits);
  State want_more(const char* begin, size_t total, const Limits& limits);

  size_t scanned_ = 0;     // bytes without an LF that was not looked at
  size_t checked_ = 0;     // bytes of lines whose control bytes were looked at, while the head is incomplete
  size_t line_start_ = 0;  // of the line being read
  size_t length_ = 0;
  size_t lines_ = 0;
  const char* code_ = "";
  const char* reason_ = "";
  int status_ = 0;
  int leading_ = 0;        // empty lines before the start line (RFC 9112 2.2)
};

struct ParseError {
  int status = 400;        // for the client of a request; a response with an error is the backend's fault
  const char* code = "";   // a short name for metrics, like "both-lengths"
  std::string_view text;   // one sentence for logs; static
};

// The longest method there is.
constexpr size_t max_method = 32;

// Understands the request line of a head of which more may come (RFC 9112 3). False with `error` filled, as below. Requires: whole
// lines, with at least one that is not empty, as HeadScanner counted them.
bool parse_request_line(std::string_view lines, RequestHead& out, ParseError& error);

// Understands a request head as HeadScanner delimited it. False with `error` filled; `out` then holds what was understood
// before: enough to log and to answer. Statuses: 400, 405 (CONNECT, TRACE), 417 (Expect), 501 (method, transfer
// coding), 505. `head` must live as long as `out`.
bool parse_request(std::string_view head, core::Arena& arena, const Limits& limits, RequestHead& out, ParseError& error);

// Understands a response head. The method of its request decides whether there is content (RFC 9112 6.3).
bool parse_response(std::string_view head, core::Arena& arena, const Limits& limits, Method request_method, ResponseHead& out,
                    ParseError& error);

// One field line without its CRLF (RFC 9112 5). Requires: the line is not empty and has no control byte but HTAB.
// has_underscore: the name could be mistaken for another one where '-' becomes '_'.
bool parse_field(std::string_view line, Header& out, bool& has_underscore, ParseError& error);

// RFC 9110 5.6.2: letters, digits and !#$%&'*+-.^_`|~
bool is_token_char(char c);

// What HTTP/2 has in common with it: rules over the parts of a request, wherever they came from.

// RFC 9110 9.1: not CONNECT or TRACE, in capitals where it is a known one. Fills `method`. Requires: method_text is a token.
bool check_method(RequestHead& out, ParseError& error);
// RFC 9112 3.2: visible ASCII without '#' and so on. Fills form, path and query (with an absolute target scheme and host too).
bool check_target(RequestHead& out, ParseError& error);
// RFC 9110 10.1.1: 100-continue or nothing.
bool is_continue(std::string_view expectation);
// RFC 9110 8.6: digits only, at most 63 bits.
bool parse_length(std::string_view text, uint64_t& length);
// Whether a field of a trailer section may go on: defined for there, and no claim about who the client is.
bool passes_in_trailers(HeaderId id, std::string_view name);

}  // namespace goma::http
