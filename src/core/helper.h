// SPDX-License-Identifier: Apache-2.0
//
// Threads for pure, slow jobs (building a site, freeing one, hashing a password): work runs on a thread, done runs
// on the loop afterwards. An eventfd wakes the loop, once for many results.
//
// The invariant: work touches nothing of the loop's, and its job is never lost: when too much waits, it is run
// by the caller, which slows down whoever asks too much. Threads start with the first job, so after every fork.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/loop.h"
#include "core/descriptor.h"

namespace goma::core {

class Helper {
 public:
  static constexpr size_t max_waiting = 1024;

  explicit Helper(Loop& loop, int threads = 1);
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  // Runs the work that waits, joins the threads; what is not done by then is not told.
  ~Helper();

  // Runs work on a thread, then done on the loop, never before this returns. Loop thread only. done may be empty.
  void run(std::function<void()> work, std::function<void()> done);

 private:
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };

  void start_threads();
  void serve();
  void finish(std::function<void()> done);
  void on_woken(unsigned ready);

  Loop& loop_;
  int threads_wanted_;
  Watch watch_;
  Descriptor wake_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable work_there_;
  std::deque<Job> waiting_;
  std::vector<std::function<void()>> finished_;
  bool ending_ = false;
};

}  // namespace goma::core
