// SPDX-License-Identifier: Apache-2.0
//
// inotify watches directories, not files: a file that an editor replaces by rename is a change of its directory.
#include "core/manager.h"

#include <dirent.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/log.h"
#include "core/rotate.h"
#include "core/worker.h"

namespace goma::core {

namespace {

constexpr uint32_t changes = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr int max_depth = 16;
constexpr int rotate_again_s = 30;

// What concerns a configuration: YAML files and directories; not an editor's temporary files.
bool concerns(const inotify_event& event) {
  if (event.len == 0 || (event.mask & IN_ISDIR) != 0) return true;
  const std::string_view name(event.name);
  return !name.starts_with('.') && (name.ends_with(".yml") || name.ends_with(".yaml"));
}

}  // namespace

DirectoryWatch::DirectoryWatch(Loop& loop, std::function<void(const std::string&)> changed) : changed_(std::move(changed)) {
  notify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  quiet_.bind<&DirectoryWatch::on_quiet>(loop, this);
  if (notify_) {
    watch_.open_level<&DirectoryWatch::on_ready>(loop, notify_.get(), this);
  } else {
    log::error("cannot watch directories", {{"errno", errno}});
  }
}

void DirectoryWatch::watch(const std::vector<std::string>& directories) {
  for (const auto& [number, path] : watched_) ::inotify_rm_watch(notify_.get(), number);
  watched_.clear();
  for (const std::string& directory : directories) add(directory, 0);
}

void DirectoryWatch::add(const std::string& directory, int depth) {
  const int number = ::inotify_add_watch(notify_.get(), directory.c_str(), changes | IN_ONLYDIR);
  if (number < 0) {
    log::warn("cannot watch a directory", {{"directory", directory}, {"errno", errno}});
    return;
  }
  watched_[number] = directory;
  DIR* open = depth < max_depth ? ::opendir(directory.c_str()) : nullptr;
  if (open == nullptr) return;
  while (const dirent* entry = ::readdir(open)) {
    struct stat about {};
    const std::string path = directory + "/" + entry->d_name;
    if (entry->d_name[0] != '.' && ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) add(path, depth + 1);
  }
  ::closedir(open);
}

void DirectoryWatch::on_ready(unsigned) {
  alignas(inotify_event) char block[16384];
  for (ssize_t n = 0; (n = ::read(notify_.get(), block, sizeof block)) > 0;) {
    for (const char* next = block; next < block + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(next);
      next += sizeof *event + event->len;
      const auto known = watched_.find(event->wd);
      if (known == watched_.end() || (event->mask & IN_IGNORED) != 0 || !concerns(*event)) continue;
      last_ = event->len > 0 ? known->second + "/" + event->name : known->second;
      quiet_.start(quiet_ms);
    }
  }
}

void DirectoryWatch::on_quiet() { changed_(last_); }

void Manager::start(Context& context) {
  context_ = &context;
  second_.bind<&Manager::on_second>(*context.loop, this);
  second_.start(1000);
  link_ = std::make_unique<HostLink>(context);
  if (Result<LimitZone> zone = LimitZone::open(*context.slab)) limits_.emplace(std::move(zone).value());
  Metrics& metrics = *context.metrics;
  constexpr std::string_view cells = "goma_limit_cells", bans = "goma_limit_bans";
  metrics.describe(cells, Metrics::Kind::gauge, "Cells of rate limits by state, every second; one client of one limit takes one, and one more while it has strikes or a ban.");
  metrics.describe(bans, Metrics::Kind::gauge, "Bans in force, every second.");
  live_cells_ = metrics.gauge(cells, metric_labels({{"state", "live"}}));
  free_cells_ = metrics.gauge(cells, metric_labels({{"state", "free"}}));
  bans_ = metrics.gauge(bans);
}

// Reads all of the zone that was ever used, which may take milliseconds: so nobody does it who serves.
void Manager::look_at_limits() {
  if (!limits_) return;
  const LimitZone::Usage usage = limits_->usage(context_->loop->now_us() * 1000);
  context_->metrics->set(live_cells_, static_cast<int64_t>(usage.live));
  context_->metrics->set(free_cells_, static_cast<int64_t>(usage.cells - usage.live));
  context_->metrics->set(bans_, static_cast<int64_t>(usage.bans));
}

std::string Manager::query(const Built& built, Slab& slab, const std::string& what, bool json) const {
  if (!link_) return service_.query(built, slab, what, json);
  if (what == "redis") return link_->describe_redis(json);
  if (what == "limits") return link_->describe_bans(json);
  constexpr std::string_view lift = "limits lift ", purge = "cache purge ";
  if (what.starts_with(purge)) return link_->purge(what.substr(purge.size()), json);
  if (what.starts_with(lift)) return link_->lift(what.substr(lift.size()), json);
  return service_.query(built, slab, what, json);
}

void Manager::configure(const Plan& plan) {
  plan_ = plan;
  if (plan.watch.empty() && directories_ == nullptr) return;
  if (directories_ == nullptr) directories_ = std::make_unique<DirectoryWatch>(*context_->loop, uplink_.reload);
  // Watching anew also finds directories that were made meanwhile.
  std::vector<std::string> directories = plan.watch;
  for (std::string& directory : directories) {
    if (!directory.starts_with('/') && !context_->prefix.empty()) directory = context_->prefix + "/" + directory;
  }
  directories_->watch(directories);
}

void Manager::staple() {
  std::vector<OcspQuestion> questions = service_.to_staple(*built_);
  if (questions.empty() && stapler_ == nullptr) return;
  if (stapler_ == nullptr) stapler_ = std::make_unique<Stapler>(*context_);
  stapler_->configure(std::move(questions));
}

void Manager::commit(std::unique_ptr<Built> built, uint64_t, std::vector<Listening> listening) {
  for (const Listening& socket : listening) ::close(socket.fd);
  Built* old = built_.release();
  built_ = std::move(built);
  configure(uplink_.plan());
  staple();
  link_->configure(service_.redis(*built_));
  if (old != nullptr) context_->helper->run([old] { std::unique_ptr<Built> freed(old); }, {});
}

void Manager::drain(int64_t, std::function<void()> done) { done(); }

void Manager::on_second() {
  look_at_limits();
  // What stays full cannot be renamed, which was told; it is tried again from time to time.
  if (!log_is_full(plan_, context_->prefix)) {
    rotate_in_s_ = 0;
  } else if (rotate_in_s_-- <= 0) {
    rotate_in_s_ = rotate_again_s;
    uplink_.rotate();
  }
  second_.start(1000);
}

void manager_main(const Settings& settings, const Service& service, Slab& slab, int channel) {
  Worker* worker = nullptr;  // set before the service can ask for anything
  Manager manager(service, {[&worker](const std::string& path) { worker->want_reload(path); }, [&worker] { worker->want_rotate(); },
                            [&worker]() -> const Plan& { return worker->plan(); }});
  worker_main(settings, manager, slab, channel, -1, [&worker](Worker& begun) { worker = &begun; });
}

}  // namespace goma::core
