// SPDX-License-Identifier: Apache-2.0
//
// The words between the master and its children: orders go down, reports come up, each a Message on a Channel. The
// comment behind a word says what its body holds (in Pack's order) and which descriptors come with it.
#pragma once

#include <cstdint>

namespace goma::core {

enum Order : uint32_t {
  order_sockets = 1,  // texts, one per descriptor; descriptors: sockets. Before a commit, in as many as needed
  order_prepare,      // generation, the plan without its long parts; descriptor: bundle
  order_commit,       // generation
  order_abort,        // generation
  order_drain,        // grace in ms
  order_reopen,       // -
  order_ask,          // number of the question, what, 1 for JSON
};

enum Report : uint32_t {
  report_ready = 101,   // generation
  report_failed,        // generation, reason
  report_committed,     // generation
  report_answer,        // number of the question; descriptor: memfd with the text
  report_want_rotate,   // -
};

}  // namespace goma::core
