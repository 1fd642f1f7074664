// SPDX-License-Identifier: Apache-2.0
//
// Keeps the OCSP responses of the served certificates fresh, in the manager: asks when half of a response's validity
// is over, and again after growing pauses when that fails. What was fetched lies in the slab (core/staples), where the
// workers find it; without this process it stays there until it expires.
//
// Asking blocks, so it has a thread of its own: a responder that hangs delays other responders, never a reload.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/helper.h"
#include "core/metric.h"
#include "core/ocsp.h"
#include "core/service.h"
#include "core/staples.h"

namespace goma::core {

class Stapler {
 public:
  static constexpr int64_t min_pause_s = 60;
  static constexpr int64_t max_pause_s = 24 * 3600;     // after an answer
  static constexpr int64_t max_back_off_s = 3600;       // after failures

  explicit Stapler(Context& context);
  Stapler(const Stapler&) = delete;
  Stapler& operator=(const Stapler&) = delete;

  // These certificates from now on; new ones are asked about at once.
  void configure(std::vector<OcspQuestion> questions);

  // Seconds until the next question after an answer, or after that many failures in a row.
  static int64_t pause_after(const OcspAnswer& answer, int64_t now);
  static int64_t pause_after_failures(int failures);

 private:
  struct Entry {
    OcspQuestion question;
    int64_t due_ms = 0;
    int failures = 0;
    bool asking = false;
  };

  void on_second();
  void ask(Entry& entry);
  void told(const std::string& fingerprint, const Result<OcspAnswer>& answer);
  void note_failure(Entry& entry, const Error& error);

  Loop& loop_;
  Helper helper_;
  Metrics& metrics_;
  Metrics::Cell fetched_;
  Metrics::Cell failed_;
  std::optional<Staples> staples_;
  std::map<std::string, Entry> entries_;  // by fingerprint
  Timer second_;
};

}  // namespace goma::core
