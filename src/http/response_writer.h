// SPDX-License-Identifier: Apache-2.0
//
// Stores a response while it passes: every piece is copied into the store and handed on, and when the last one was
// there the response is published. The one idea: whatever goes wrong with the copy is nothing to the client; whatever
// goes wrong with the response leaves no copy.
#pragma once

#include <cstdint>
#include <vector>

#include "http/module.h"
#include "http/response_store.h"
#include "http/shared_store.h"

namespace goma::http {

class ResponseWriter final : public BodyFilter {
 public:
  // What is to be stored, settled when the head was there.
  struct Plan {
    StoreQuestion question;
    StorePlace place;
    StoredFacts facts;
    const Headers* fields = nullptr;  // of the response; in the arena
    const Headers* names = nullptr;   // what it differs by
    std::vector<StoreKey> tags;
    uint64_t most_bytes = UINT64_MAX;
    std::string_view shared_name;        // where it is put for all hosts; empty: nowhere
    uint64_t most_shared_bytes = 0;
    int64_t asked_ms = 0;             // wall clock
  };

  // The lease ends when the outcome is known.
  ResponseWriter(Exchange& x, ResponseStore& store, StoreLease& lease, core::CacheZone::Draft draft, Plan plan)
      : x_(x), store_(store), lease_(lease), plan_(std::move(plan)), draft_(std::move(draft)) {}

  void write(std::string_view data, bool last) override;
  bool only_watches() const override { return true; }

 private:
  void give_up();
  void publish();

  Exchange& x_;
  ResponseStore& store_;
  StoreLease& lease_;
  Plan plan_;
  core::CacheZone::Draft draft_;
};

}  // namespace goma::http
