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

constexpr std::string_view policy_name = "RateLimit-Policy", state_name = "RateLimit", limit_name = "X-RateLimit-Limit",
                           remaining_name = "X-RateLimit-Remaining", reset_name = "X-RateLimit-Reset";

// What a limit that was asked before has left.
int64_t told_remaining(const Header& field) {
  int64_t before = 0;
  std::from_chars(field.value.data(), field.value.data() + field.value.size(), before);
  return before;
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
  const Header* before = told.size() != 0 ? told.find(remaining_name) : nullptr;
  const bool told_less = before != nullptr && decision.taken && told_remaining(*before) <= decision.remaining;
  told.add(HeaderId::other, policy_name, policy_);
  told.add(HeaderId::other, state_name, arena.join(name_, ";r=", remaining, ";t=", reset));
  if (told_less) return;
  if (before != nullptr) {
    for (const std::string_view name : {limit_name, remaining_name, reset_name}) told.remove(name);
  }
  told.add(HeaderId::other, limit_name, limit_);
  told.add(HeaderId::other, remaining_name, remaining);
  told.add(HeaderId::other, reset_name, reset);
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
