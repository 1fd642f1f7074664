// SPDX-License-Identifier: Apache-2.0
//
// Events in, looks out, one at a time.
#include "core/file_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/log.h"

namespace goma::core {

FileWatch::FileWatch(Loop& loop, Fork fork, std::function<void()> changed) : loop_(loop), fork_(std::move(fork)), changed_(std::move(changed)) {
  quiet_.bind<&FileWatch::look>(loop, this);
  time_.bind<&FileWatch::look>(loop, this);
  mounts_.reset(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (mounts_) mounts_watch_.open<&FileWatch::on_mounts>(loop, mounts_.get(), this);
}

void FileWatch::watch(WatchedPaths what, std::optional<uint64_t> state) {
  aside_.cancel();
  notify_watch_.close();
  quiet_.stop();
  time_.stop();
  what_ = std::move(what);
  watched_.clear();
  state_ = state;
  looked_ = again_ = false;
  first_event_ms_ = 0;
  silent_.reset();
  notify_.reset(what_.paths.empty() ? -1 : ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (what_.paths.empty()) return;
  if (notify_) {
    notify_watch_.open_level<&FileWatch::on_ready>(loop_, notify_.get(), this);
  } else {
    log::warn("files are looked at once a minute only", {{"errno", errno}});
  }
  look();
}

// One look at a time.
void FileWatch::look() {
  first_event_ms_ = 0;
  quiet_.stop();
  if (aside_.running()) {
    again_ = true;
    return;
  }
  const auto work = [this] {
    return look_at(what_, notify_.get(), watched_, [this](const std::string& place) { aside_.at(place); }).pack();
  };
  std::vector<int> keep;
  if (notify_) keep.push_back(notify_.get());
  aside_.start(loop_, fork_, "goma: file watch", silence_ms, work, [this](const std::optional<std::string>& answer) { on_looked(answer); }, keep);
}

void FileWatch::on_looked(const std::optional<std::string>& answer) {
  std::optional<Look> seen = answer ? Look::unpack(*answer) : std::nullopt;
  time_.start(seen ? look_ms : again_ms);
  if (!seen) return complain();
  if (silent_) log::info("what is watched answers again", {{"directory", *silent_}});
  silent_.reset();
  if (std::exchange(again_, false)) quiet_.start(quiet_ms);
  note(std::move(*seen));
}

void FileWatch::note(Look seen) {
  if (!seen.unwatched.empty() && unwatched_ != seen.unwatched) {
    log::warn("no more directories can be watched; changes are seen within a minute", {{"directory", seen.unwatched}, {"limit", "fs.inotify.max_user_watches"}});
  }
  unwatched_ = std::move(seen.unwatched);
  watched_ = std::move(seen.watches);
  const bool first = !std::exchange(looked_, true);
  if (state_ == seen.state) return;
  if (first) return quiet_.start(quiet_ms);  // no event has said since when it is another one
  state_ = seen.state;
  changed_();
}

// Once for each directory, not once for each try.
void FileWatch::complain() {
  if (!aside_.was_late()) return log::warn("what is watched could not be looked at", {{"again_s", again_ms / 1000}});
  if (silent_ == aside_.last_place()) return;
  silent_ = aside_.last_place();
  log::warn("a directory that is watched does not answer", {{"directory", *silent_}, {"seconds", silence_ms / 1000}, {"then", "changes are not seen until it does"}});
}

// An event without a name is about the directory itself. What a look that is under way has armed has no name here yet.
bool FileWatch::tells_something(int number, std::string_view name) const {
  if (number < 0) return true;  // events were lost
  const auto known = watched_.find(number);
  if (known == watched_.end()) return aside_.running();
  const Interest& interest = known->second;
  return name.empty() || interest.all || interest.names.contains(std::string(name));
}

void FileWatch::on_ready(unsigned) {
  alignas(inotify_event) char block[16384];
  bool something = false;
  for (ssize_t n = 0; (n = ::read(notify_.get(), block, sizeof block)) > 0;) {
    for (const char* next = block; next < block + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(next);
      next += sizeof *event + event->len;
      if ((event->mask & IN_IGNORED) != 0) continue;  // a watch was taken off, and why has been told
      something = tells_something(event->wd, event->len > 0 ? event->name : "") || something;
    }
  }
  if (something) look_soon();
}

void FileWatch::on_mounts(unsigned) { look_soon(); }

void FileWatch::look_soon() {
  if (what_.paths.empty()) return;
  if (first_event_ms_ == 0) first_event_ms_ = loop_.now_ms();
  quiet_.start(std::clamp<int64_t>(first_event_ms_ + patience_ms - loop_.now_ms(), 1, quiet_ms));
}

}  // namespace goma::core
