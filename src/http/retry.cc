// SPDX-License-Identifier: Apache-2.0
//
// The rule, in its order.
#include "http/retry.h"

namespace goma::http {

bool is_repeatable(Method method, bool upgrade) { return is_idempotent(method) && !upgrade; }

NextStep next_step(const FailedAttempt& attempt) {
  const Failure& failure = attempt.failure;
  if (failure.answered || attempt.content_gone) return NextStep::give_up;
  if (failure.kind == Failure::Kind::exhausted && !failure.written) return NextStep::next_backend;  // it may have a connection
  if (!lost_connection(failure.kind) && !unreachable(failure.kind)) return NextStep::give_up;
  const bool may_replace = attempt.replaced < most_replaced;
  if (!failure.written) return (failure.reused || failure.refused) && may_replace ? NextStep::other_connection : NextStep::next_backend;
  if (!failure.refused && !is_repeatable(attempt.method, attempt.upgrade)) return NextStep::give_up;
  if (attempt.retried < attempt.retries) return NextStep::retry;
  return failure.refused && attempt.retries > 0 && may_replace ? NextStep::other_connection : NextStep::give_up;
}

}  // namespace goma::http
