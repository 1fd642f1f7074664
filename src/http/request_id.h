// SPDX-License-Identifier: Apache-2.0
//
// Per-worker text that every exchange needs: request ids (32 hex digits, unguessable enough to be unique, not secret)
// and the Date of the second (RFC 9110 6.6.1), made once per second.
#pragma once

#include <cstdint>
#include <ctime>
#include <string_view>

#include "core/arena.h"

namespace goma::http {

class RequestIds {
 public:
  // Seeds from the kernel; aborts when it has no randomness to give.
  RequestIds();
  // A new id in the arena.
  std::string_view make(core::Arena& arena);
  // The Date text of a wall-clock second; valid until another second is asked for, at least a second later.
  std::string_view date(time_t second);

 private:
  uint64_t next();
  uint64_t state_[4];
  time_t second_ = -1;
  char date_[2][32];  // an exchange may still hold the last second's
  int current_ = 0;
};

}  // namespace goma::http
