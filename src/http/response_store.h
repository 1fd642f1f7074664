// SPDX-License-Identifier: Apache-2.0
//
// Where a response cache keeps responses, as a middleware sees it: look one up, be the one that fetches or wait for who
// does, write one while it passes, and see that what was purged is not served. Today that is the host's shared memory
// (core/cache_zone.h); a lookup is an operation, so that a further place may take its time.
//
// The one idea: who fetches holds a lease. Whoever else wants the same waits for the lease to end, not for a response,
// and then looks: there is one, or there is a reason why there is none.
//
// It does not decide what may be stored or served; that is http/freshness.h and the middleware.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/cache_zone.h"
#include "core/list.h"
#include "core/loop.h"
#include "core/presence.h"
#include "core/purge.h"
#include "http/await.h"
#include "http/exchange.h"
#include "http/stored_response.h"

namespace goma::http {

class ServerMetrics;
class StoreWait;

// Makes a key of a list of texts: no two lists have the same key, and no client can aim at another's.
class StoreKeyMaker {
 public:
  StoreKeyMaker(const core::CacheZone& zone, StoreKey seed) : zone_(zone), key_(seed) {}
  StoreKeyMaker& add(std::string_view text);
  StoreKey made();

 private:
  void fold();
  const core::CacheZone& zone_;
  StoreKey key_;
  size_t used_ = 0;
  char gathered_[512];
};

// What a request wants, in the store's terms. Texts and lists live as long as the exchange.
struct StoreQuestion {
  StoreKey url;           // of everything that makes a URL of its own
  std::string_view host;  // for marks
  CanonicalPath path;     // and for them each of its readings
  const Headers* request; // fields, as they were when it was asked
};

// What the store has for it.
struct StorePlace {
  StoreKey key;                              // where the response lies or would: the URL's, or that of a variant
  const StoredResponse* response = nullptr;  // in the exchange's arena
  const StoredResponse* variants = nullptr;  // the list of names by which responses differ
};

class ResponseStore {
 public:
  static constexpr uint64_t least_bytes = uint64_t{8} << 20;
  static constexpr int64_t pass_ms = 10'000;  // how long nobody waits for what could not be stored

  // Times are those of the cluster when presence knows them (core/presence.h).
  ResponseStore(core::Loop& loop, ServerMetrics* metrics);
  void keep_time_by(const core::Presence* presence) { presence_ = presence; }
  ResponseStore(const ResponseStore&) = delete;
  ResponseStore& operator=(const ResponseStore&) = delete;
  ~ResponseStore();

  // Opens the host's store, made with room for `bytes` when there is none; it stays open for later configurations. 0
  // bytes: none is asked for. Whether there is one; why not, and that it cannot grow, is told in the log.
  bool provide(core::Slab& slab, uint64_t bytes);
  core::CacheZone* zone() { return zone_ ? &*zone_ : nullptr; }

  // The store of the worker that serves this exchange; null: there is none.
  static ResponseStore* of(Exchange& x);

  StoreKeyMaker key(StoreKey seed = {}) const { return StoreKeyMaker(*zone_, seed); }

  // ---------------------------------------------------------------- reading

  StorePlace find(Exchange& x, const StoreQuestion& question);

  // ---------------------------------------------------------------- fetching

  // Whether the caller is the one that fetches; it gives up the lease when it knows the outcome. When it ends by itself
  // (Loop::now_ms); 0: somebody else has it.
  int64_t lease(StoreKey key, int64_t for_ms);
  void release(StoreKey key, int64_t until_ms);
  // Nothing of this can be stored: for a while nobody has to wait.
  void pass(StoreKey key) { passing_[key.low % passing_places] = {key, loop_.now_ms() + pass_ms, false}; }
  bool passes(StoreKey key) const { return find_passing(key) != nullptr; }
  // The same, and its body was too large: it is not even tried for a while.
  void pass_large(StoreKey key) { passing_[key.low % passing_places] = {key, loop_.now_ms() + large_ms, true}; }
  bool is_large(StoreKey key) const {
    const Passing* passing = find_passing(key);
    return passing != nullptr && passing->large;
  }
  // Asking has failed with this status; who waits already need not ask again.
  void failed(Exchange& x, StoreKey key, int status);

  // ---------------------------------------------------------------- writing

  // The largest body there is room for.
  uint64_t most_bytes() const { return most_bytes_; }
  // Empty: there is no room.
  core::CacheZone::Draft begin();
  // Whether it is stored now. The place is where the request has looked; names are what the response differs by.
  // asked_ms: wall clock, when it went to the backend.
  bool publish(Exchange& x, core::CacheZone::Draft& draft, const StoreQuestion& question, const StorePlace& place, const Headers& names, int64_t asked_ms, std::string_view head);
  // Gives a stored response a newer head. False: it stays as it is, or is gone.
  bool refresh(const StorePlace& place, std::string_view head);
  void remove(StoreKey key) { zone_->remove(key); }
  // What is stored for a URL is gone, and what is being fetched for it will not be stored.
  void invalidate(Exchange& x, StoreKey url);
  int64_t wall_ms() const;
  // What is asked for from now on goes by this number (StoredFacts::purge).
  uint64_t last_purge() const { return zone_->last_purge(); }
  // Whether a response that answers this question, goes by the number and carries these tags was purged.
  bool is_purged(const StoreQuestion& question, uint64_t known, std::span<const StoreKey> tags) const;

  // ---------------------------------------------------------------- purging

