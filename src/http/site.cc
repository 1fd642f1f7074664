// SPDX-License-Identifier: Apache-2.0
//
// What a site is asked for while it serves.
#include "http/site.h"

#include <algorithm>

#include "http/upstream.h"

namespace goma::http {

Site::~Site() = default;

const EntryPoint& Site::entry_point(std::string_view address) const {
  for (const EntryPoint& entry : entry_points_) {
    if (entry.address == address) return entry;
  }
  return entry_points_.front();
}

ConnectionLimits Site::connection_limits() const {
  const TimeoutsConf& timeouts = config_->gateway.timeouts;
  ConnectionLimits limits;
  limits.header_ms = timeouts.header * 1000;
  // Goma counts `read` from the first byte to the last; here a body that moves is never cut, and one that does not is
  // cut by whichever of the two is shorter.
  const bool both = timeouts.read > 0 && timeouts.body > 0;
  limits.body_ms = (both ? std::min(timeouts.read, timeouts.body) : std::max(timeouts.read, timeouts.body)) * 1000;
  limits.write_ms = timeouts.write * 1000;
  limits.idle_ms = timeouts.idle * 1000;
  limits.tunnel_ms = timeouts.tunnel * 1000;
  limits.min_rate = static_cast<uint64_t>(config_->gateway.networking.min_rate);
  limits.max_connections = static_cast<size_t>(config_->gateway.networking.max_connections);
  limits.max_per_address = static_cast<size_t>(config_->gateway.networking.max_connections_per_address);
  return limits;
}

TransportLimits Site::transport_limits() const {
  const NetworkingConf& networking = config_->gateway.networking;
  const TransportConf& transport = networking.transport;
  const PassiveHealthConf& passive = networking.passive_health_check;
  TransportLimits limits;
  limits.max_connections = static_cast<size_t>(transport.max_conns_per_host);
  limits.max_idle = static_cast<size_t>(transport.max_idle_conns_per_host);
  limits.max_idle_total = static_cast<size_t>(transport.max_idle_conns);
  limits.idle_ms = transport.idle_conn_timeout * 1000;
  limits.connect_ms = networking.connect_timeout * 1000;
  limits.handshake_ms = transport.tls_handshake_timeout * 1000;
  limits.header_ms = transport.response_header_timeout * 1000;
  limits.body_ms = 0;
  limits.queue = static_cast<size_t>(networking.queue);
  limits.queue_ms = networking.queue_timeout * 1000;
  limits.max_fails = passive.enabled ? std::max(passive.max_fails, 1) : 0;
  limits.eject_ms = passive.eject_for.ms();
  limits.response = {static_cast<size_t>(networking.backend_max_header_bytes), static_cast<size_t>(networking.backend_max_headers), networking.backend_strict};
  return limits;
}

uint64_t Site::store_bytes() const {
  uint64_t bytes = 0;
  for (const std::unique_ptr<Middleware>& middleware : middlewares_) bytes += middleware->store_bytes();
  return bytes;
}

void Site::release() {
  GOMA_CHECK(users_ > 0);
  if (--users_ == 0 && dispose_) dispose_(this);
}

void Site::retire(std::function<void(Site*)> dispose) {
  dispose_ = std::move(dispose);
  if (users_ == 0) dispose_(this);
}

}  // namespace goma::http
