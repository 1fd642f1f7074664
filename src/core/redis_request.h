// SPDX-License-Identifier: Apache-2.0
//
// One command on its way: its bytes, who waits for it, and until when. It belongs to the client (core/redis.cc) and is
// lent to the link that carries it.
//
//   waiting   for a link
//   queued    on a link that is not ready yet, or in its output
//   sent      in flight; when nobody waits for it any more it stays, to swallow its answer
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/list.h"
#include "core/redis.h"

namespace goma::core {

class RedisLink;

struct RedisRequest {
  RedisCall* call = nullptr;  // null: nobody waits
  RedisLink* link = nullptr;  // that has it
  bool settled = false;       // the call was told, or nobody ever waited: an answer is swallowed
  bool asking = false;        // the next node is asked for a slot that is on its way to it (ASK)
  bool sent = false;
  bool with_text = false;     // a script that is sent with its text
  int redirects = 0;
  int slot = -1;              // -1: any node
  int64_t deadline_us = 0;
  int64_t sent_us = 0;
  int64_t asked_us = 0;
  const RedisScript* script = nullptr;
  std::string wire;
  ListHook queue;             // of a link, or of those that wait for one
  ListHook clock;             // of those with the same time limit

  void clear();
};

// Appends a command as Redis reads it (RESP2, an array of bulk strings).
void append_command(std::string& wire, std::string_view word);
void begin_command(std::string& wire, size_t words);

}  // namespace goma::core
