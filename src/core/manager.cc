// SPDX-License-Identifier: Apache-2.0
//
// One look around every second, and what the master passes on.
#include "core/manager.h"

#include <unistd.h>

#include "core/log.h"
#include "core/rotate.h"
#include "core/worker.h"

namespace goma::core {

namespace {

constexpr int rotate_again_s = 30;

}  // namespace

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
  plan_ = uplink_.plan();
  staple();
  link_->configure(service_.redis(*built_));
  if (old != nullptr) context_->helper->run([old] { std::unique_ptr<Built> freed(old); }, {});
}

void Manager::drain(int64_t, std::function<void()> done) {
  if (link_) link_->leave(std::move(done));
  else done();
}

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

void manager_main(const Settings& settings, const Service& service, Slab& slab, pid_t master, int channel) {
  Worker* worker = nullptr;  // set before the service can ask for anything
  Manager manager(service, {[&worker] { worker->want_rotate(); }, [&worker]() -> const Plan& { return worker->plan(); }});
  worker_main(settings, manager, slab, master, channel, -1, [&worker](Worker& begun) { worker = &begun; });
}

}  // namespace goma::core
