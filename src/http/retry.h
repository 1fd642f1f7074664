// SPDX-License-Identifier: Apache-2.0
//
// What follows a failed attempt at a backend. One rule, without a state:
//
//   What was not written is free to go elsewhere: nobody can have acted on it. What was written once is written again
//   only when its method is idempotent (RFC 9110 9.2.2) or the backend says that it has not acted (RFC 9113 8.7), while
//   nothing of a response arrived, none of its content is gone, and only so often as networking.retries allows. A backend
//   that has not acted may say so a few times more (it restarts its connections); with retries 0 it is not asked again.
//
// Who follows the rule bounds what is free: each backend once.
#pragma once

#include "http/failure.h"
#include "http/message.h"

namespace goma::http {

struct FailedAttempt {
  Failure failure;
  Method method = Method::other;
  bool upgrade = false;      // it asked to switch protocols: a backend that has read it may have switched
  bool content_gone = false; // content was taken from the client and cannot be given once more
  int retries = 0;           // how many are allowed in all
  int retried = 0;           // how many there were
  int replaced = 0;          // how many times other_connection was the answer
};

// More of them than this is no accident.
constexpr int most_replaced = 3;

enum class NextStep : unsigned char {
  give_up,
  other_connection,  // to the same backend, not counted: this one was closed before a byte was written, or took no more
  next_backend,      // one that was not tried yet; else give up
  retry,             // counts as one
};

NextStep next_step(const FailedAttempt& attempt);

// Whether the rule allows a second time for what was written.
bool is_repeatable(Method method, bool upgrade);

}  // namespace goma::http
