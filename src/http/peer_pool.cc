// SPDX-License-Identifier: Apache-2.0
//
// Lending, queueing and burying connections. A connection is in exactly one list: idle, busy (being made or lent) or
// dead; the dead are destroyed after the callback in which they died.
#include "http/peer_pool.h"

#include <algorithm>
#include <utility>

#include "http/dialer.h"
#include "http/h1_client.h"
#include "http/route_metrics.h"
#include "http/runtime.h"

namespace goma::http {

using ConnectionList = core::List<BackendConnection, &BackendConnection::hook>;

struct PeerPool::Lists {
  ConnectionList idle;  // H1Clients, most recently used first
  ConnectionList busy;
  ConnectionList dead;
  core::List<Waiter, &Waiter::hook> waiters;
};

void PeerPool::Waiter::on_deadline() {
  if (!hook.linked()) return;
  hook.unlink();
  --pool->waiting_;
  on_lease_failed({Failure::Kind::queue_timeout, false, false, "no connection became free in time"});
}

PeerPool::PeerPool(Runtime& runtime, std::string host, uint16_t port)
    : runtime_(runtime), host_(std::move(host)), port_(port), lists_(std::make_unique<Lists>()) {
  burial_.bind<&PeerPool::bury>(this);
  if (runtime.metrics != nullptr) metrics_ = std::make_unique<PeerMetrics>(runtime.metrics->registry(), host_ + ':' + std::to_string(port_));
}

PeerPool::~PeerPool() {
  for (ConnectionList* list : {&lists_->idle, &lists_->busy, &lists_->dead}) {
    while (BackendConnection* connection = list->pop_front()) std::unique_ptr<BackendConnection> last(connection);
  }
}

void PeerPool::acquire(Waiter& waiter, bool fresh) {
  waiter.pool = this;
  BackendConnection* connection = fresh && may_open() ? nullptr : lists_->idle.front();
  if (connection != nullptr) {
    rouse(*connection);
    lists_->busy.push_back(*connection);
    waiter.on_lease(static_cast<H1Client&>(*connection));
    return;
  }
  if (!may_open() && waiting_ >= limits_.queue + connecting_) {
    waiter.on_lease_failed({Failure::Kind::queue_full, false, false, "too many requests wait for this backend"});
    return;
  }
  // Who waits for a connection that is being made gets the time for that on top.
  enqueue(waiter, may_open() ? limits_.queue_ms + limits_.connect_ms : limits_.queue_ms);
  if (may_open()) open_one();
}

void PeerPool::enqueue(Waiter& waiter, int64_t patience_ms) {
  lists_->waiters.push_back(waiter);
  ++waiting_;
  waiter.deadline.bind<&Waiter::on_deadline>(runtime_.wheel, &waiter);
  waiter.deadline.in(patience_ms);
}

void PeerPool::open_one() {
  auto made = std::make_unique<Dialer>(runtime_, *this);
  Dialer& dialer = *made.release();  // owned by this pool's lists from here on
  lists_->busy.push_back(dialer);
  ++total_;
  ++connecting_;
  dialer.dial();
}

PeerPool::Waiter* PeerPool::next_waiter() {
  Waiter* waiter = lists_->waiters.pop_front();
  if (waiter == nullptr) return nullptr;
  --waiting_;
  waiter->deadline.clear();
  return waiter;
}

// The dialer's place in the total goes over to the connection.
void PeerPool::dialed(Dialer& dialer) {
  --connecting_;
  if (metrics_) metrics_->opened();
  auto made = std::make_unique<H1Client>(runtime_, *this, dialer.stream());
  H1Client& connection = *made.release();  // as above
  lists_->busy.push_back(connection);
  discard(dialer);
  released(connection);
}

void PeerPool::dial_failed(Dialer& dialer, const Failure& failure) {
  --connecting_;
  --total_;
  discard(dialer);
  if (metrics_) metrics_->failed(failure.kind);
  if (Waiter* waiter = next_waiter()) waiter->on_lease_failed(failure);
}

void PeerPool::released(H1Client& connection) {
  if (Waiter* waiter = next_waiter()) {
    waiter->on_lease(connection);
    return;
  }
  const bool keep = idle_count_ < limits_.max_idle && runtime_.peers->idle_total < limits_.max_idle_total && !runtime_.draining;
  if (!keep) {
    connection.close();
    return;
  }
  connection.hook.unlink();
  connection.rest(limits_.idle_ms);
  lists_->idle.push_front(connection);
  rest(connection);
}

void PeerPool::rest(BackendConnection& connection) {
  connection.resting = true;
  ++idle_count_;
  ++runtime_.peers->idle_total;
}

void PeerPool::rouse(BackendConnection& connection) {
  connection.hook.unlink();
  if (!std::exchange(connection.resting, false)) return;
  --idle_count_;
  --runtime_.peers->idle_total;
}

void PeerPool::gone(BackendConnection& connection) {
  --total_;
  discard(connection);
}

void PeerPool::discard(BackendConnection& connection) {
  rouse(connection);
  lists_->dead.push_back(connection);
  runtime_.loop.defer(burial_);
}

bool PeerPool::may_open() const { return limits_.max_connections == 0 || total_ < limits_.max_connections; }

void PeerPool::bury() {
  while (BackendConnection* connection = lists_->dead.pop_front()) std::unique_ptr<BackendConnection> last(connection);
  // The dead made room: those who wait may have it.
  while (waiting_ > connecting_ && may_open()) open_one();
}

void PeerPool::close_idle() {
  while (BackendConnection* connection = lists_->idle.front()) connection->close();
}

void PeerPool::withdraw(Waiter& waiter) {
  if (!waiter.hook.linked()) return;
  waiter.hook.unlink();
  waiter.deadline.clear();
  --waiting_;
}

void PeerPool::failed(int64_t now_ms) {
  if (limits_.max_fails == 0 || ++failures_ < limits_.max_fails) return;
  failures_ = limits_.max_fails - 1;  // after its time it is on probation: one more failure ejects it again
  if (!ejected(now_ms) && metrics_) metrics_->ejected();
  ejected_until_ms_ = now_ms + limits_.eject_ms;
}

PeerPool& PeerPools::pool(std::string_view host, uint16_t port) {
  std::string key = std::string(host) + ':' + std::to_string(port);
  std::unique_ptr<PeerPool>& entry = pools_[std::move(key)];
  if (!entry) {
    entry = std::make_unique<PeerPool>(runtime_, std::string(host), port);
    entry->configure(limits_);
  }
  return *entry;
}

void PeerPools::configure(const TransportLimits& limits) {
  limits_ = limits;
  for (auto& [key, pool] : pools_) pool->configure(limits);
}

void PeerPools::publish_levels() {
  for (auto& [key, pool] : pools_) {
    if (pool->metrics_) pool->metrics_->levels(pool->total_, pool->idle_count_, pool->waiting_);
  }
}

void PeerPools::close_idle() {
  for (auto& [key, pool] : pools_) pool->close_idle();
}

}  // namespace goma::http
