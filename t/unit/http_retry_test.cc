// SPDX-License-Identifier: Apache-2.0
//
// What may be sent once more: a table of every combination that matters, and the promises that hold for all of them.
#include "http/retry.h"

#include <initializer_list>

#include "check.h"

using goma::http::FailedAttempt;
using goma::http::Failure;
using goma::http::Method;
using goma::http::next_step;
using goma::http::NextStep;
using Kind = goma::http::Failure::Kind;

namespace {

constexpr bool kept = true, fresh = false;
constexpr NextStep stop = NextStep::give_up, anew = NextStep::other_connection, next = NextStep::next_backend, again = NextStep::retry;

enum class Written { nothing, some, refused, answered };
enum class Content { none, there, gone, upgrade };

struct Row {
  Method method;
  Written written;
  bool reused;
  Kind kind;
  Content content;
  int retries;
  NextStep want;
};

FailedAttempt attempt_of(const Row& row) {
  Failure failure;
  failure.kind = row.kind;
  failure.reused = row.reused;
  failure.written = row.written != Written::nothing;
  failure.refused = row.written == Written::refused;
  failure.answered = row.written == Written::answered;
  return {failure, row.method, row.content == Content::upgrade, row.content == Content::gone, row.retries, 0, 0};
}

constexpr Row rows[] = {
    // Without the means for a connection: another backend may have one.
    {Method::post, Written::nothing, fresh, Kind::exhausted, Content::there, 0, next},
    {Method::get, Written::nothing, fresh, Kind::exhausted, Content::none, 1, next},
    // What was written is written again only when that is the same as once.
    {Method::post, Written::some, kept, Kind::closed, Content::none, 1, stop},
    {Method::post, Written::some, kept, Kind::reset, Content::none, 10, stop},
    {Method::post, Written::some, kept, Kind::send, Content::none, 1, stop},
    {Method::post, Written::some, fresh, Kind::closed, Content::none, 1, stop},
    {Method::patch, Written::some, kept, Kind::closed, Content::none, 1, stop},
    {Method::connect, Written::some, kept, Kind::closed, Content::none, 1, stop},
    {Method::other, Written::some, kept, Kind::closed, Content::none, 1, stop},
    {Method::get, Written::some, kept, Kind::closed, Content::upgrade, 1, stop},
    {Method::get, Written::some, kept, Kind::closed, Content::none, 1, again},
    {Method::get, Written::some, fresh, Kind::reset, Content::none, 1, again},
    {Method::head, Written::some, kept, Kind::reset, Content::none, 1, again},
    {Method::options, Written::some, kept, Kind::send, Content::none, 1, again},
    {Method::put, Written::some, kept, Kind::closed, Content::none, 1, again},
    {Method::delete_, Written::some, kept, Kind::closed, Content::none, 1, again},
    {Method::put, Written::some, kept, Kind::closed, Content::gone, 1, stop},
    {Method::get, Written::some, fresh, Kind::tls, Content::none, 1, again},
    {Method::post, Written::some, fresh, Kind::tls, Content::none, 1, stop},
    // As often as the configuration says.
    {Method::get, Written::some, kept, Kind::closed, Content::none, 0, stop},
    {Method::get, Written::some, fresh, Kind::reset, Content::none, 0, stop},
    // A backend that has not acted says so, whatever the method.
    {Method::post, Written::refused, kept, Kind::closed, Content::none, 1, again},
    {Method::other, Written::refused, fresh, Kind::closed, Content::none, 1, again},
    {Method::post, Written::refused, fresh, Kind::closed, Content::gone, 1, stop},
    {Method::post, Written::refused, fresh, Kind::closed, Content::none, 0, stop},
    // A kept connection that was closed before a byte was written is replaced, without counting.
    {Method::post, Written::nothing, kept, Kind::closed, Content::there, 0, anew},
    {Method::post, Written::nothing, kept, Kind::send, Content::none, 0, anew},
    {Method::get, Written::nothing, kept, Kind::reset, Content::upgrade, 0, anew},
    {Method::post, Written::nothing, kept, Kind::reset, Content::gone, 5, stop},
    // What no connection was found for goes on to the next backend, without counting.
    {Method::post, Written::nothing, fresh, Kind::connect, Content::there, 0, next},
    {Method::post, Written::nothing, fresh, Kind::connect_timeout, Content::there, 0, next},
    {Method::other, Written::nothing, fresh, Kind::resolve, Content::none, 0, next},
    {Method::patch, Written::nothing, fresh, Kind::tls, Content::there, 0, next},
    {Method::post, Written::nothing, fresh, Kind::closed, Content::there, 0, next},
    // A limit of the gateway, time that is over, an answer that is none: no further attempt helps.
    {Method::get, Written::nothing, fresh, Kind::queue_full, Content::none, 5, stop},
    {Method::get, Written::nothing, fresh, Kind::queue_timeout, Content::none, 5, stop},
    {Method::get, Written::some, fresh, Kind::header_timeout, Content::none, 5, stop},
    {Method::get, Written::some, fresh, Kind::bad_status_line, Content::none, 5, stop},
    {Method::get, Written::some, fresh, Kind::header_too_large, Content::none, 5, stop},
    {Method::get, Written::answered, kept, Kind::closed, Content::none, 5, stop},
    {Method::get, Written::answered, kept, Kind::truncated, Content::none, 5, stop},
};

void every_row_holds() {
  size_t number = 0;
  for (const Row& row : rows) CHECK_EQ(fmt::format("row {}: {}", number, static_cast<int>(next_step(attempt_of(row)))), fmt::format("row {}: {}", number, static_cast<int>(row.want))), ++number;
}

// Over all combinations: nothing that was written goes out a second time where that could do something twice.
void nothing_is_done_twice() {
  for (int method = 0; method <= static_cast<int>(Method::other); ++method) {
    for (size_t kind = 0; kind < Failure::kinds; ++kind) {
      for (const bool reused : {kept, fresh}) {
        for (const Content content : {Content::none, Content::there, Content::gone, Content::upgrade}) {
          for (const int retries : {0, 1, 3}) {
            const Row row{static_cast<Method>(method), Written::some, reused, static_cast<Kind>(kind), content, retries, stop};
            const NextStep got = next_step(attempt_of(row));
            const bool may = goma::http::is_idempotent(row.method) && content != Content::upgrade && content != Content::gone && retries > 0;
            CHECK(got == stop || (got == again && may));
            Row answered = row;
            answered.written = Written::answered;
            CHECK(next_step(attempt_of(answered)) == stop);
            Row unwritten = row;
            unwritten.written = Written::nothing;
            CHECK(next_step(attempt_of(unwritten)) != again);
          }
        }
      }
    }
  }
}

void replacing_ends() {
  FailedAttempt attempt = attempt_of({Method::post, Written::nothing, kept, Kind::closed, Content::there, 0, anew});
  attempt.replaced = goma::http::most_replaced;
  CHECK(next_step(attempt) == next);
  // A backend that refuses streams while it restarts is asked beyond the retries, not for ever.
  attempt = attempt_of({Method::post, Written::refused, fresh, Kind::closed, Content::none, 1, again});
  attempt.retried = 1;
  CHECK(next_step(attempt) == anew);
  attempt.replaced = goma::http::most_replaced;
  CHECK(next_step(attempt) == stop);
}

}  // namespace

GOMA_TESTS(replacing_ends, every_row_holds, nothing_is_done_twice)
