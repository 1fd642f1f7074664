// SPDX-License-Identifier: Apache-2.0
//
// What the gateway owes a gRPC call (the gRPC protocol over HTTP/2): its own errors in gRPC's form, and the end of the
// call when the client's deadline passes. A call is an exchange like any other; its messages are bytes that pass, and
// its trailers pass with them.
//
// The one idea: an error that the gateway makes has one HTTP status, decided where it happens, and a call says it
// again in the words of gRPC: status 200, grpc-status, grpc-message, no content. Logs and metrics keep the HTTP status.
//
// It does not know gRPC-Web, and reads no message.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/deadline.h"
#include "http/message.h"

namespace goma::http {

class Exchange;

// Status codes of gRPC that the gateway says itself.
enum class GrpcStatus : unsigned char {
  unknown = 2,
  deadline_exceeded = 4,
  permission_denied = 7,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  unauthenticated = 16,
};

// Whether the request is a gRPC call: HTTP/2, POST, a content type of application/grpc.
bool is_grpc(const RequestHead& request);
// What a client makes of an answer that is not gRPC (the mapping of the gRPC documentation, "HTTP to gRPC status").
GrpcStatus grpc_status(int http_status);
// Milliseconds of a grpc-timeout ("250m"), rounded up; nothing when it is malformed.
std::optional<int64_t> parse_grpc_timeout(std::string_view text);
// A text for grpc-message: everything but printable ASCII, and the percent sign, as %XX. Ends at the line's end.
std::string_view encode_grpc_message(core::Arena& arena, std::string_view text);

// One call; lives in its exchange's arena.
class GrpcCall {
 public:
  // The deadline runs from now on; when it passes, the exchange fails.
  explicit GrpcCall(Exchange& x);

  // Makes the gateway's answer (its status, its text) one of gRPC: a head that says everything.
  void answer(int http_status, std::string_view message, ResponseHead& response);
  // The end of a response that has begun and cannot be completed.
  const Headers* trailers(int http_status, std::string_view message);
  // The status of the call goes to the log, from wherever it stands.
  void note_status(const Headers* fields);

 private:
  void on_deadline();
  void add_status(Headers& headers, int http_status, std::string_view message);

  Exchange& x_;
  core::Deadline deadline_;
  bool expired_ = false;
  bool noted_ = false;
};

}  // namespace goma::http
