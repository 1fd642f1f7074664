// SPDX-License-Identifier: Apache-2.0
//
// What happens once per host: watching the size of the log, fetching OCSP responses, speaking with other hosts
// (core/host_link.h), and answering operators' questions. It lives the life of a worker without sockets; if it dies,
// traffic goes on.
//
// It decides nothing: it asks the master to rotate.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/host_link.h"
#include "core/limit_zone.h"
#include "core/loop.h"
#include "core/metric.h"
#include "core/service.h"
#include "core/settings.h"
#include "core/slab.h"
#include "core/socket.h"
#include "core/stapler.h"

namespace goma::core {

class Manager final : public Service {
 public:
  struct Uplink {
    std::function<void()> rotate;
    std::function<const Plan&()> plan;  // of the generation being committed
  };

  // Builds and describes with `service`; never starts it.
  Manager(const Service& service, Uplink uplink) : service_(service), uplink_(std::move(uplink)) {}

  std::unique_ptr<Built> build(Source& source, const std::string& path, Problems& problems) const override {
    return service_.build(source, path, problems);
  }
  Plan plan(const Built& built) const override { return service_.plan(built); }
  // What is known only here, about hosts, bans and Redis; else the service's answer.
  std::string query(const Built& built, Slab& slab, const std::string& what, bool json) const override;
  std::shared_ptr<const RedisSettings> redis(const Built& built) const override { return service_.redis(built); }
  std::vector<OcspQuestion> to_staple(const Built& built) const override { return service_.to_staple(built); }
  void start(Context& context) override;
  void commit(std::unique_ptr<Built> built, uint64_t generation, std::vector<Listening> listening) override;
  void drain(int64_t grace_ms, std::function<void()> done) override;
  void reopen_logs() override {}
  std::string status() const override { return "manager"; }

 private:
  void staple();
  void on_second();
  void look_at_limits();

  const Service& service_;
  Uplink uplink_;
  Context* context_ = nullptr;
  Plan plan_;
  std::unique_ptr<Built> built_;
  std::unique_ptr<Stapler> stapler_;  // once it is wanted
  std::unique_ptr<HostLink> link_;
  std::optional<LimitZone> limits_;
  Metrics::Cell live_cells_, free_cells_, bans_;
  Timer second_;
  int rotate_in_s_ = 0;
};

// The whole life of the manager. Never returns.
[[noreturn]] void manager_main(const Settings& settings, const Service& service, Slab& slab, pid_t master, int channel);

}  // namespace goma::core