  // What carries one of these and was stored before is gone. A prefix ends with a slash.
  StoreKey mark_of_url(std::string_view host, std::string_view path) const { return mark(core::Purge::Kind::url, host, path); }
  StoreKey mark_of_prefix(std::string_view host, std::string_view path) const { return mark(core::Purge::Kind::prefix, host, path); }
  StoreKey mark_of_tag(std::string_view tag) const { return mark(core::Purge::Kind::tag, {}, tag); }

  // "hit", "miss" and so on, for the metrics.
  void count(std::string_view outcome);

 private:
  friend class StoreWait;
  struct Passing {
    StoreKey key;
    int64_t until_ms = 0;
    bool large = false;
  };
  struct Hash {
    size_t operator()(const StoreKey& key) const { return static_cast<size_t>(key.low); }
  };
  struct Waiters;
  static constexpr size_t passing_places = 1024;
  static constexpr int64_t large_ms = 60'000;

  const Passing* find_passing(StoreKey key) const {
    const Passing& passing = passing_[key.low % passing_places];
    return passing.key == key && passing.until_ms > loop_.now_ms() ? &passing : nullptr;
  }
  // A note that has only a head, under a key of its own beside another.
  void note(Exchange& x, StoreKey key, std::string_view what, const StoredFacts& facts);
  const StoredResponse* noted(Exchange& x, StoreKey key, std::string_view what) { return read(x, this->key(key).add(what).made()); }
  StoreKey mark(core::Purge::Kind kind, std::string_view host, std::string_view name) const { return core::Purge::mark(*zone_, kind, host, name); }
  const StoredResponse* read(Exchange& x, StoreKey key);
  StoreKey variant_key(Exchange& x, const StoreQuestion& question, uint64_t number, const Headers& names) const;
  StoreKey place_of(Exchange& x, const StoreQuestion& question, const StorePlace& place, const Headers& names);
  void await(StoreWait& waiter);
  void look_after();
  void wake(StoreKey key);

  core::Loop& loop_;
  ServerMetrics* metrics_;
  const core::Presence* presence_ = nullptr;
  std::optional<core::CacheZone> zone_;
  uint64_t configured_bytes_ = 0;
  uint64_t most_bytes_ = 0;
  std::array<Passing, passing_places> passing_{};
  std::unordered_map<StoreKey, std::unique_ptr<Waiters>, Hash> waiting_;
  core::Timer timer_;
  core::Deferred released_;
};

// Looks a question up.
class StoreLookup final : public Operation<StorePlace> {
 public:
  StoreLookup(Exchange& x, ResponseStore& store, const StoreQuestion& question) : x_(x), store_(store), question_(question) {}
  void start() { complete(store_.find(x_, question_)); }
  void expire() { complete({question_.url, nullptr, nullptr}); }
  int64_t limit_ms() const { return 1'000; }
  std::string_view what() const { return "the response store"; }

 private:
  Exchange& x_;
  ResponseStore& store_;
  StoreQuestion question_;
};

// Being the one that fetches, for as long as this lives.
class StoreLease {
 public:
  StoreLease() = default;
  StoreLease(const StoreLease&) = delete;
  StoreLease& operator=(const StoreLease&) = delete;
  ~StoreLease() { end(); }
  // False: somebody else has it.
  bool take(ResponseStore& store, StoreKey key, int64_t for_ms) {
    until_ms_ = store.lease(key, for_ms);
    if (until_ms_ == 0) return false;
    store_ = &store;
    key_ = key;
    return true;
  }
  // Takes it over from another. Requires: this one is not held.
  void take(StoreLease& other) {
    store_ = std::exchange(other.store_, nullptr);
    key_ = other.key_;
    until_ms_ = other.until_ms_;
    redis_ = std::exchange(other.redis_, nullptr);
    shared_ = std::move(other.shared_);
  }
  // The fetch is for all hosts: ends with a word to Redis.
  void share(core::Redis& redis, std::string_view lease) {
    redis_ = &redis;
    shared_ = lease;
  }
  bool is_shared() const { return redis_ != nullptr; }
  void end();
  bool held() const { return store_ != nullptr; }
  StoreKey key() const { return key_; }

 private:
  ResponseStore* store_ = nullptr;
  StoreKey key_{};
  int64_t until_ms_ = 0;
  core::Redis* redis_ = nullptr;
  std::string shared_;
};

// What came of waiting for somebody else's fetch.
struct Waited {
  enum class Outcome : unsigned char {
    stored,   // place.response is new
    again,    // it may be fetched by whoever leases it now
    passed,   // it cannot be stored: no need to wait
    failed,   // the backend gave an error, or none
    expired,  // too long
  };
  Outcome outcome = Outcome::expired;
  StorePlace place;
  int status = 0;  // of a failure
};

// Waits until the lease of a key ends.
class StoreWait final : public Operation<Waited> {
 public:
  StoreWait(Exchange& x, ResponseStore& store, const StoreQuestion& question, StoreKey key, int64_t limit_ms);
  void start() { store_.await(*this); }
  void expire();
  int64_t limit_ms() const { return limit_ms_; }
  std::string_view what() const { return "another request's fetch"; }

  core::ListHook hook;

 private:
  friend class ResponseStore;
  void look();

  Exchange& x_;
  ResponseStore& store_;
  StoreQuestion question_;
  StoreKey key_;
  int64_t limit_ms_;
  int64_t since_ms_;  // wall clock
};

}  // namespace goma::http
