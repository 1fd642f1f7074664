// SPDX-License-Identifier: Apache-2.0
//
// The words of gRPC: timeouts, statuses, messages.
#include "http/grpc.h"

#include <algorithm>

#include "core/text.h"
#include "http/exchange.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

constexpr std::string_view content_type = "application/grpc";
constexpr std::string_view status_field = "grpc-status";
constexpr size_t timeout_digits = 8;  // as the protocol says
constexpr size_t longest_message = 512;
constexpr int64_t retry_ms = 200;

std::string_view status_text(GrpcStatus status) {
  constexpr std::string_view texts[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};
  return texts[static_cast<size_t>(status)];
}

// Microseconds of one unit; 0: no such unit. Nanoseconds are below what a clock here tells apart.
int64_t unit_us(char unit) {
  switch (unit) {
    case 'H': return 3'600'000'000;
    case 'M': return 60'000'000;
    case 'S': return 1'000'000;
    case 'm': return 1'000;
    case 'u': return 1;
    default: return 0;
  }
}

}  // namespace

bool is_grpc(const RequestHead& request) {
  if (request.major_version != 2 || request.method != Method::post) return false;
  const std::string_view type = request.headers.get(HeaderId::content_type);
  if (!core::istarts_with(type, content_type)) return false;
  return type.size() == content_type.size() || type[content_type.size()] == '+' || type[content_type.size()] == ';';
}

GrpcStatus grpc_status(int http_status) {
  switch (http_status) {
    case 400: return GrpcStatus::internal;
    case 401: return GrpcStatus::unauthenticated;
    case 403: return GrpcStatus::permission_denied;
    case 404: return GrpcStatus::unimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return GrpcStatus::unavailable;
    default: return GrpcStatus::unknown;
  }
}

std::optional<int64_t> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > timeout_digits + 1) return std::nullopt;
  const std::string_view digits = text.substr(0, text.size() - 1);
  if (!std::all_of(digits.begin(), digits.end(), core::is_digit)) return std::nullopt;
  const auto value = static_cast<int64_t>(*core::parse_u64(digits));
  if (text.back() == 'n') return (value + 999'999) / 1'000'000;
  const int64_t unit = unit_us(text.back());
  if (unit == 0) return std::nullopt;
  return (value * unit + 999) / 1000;
}

std::string_view encode_grpc_message(core::Arena& arena, std::string_view text) {
  constexpr char hex[] = "0123456789ABCDEF";
  text = text.substr(0, std::min(text.find('\n'), longest_message));
  while (!text.empty() && core::is_space(text.back())) text.remove_suffix(1);
  char* const begin = static_cast<char*>(arena.allocate(3 * text.size() + 1, 1));
  char* out = begin;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      *out++ = c;
      continue;
    }
    *out++ = '%';
    *out++ = hex[static_cast<unsigned char>(c) >> 4];
    *out++ = hex[static_cast<unsigned char>(c) & 15];
  }
  return {begin, static_cast<size_t>(out - begin)};
}

// ---------------------------------------------------------------- a call

GrpcCall::GrpcCall(Exchange& x) : x_(x) {
  deadline_.bind<&GrpcCall::on_deadline>(x.runtime().wheel, this);
  const Header* timeout = x.request().headers.find("grpc-timeout");
  if (timeout == nullptr) return;
  if (const std::optional<int64_t> ms = parse_grpc_timeout(timeout->value)) deadline_.in(std::max<int64_t>(*ms, 1));
}

void GrpcCall::on_deadline() {
  if (x_.over()) return;
  if (x_.waiting()) {  // its operation has a limit of its own
    deadline_.in(retry_ms);
    return;
  }
  expired_ = true;
  x_.fail(504, "deadline exceeded", Ending::backend_timeout);
}

void GrpcCall::answer(int http_status, std::string_view message, ResponseHead& response) {
  response.status = 200;
  response.reason = reason_phrase(200);
  response.body = {Framing::none, 0};
  response.headers.set(HeaderId::content_type, content_type);
  add_status(response.headers, http_status, message);
}

const Headers* GrpcCall::trailers(int http_status, std::string_view message) {
  auto* fields = x_.arena().make<Headers>(x_.arena());
  add_status(*fields, http_status, message);
  return fields;
}

void GrpcCall::add_status(Headers& headers, int http_status, std::string_view message) {
  const GrpcStatus status = expired_ ? GrpcStatus::deadline_exceeded : grpc_status(http_status);
  headers.set(status_field, status_text(status));
  headers.set("grpc-message", encode_grpc_message(x_.arena(), message));
  note_status(&headers);
}

void GrpcCall::note_status(const Headers* fields) {
  const Header* status = fields != nullptr && !noted_ ? fields->find(status_field) : nullptr;
  if (status == nullptr) return;
  noted_ = true;
  x_.add_log_field("grpc_status", status->value);
}

}  // namespace goma::http
