// SPDX-License-Identifier: Apache-2.0
//
// How limits agree over hosts without a round trip per request: every host decides on its own copy of a bucket or a
// count (core/limit_zone.h), tells Redis what it took, and takes over what Redis says all have taken. What it did not
// know yet becomes debt that is worked off before anything more is let in.
//
// The one idea: an account per key and worker, of what was taken here and is not known there. It is settled after
// 50 ms when much is in it, after 200 ms in any case, and one posting of an account is on its way at a time.
//
//   open     something was taken and not posted yet
//   posted   on its way; what is taken meanwhile gathers for the next posting
//   idle     nothing is owed; kept while there is room, so that its name needs not be made again
//
// While Redis cannot be reached the worker is apart: what it takes gathers, and it counts every request for as many as
// there were hosts (core/presence.h), so that each host keeps to its share. It does so for a second longer, in which the
// others find Redis again too. A bucket is then posted as the level it has here: Redis is told that it is at least that.
// Counts are posted with a number that Redis remembers, so that nothing is counted twice when an answer was lost; a
// posting of a level of which that is not known is given up, because a bucket forgets by itself.
//
// Levels are kept in Redis as Goma Gateway keeps them: the theoretical arrival time in seconds since 2017.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/list.h"
#include "core/loop.h"
#include "core/metric.h"
#include "core/redis.h"

namespace goma::core {

class LimitZone;
class Presence;

class LimitMirror {
 public:
  static constexpr size_t max_accounts = 65'536;  // of one worker
  static constexpr int64_t soon_ms = 50;
  static constexpr int64_t late_ms = 200;
  static constexpr int64_t return_ms = 1'000;  // in which the others find Redis again too

  struct Parts {
    Loop& loop;
    Redis& redis;
    LimitZone& zone;
    const Presence& presence;
    Metrics& metrics;
  };

  explicit LimitMirror(const Parts& parts);
  LimitMirror(const LimitMirror&) = delete;
  LimitMirror& operator=(const LimitMirror&) = delete;
  // What is owed is lost; settle() before.
  ~LimitMirror();

  // Whether there are other hosts to agree with at all.
  bool configured() const { return redis_.configured(); }
  // Whether Redis did not take what was posted last, or cannot be reached now.
  bool apart() const { return configured() && (failed_ || !redis_.usable()); }
  // For how many a request counts here: 1, or the hosts known last while apart and for return_ms after that.
  int64_t share() const;

  struct Bucket {
    uint64_t id;  // of the zone's level
    int64_t interval_ns;
    int64_t capacity_ns;
  };
  // One was taken from a bucket. name() gives the key in Redis; it is called when the account is opened.
  template <class Name>
  void took(const Bucket& bucket, Name name) {
    Account* account = find(bucket.id);
    if (account == nullptr) account = open_level(bucket, name());
    if (account != nullptr) note(*account);
  }

  struct Tally {
    uint64_t id;            // of the zone's count
    int64_t until_ns;       // when the count ends, monotonic
  };
  // One was added to a count.
  template <class Name>
  void counted(const Tally& tally, Name name) {
    Account* account = find(tally.id);
    if (account == nullptr) account = open_count(tally, name());
    if (account != nullptr) note(*account);
  }

  // What a command of an exact limit came to: tells whether the worker is apart.
  void judge(const RedisResult& result);
  // Posts what is owed of one key, so that Redis knows of it before what is sent next.
  void settle(uint64_t id);
  // Posts everything that is owed, now.
  void settle();
  // Whether everything is posted and answered, or cannot be.
  bool settled() const { return (owing_ == 0 && flying_ == 0) || !redis_.usable(); }

  // What Redis is told that a bucket owes at least, less what is posted along: it may have forgotten, after a fail-over.
  int64_t known_debt_ns(const Bucket& bucket, int64_t posted) const;
  // How exact limits ask Redis; what they learn goes into the zone as well.
  static const RedisScript& take_script();   // KEYS key; ARGV interval, capacity, known debt in seconds -> taken, debt in seconds
  static const RedisScript& count_script();  // KEYS this and the last window; ARGV limit, share of the last, keep for so many ms -> taken, count, before

 private:
  struct Account;

  Account* find(uint64_t id);
  Account* open_level(const Bucket& bucket, std::string key);
  Account* open_count(const Tally& tally, std::string key);
  Account* open(uint64_t id, std::string key);
  void note(Account& account);
  void on_tick();
  void forget_all();
  void on_probe(const RedisResult& result) { judge(result); }
  void post_due(int64_t older_than_us, bool all);
  void post(Account& account);
  void post_level(Account& account);
  void finish(Account& account, const RedisResult& result);
  void apply(Account& account, const RedisReply& reply);
  void rest(Account& account);
  void gather(Account& account);
  void forget(Account& account);
  uint64_t pending_id(const Account& account) const;

  Loop& loop_;
  Redis& redis_;
  LimitZone& zone_;
  const Presence& presence_;
  Metrics& metrics_;
  std::unordered_map<uint64_t, std::unique_ptr<Account>> accounts_;
  struct Lists;
  std::unique_ptr<Lists> lists_;
  Timer tick_;
  RedisCall probe_;
  std::string incarnation_;  // of this worker, for what Redis remembers
  uint64_t sequence_ = 0;
  size_t owing_ = 0;   // accounts that are open
  size_t flying_ = 0;  // postings on their way
  bool failed_ = false;
  int64_t share_until_us_ = 0;
  Metrics::Cell posted_, lost_, apart_gauge_, dropped_, accounts_gauge_;
};

}  // namespace goma::core
