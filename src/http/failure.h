// SPDX-License-Identifier: Apache-2.0
//
// Why an exchange with a backend failed: one word per cause, the same in the access line, in the log and in metrics.
// docs/operations.md has each of them, and a test compares the two lists.
//
// What is known of the request at that moment travels with it: whether a byte of it was written, whether the backend
// says that it has not acted on it. Whether it may be sent once more is decided from that (http/retry.h).
#pragma once

#include <cstddef>
#include <string_view>

namespace goma::http {

struct Failure {
  enum class Kind : unsigned char {
    none,
    resolve,          // the name has no address
    connect,          // refused, unreachable
    connect_timeout,
    exhausted,        // this host has no descriptor or memory for a connection
    queue_full,       // too many requests already wait for a connection
    queue_timeout,
    send,             // broken while sending the request
    closed,           // closed before a response
    reset,            // reset before a response
    header_timeout,
    truncated,        // the body ended early
    body_timeout,
    tls,              // the handshake
    // A response that RFC 9112, RFC 9113 or a limit forbids.
    header_too_large,
    too_many_headers,
    bad_status_line,
    bad_header,           // a line that is no field
    control_byte,         // a NUL, a CR without LF or another control byte in the head
    bad_length,           // Content-Length is no length
    conflicting_lengths,  // more than one, and they differ
    both_lengths,         // Content-Length beside Transfer-Encoding
    bad_coding,           // a transfer coding other than chunked, or one in HTTP/1.0
    bad_chunk,
    informational_flood,
    unasked_switch,       // 101 where nobody asked for it
    bad_http2,            // frames or fields that RFC 9113 forbids
    // Oddities: accepted and counted, unless networking.backendStrict says otherwise.
    bare_lf,
    empty_line,           // in front of the status line
    repeated_length,      // Content-Length more than once with the same value
    folded_line,          // RFC 9112 5.2
    blank_before_colon,   // RFC 9112 5.1
  };
  static constexpr size_t kinds = static_cast<size_t>(Kind::blank_before_colon) + 1;

  Kind kind = Kind::none;
  bool reused = false;      // the connection had served before: the peer may have closed it on its own
  bool written = false;     // at least one byte of the request was given to the kernel
  bool refused = false;     // it was, but the backend says that it has not acted on it (RFC 9113 6.8, 8.7)
  bool answered = false;    // at least one byte of a response arrived
  std::string_view detail;  // a sentence; valid for the length of the call that tells of it
};

// "connect", "upstream-bare-lf", ...: the word for logs and metrics.
std::string_view failure_name(Failure::Kind kind);

// The backend has said something that is no response.
constexpr bool is_malformed(Failure::Kind kind) { return kind >= Failure::Kind::header_too_large; }
// The connection went away under the exchange.
constexpr bool lost_connection(Failure::Kind kind) {
  return kind == Failure::Kind::closed || kind == Failure::Kind::reset || kind == Failure::Kind::send;
}
// There was no connection, for a reason that lies with the backend: `exhausted` is none of them.
constexpr bool unreachable(Failure::Kind kind) {
  return kind == Failure::Kind::resolve || kind == Failure::Kind::connect || kind == Failure::Kind::connect_timeout || kind == Failure::Kind::tls;
}

}  // namespace goma::http
