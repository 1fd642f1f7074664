// SPDX-License-Identifier: Apache-2.0
//
// The second place of stored responses: Redis, common to all hosts. What this host does not have and is about to fetch
// may be there; what it stores is put there too, as far as it is not too large.
//
// The one idea: only who would ask the backend asks Redis, once for all who want the same on this host, and one script
// gives the response, or the lease to fetch it for all hosts, or says that another host has that. It is never waited for
// longer than a request waits for another's fetch, and without an answer the backend is asked.
//
// A key is the SHA-256 of everything that makes a URL of its own; keys of one URL have one hash tag. A value is a list of
// texts in the order of core::Pack: a response, the names by which the responses of a URL differ, or that nothing of
// it can be stored for a while.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/redis.h"
#include "http/await.h"
#include "http/exchange.h"
#include "http/response_store.h"

namespace goma::http {

struct SharedRule {
  bool on = true;
  uint64_t most_bytes = uint64_t{256} << 10;  // of a body
};

// What a request is to Redis; texts in the arena.
struct SharedQuestion {
  std::string_view name;    // the URL's key; empty: this request has no business there
  int64_t lease_ms = 5'000;
  int64_t limit_ms = 5'000; // to wait for another host
  const std::vector<std::string>* tag_fields = nullptr;
};

struct SharedAnswer {
  enum class Outcome : unsigned char {
    found,    // it is in this host's store now
    mine,     // this host fetches it for all: see lease
    passed,   // it cannot be stored
    nothing,  // no answer, or another host took too long
  };
  Outcome outcome = Outcome::nothing;
  std::string_view lease;  // to be given to SharedStore::release; in the arena
};

class SharedStore {
 public:
  // Redis answers, and this host knows what was purged of what is there.
  static bool usable(Exchange& x);
  // The lease that fetch gave is over.
  static void release(core::Redis& redis, std::string_view lease);
  // Nothing of this can be stored, for so long. purge: the last one known when that was learnt.
  static void pass(core::Redis& redis, std::string_view name, uint64_t purge, int64_t for_ms);
  // Puts a stored response there. names: by what responses of the URL differ.
  static void put(Exchange& x, std::string_view name, const StoreQuestion& question, const StoredResponse& response, const Headers& names, uint64_t most_bytes);
  static void forget(core::Redis& redis, std::string_view name);
};

class SharedFetch final : public Operation<SharedAnswer> {
 public:
  SharedFetch(Exchange& x, ResponseStore& store, const StoreQuestion& question, const StorePlace& place, const SharedQuestion& shared);
  SharedFetch(const SharedFetch&) = delete;
  SharedFetch& operator=(const SharedFetch&) = delete;
  ~SharedFetch() { give_up(); }

  void start() { ask(shared_.name); }
  void expire() { end(SharedAnswer::Outcome::nothing); }
  int64_t limit_ms() const { return shared_.limit_ms; }
  std::string_view what() const { return "the shared store"; }

 private:
  void ask(std::string_view key);
  void ask_again() { ask(key_); }
  void on_result(const core::RedisResult& result);
  void read(std::string_view value);
  void end(SharedAnswer::Outcome outcome);
  void give_up();
  void return_lease();

  Exchange& x_;
  ResponseStore& store_;
  StoreQuestion question_;
  StorePlace place_;
  SharedQuestion shared_;
  std::string_view key_;     // asked last
  std::string_view purged_;  // the number of a value that was found purged; empty: none was
  std::string_view lease_;
  const Headers* names_ = nullptr;  // by which the responses of the URL differ
  bool variant_ = false;
  core::RedisCall call_;
  core::Timer again_;
};

}  // namespace goma::http
