// SPDX-License-Identifier: Apache-2.0
//
// The fields, and the refusals.
#include "http/limit_answer.h"

#include <fmt/format.h>

#include <charconv>

namespace goma::http {

namespace {

constexpr int64_t second_ns = 1'000'000'000;

// A structured-field string (RFC 8941 3.3.3); what it cannot hold becomes "_".
std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text += c < ' ' || c > '~' || c == '"' || c == '\\' ? '_' : c;
  return text + "\"";
}

std::string_view number(core::Arena& arena, int64_t value) {
  const fmt::format_int text(value);
  return arena.copy({text.data(), text.size()});
}

// Whole seconds, rounded up: who waits that long is let in.
std::string_view seconds(core::Arena& arena, int64_t ns) { return number(arena, (ns + second_ns - 1) / second_ns); }

// Whether a limit that was asked before has less left.
bool is_told_less(Headers& told, int64_t remaining) {
  const Header* field = told.find("X-RateLimit-Remaining");
  if (field == nullptr) return false;
  int64_t before = 0;
  std::from_chars(field->value.data(), field->value.data() + field->value.size(), before);
  return before <= remaining;
}

}  // namespace

LimitAnswer::LimitAnswer(std::string_view name, int64_t quota, int64_t window_s, int64_t capacity, bool headers)
    : name_(quoted(name)), policy_(fmt::format("{};q={};w={}", name_, quota, window_s)), limit_(std::to_string(capacity)), headers_(headers) {}

void LimitAnswer::describe(Exchange& x, const LimitDecision& decision) const {
  if (!headers_) return;
  core::Arena& arena = x.arena();
  Headers& told = x.response_headers_to_add();
  const std::string_view remaining = number(arena, decision.remaining);
  const std::string_view reset = seconds(arena, decision.taken ? decision.reset_ns : decision.wait_ns);
  told.add("RateLimit-Policy", policy_);
  told.add("RateLimit", arena.join(name_, ";r=", remaining, ";t=", reset));
  if (decision.taken && is_told_less(told, decision.remaining)) return;
  told.set("X-RateLimit-Limit", limit_);
  told.set("X-RateLimit-Remaining", remaining);
  told.set("X-RateLimit-Reset", reset);
}

Verdict LimitAnswer::refuse(Exchange& x, int status, std::string_view message, int64_t wait_ns) const {
  const Verdict verdict = x.reply(status, message);
  if (headers_) x.reply_header("Retry-After", seconds(x.arena(), wait_ns));
  return verdict;
}

Verdict LimitAnswer::deny(Exchange& x, const LimitDecision& decision) const {
  HostLimits(x).turned_away("denied");
  return refuse(x, 503, "503 Service Unavailable: the store of limits does not answer", decision.wait_ns);
}

}  // namespace goma::http
