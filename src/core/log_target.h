// SPDX-License-Identifier: Apache-2.0
//
// Behind the log: the place that lines go to, and the thread that takes them there.
//
// A target never waits longer than it was told. A FIFO that nobody reads is no target for the moment: lines are dropped
// and counted, and it is tried again every second. When lines arrive again the log itself says how many did not.
//
// The thread may run beside fork(2): it allocates only while it holds the queue's lock, which the forking process holds
// too, or while it opens a file, which is waited for a little. So a child never finds a lock that nobody will open.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "core/log.h"
#include "core/outlet.h"

namespace goma::core::log {

// Counted since the process began.
extern std::atomic<uint64_t> dropped, failed;
uint64_t lines_in(std::string_view text);

// Where lines go, with the memory of what was lost and of a torn line.
class Target {
 public:
  // Opens what the options name; keeps the old place when it cannot.
  void open(const Options& options);
  const Options& options() const { return options_; }
  // Whether it is time to open it again: a FIFO may have found its reader.
  bool due() const;
  // The descriptor is not ours any more.
  void forget();
  // Writes whole lines; what does not go out is dropped and counted. Waits for room as long as `may_wait` says.
  // Allocates nothing.
  template <class MayWait>
  void put(std::string_view lines, MayWait may_wait);
  // After put: tells standard error what is wrong, and returns the line that the log owes its reader, or "". `more` lines
  // were lost before they came here.
  std::string tell(uint64_t more = 0);

 private:
  enum class State : unsigned char { open, unread };  // unread: a FIFO without a reader
  template <class MayWait>
  bool put_piece(std::string_view piece, MayWait& may_wait);
  void use(std::unique_ptr<Outlet> own, Outlet& outlet);
  void lose(std::string_view lines, int number);
  static std::string_view first_piece(std::string_view lines);

  Options options_;
  std::unique_ptr<Outlet> own_;
  Outlet* outlet_ = nullptr;
  State state_ = State::open;
  bool torn_ = false;
  int why_ = 0;             // errno of the last loss that was not told
  uint64_t lost_ = 0;       // lines that the reader has not been told of
  bool going_ = true;       // the last write went out
  int64_t tried_ms_ = 0, alerted_ms_ = 0, noticed_ms_ = 0;
};

// Writes whole lines without waiting: the way of who has no thread.
void put_now(Target& target, std::string_view lines);

// The writer thread and its queue.
class Sink {
 public:
  // Returns when the thread is at work: one that is still on its way holds locks of the C library that hold() cannot know.
  explicit Sink(Target& target);
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  // Queues whole lines; false when the queue is full.
  bool put(std::string_view lines);
  // Opens this once what is queued was written, or could not be for a moment.
  void change(const Options& options);
  // True when everything was written and the thread is gone; otherwise it is left to die with the process.
  bool stop();
  // Around fork: the thread allocates nothing between the two.
  void hold();
  void release() { mutex_.unlock(); }

 private:
  void run();
  void open(std::unique_lock<std::mutex>& lock, const Options& options);
  void write(std::unique_lock<std::mutex>& lock, size_t counted);

  Target& target_;
  std::mutex mutex_;
  std::condition_variable wake_, ended_;
  std::deque<std::string> queue_;
  std::string current_;     // what is being written
  size_t size_ = 0;
  uint64_t overflowed_ = 0;  // lines for which the queue had no room, not yet told
  Options options_;
  std::atomic<bool> hurry_{false};  // somebody waits: no more patience with a reader that stalls
  int hurried_ms_ = 0;
  bool begun_ = false, change_ = false, stop_ = false, done_ = false, opening_ = false;
  std::thread thread_;
};

}  // namespace goma::core::log
