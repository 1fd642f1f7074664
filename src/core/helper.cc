// SPDX-License-Identifier: Apache-2.0
//
// A queue, a condition, an eventfd. Threads block all signals: those belong to the loop.
#include "core/helper.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace goma::core {

Helper::Helper(Loop& loop, int threads) : loop_(loop), threads_wanted_(threads) { GOMA_CHECK(threads > 0); }

Helper::~Helper() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  work_there_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Helper::run(std::function<void()> work, std::function<void()> done) {
  if (threads_.empty()) start_threads();
  std::unique_lock<std::mutex> lock(mutex_);
  if (waiting_.size() >= max_waiting) {
    lock.unlock();
    work();
    finish(std::move(done));
    return;
  }
  waiting_.push_back({std::move(work), std::move(done)});
  lock.unlock();
  work_there_.notify_one();
}

void Helper::start_threads() {
  wake_.reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  GOMA_CHECK(wake_);
  watch_.open_level<&Helper::on_woken>(loop_, wake_.get(), this);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int i = 0; i < threads_wanted_; ++i) threads_.emplace_back([this] { serve(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Helper::serve() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    work_there_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    job.work();
    job.work = nullptr;  // what it captured ends here, not on the loop
    finish(std::move(job.done));
    lock.lock();
  }
}

void Helper::finish(std::function<void()> done) {
  if (!done) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  finished_.push_back(std::move(done));
  const uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));  // a full counter wakes as well
}

void Helper::on_woken(unsigned) {
  uint64_t count = 0;
  static_cast<void>(!::read(wake_.get(), &count, sizeof count));
  std::vector<std::function<void()>> finished;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    finished.swap(finished_);
  }
  for (const std::function<void()>& done : finished) done();
}

}  // namespace goma::core
