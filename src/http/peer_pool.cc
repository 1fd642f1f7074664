// SPDX-License-Identifier: Apache-2.0
//
// Lending, queueing and burying connections. A connection is in exactly one list: idle, open, busy (being made, lent or
// without room) or dead; the dead are destroyed after the callback in which they died.
#include "http/peer_pool.h"

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "core/units.h"
#include "http/backend_tls.h"
#include "http/dialer.h"
#include "http/h1_client.h"
#include "http/h2_client.h"
#include "http/route_metrics.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

constexpr int64_t trial_patience_ms = 1000;

}  // namespace

using ConnectionList = core::List<BackendConnection, &BackendConnection::hook>;

struct PeerPool::Lists {
  ConnectionList idle;  // H1Clients, most recently used first
  ConnectionList open;  // H2Clients with room
  ConnectionList busy;
  ConnectionList dead;
  core::List<Waiter, &Waiter::hook> waiters;
};

void PeerPool::Waiter::on_deadline() {
  if (!hook.linked()) return;
  hook.unlink();
  --pool->waiting_;
  on_lease_failed({.kind = Failure::Kind::queue_timeout, .detail = "no connection became free in time"});
}

std::string Peer::key() const {
  std::string text = host + ':' + std::to_string(port);
  if (tls) text += '#' + tls->digest;
  if (protocol != BackendProtocol::automatic) text += protocol == BackendProtocol::http1 ? "#1" : "#2";
  return text;
}

struct PeerPool::Endpoint {
  Endpoint(core::Metrics& registry, const std::string& name) : metrics(registry, name) {}
  PeerMetrics metrics;
  size_t connections = 0;
  size_t idle = 0;
  size_t waiting = 0;
};

PeerPool::PeerPool(Runtime& runtime, Peer peer, Endpoint* endpoint)
    : runtime_(runtime), peer_(std::move(peer)), endpoint_(endpoint), written_head_(runtime.chunks), lists_(std::make_unique<Lists>()), multiplexed_(may_speak_http2()) {
  burial_.bind<&PeerPool::bury>(this);
}

PeerPool::~PeerPool() {
  for (ConnectionList* list : {&lists_->idle, &lists_->open, &lists_->busy, &lists_->dead}) {
    while (BackendConnection* connection = list->pop_front()) std::unique_ptr<BackendConnection> last(connection);
  }
}

void PeerPool::acquire(Waiter& waiter, bool fresh) {
  waiter.pool = this;
  if (H1Client* connection = idle_one(fresh)) {
    count_idle(*connection, false);
    connection->hook.unlink();
    lists_->busy.push_back(*connection);
    waiter.on_lease(*connection);
    return;
  }
  if (BackendConnection* shared = lists_->open.front()) {
    lend_stream(static_cast<H2Client&>(*shared), waiter);
    return;
  }
  if (!may_open() && waiting_ >= limits_.queue + connecting_ * streams_expected()) {
    waiter.on_lease_failed({.kind = Failure::Kind::queue_full, .detail = "too many requests wait for this backend"});
    return;
  }
  // Who waits for a connection that is being made gets the time for that on top.
  enqueue(waiter, may_open() ? limits_.queue_ms + limits_.connect_ms : limits_.queue_ms);
  open_for_waiters();
}

// An idle connection that can be lent. Where one turned out to be closed the others may be as well: the oldest makes
// room for a new one.
H1Client* PeerPool::idle_one(bool fresh) {
  while (BackendConnection* first = lists_->idle.front()) {
    auto& connection = static_cast<H1Client&>(fresh ? *lists_->idle.back() : *first);
    if (fresh && may_open()) return nullptr;
    if (!fresh && !connection.has_news()) return &connection;
    connection.close();
  }
  return nullptr;
}

size_t PeerPool::streams_expected() const { return multiplexed_ ? streams_per_connection_ : 1; }

void PeerPool::open_for_waiters() {
  while (waiting_ > (connecting_ + settling_) * streams_expected() && may_open()) open_one(DialPurpose::waiters);
}

void PeerPool::enqueue(Waiter& waiter, int64_t patience_ms) {
  lists_->waiters.push_back(waiter);
  ++waiting_;
  waiter.deadline.bind<&Waiter::on_deadline>(runtime_.wheel, &waiter);
  waiter.deadline.in(patience_ms);
}

void PeerPool::open_one(DialPurpose purpose) {
  auto made = std::make_unique<Dialer>(runtime_, *this, purpose);
  Dialer& dialer = *made.release();  // owned by this pool's lists from here on
  lists_->busy.push_back(dialer);
  ++total_;
  if (purpose == DialPurpose::waiters) ++connecting_;
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
  if (dialer.purpose() == DialPurpose::waiters) --connecting_;
  if (dialer.purpose() == DialPurpose::trial) reached();
  if (endpoint_ != nullptr) endpoint_->metrics.opened();
  if (dialer.http2()) {
    begin_http2(dialer);
    return;
  }
  const bool shared = std::exchange(multiplexed_, false);
  auto made = std::make_unique<H1Client>(runtime_, *this, dialer.stream());
  H1Client& connection = *made.release();  // as above
  lists_->busy.push_back(connection);
  discard(dialer);
  released(connection);
  if (shared) open_for_waiters();  // who waited to share it cannot
}

void PeerPool::begin_http2(Dialer& dialer) {
  multiplexed_ = true;
  auto made = std::make_unique<H2Client>(runtime_, *this, dialer.stream());
  H2Client& connection = *made.release();  // as above
  lists_->busy.push_back(connection);
  discard(dialer);
  connection.settling = true;
  ++settling_;
  connection.open();
  if (connection.is_open()) freed(connection);
}

void PeerPool::settled(H2Client& connection) {
  if (std::exchange(connection.settling, false)) --settling_;
}

void PeerPool::lend_stream(H2Client& connection, Waiter& waiter) {
  count_idle(connection, false);
  connection.stir();
  H2ClientStream& stream = connection.begin();
  if (!connection.has_room()) {
    connection.hook.unlink();
    lists_->busy.push_back(connection);
  }
  waiter.on_lease(stream);
}

void PeerPool::freed(H2Client& connection) {
  while (connection.has_room()) {
    Waiter* waiter = next_waiter();
    if (waiter == nullptr) break;
    lend_stream(connection, *waiter);
  }
  if (connection.greeted()) {
    settled(connection);
    streams_per_connection_ = std::max<size_t>(connection.limit(), 1);
  }
  if (!connection.has_room()) {
    open_for_waiters();
    return;
  }
  connection.hook.unlink();
  lists_->open.push_front(connection);
  if (connection.streams() != 0 || connection.resting) return;
  if (!may_keep()) {
    connection.close();
    return;
  }
  count_idle(connection, true);
  connection.rest(limits_.idle_ms);
}

void PeerPool::leaves(H2Client& connection) {
  settled(connection);
  count_idle(connection, false);
  connection.hook.unlink();
  lists_->busy.push_back(connection);
  runtime_.loop.defer(burial_);  // others may wait for what it had
}

void PeerPool::dial_failed(Dialer& dialer, const Failure& failure) {
  if (dialer.purpose() == DialPurpose::waiters) --connecting_;
  --total_;
  discard(dialer);
  if (endpoint_ != nullptr) endpoint_->metrics.failed(failure.kind);
  if (failure.kind == Failure::Kind::tls) tell(failure);
  if (dialer.purpose() == DialPurpose::trial) failed(runtime_.loop.now_ms(), failure.kind);
  if (dialer.purpose() != DialPurpose::waiters) return;
  if (multiplexed_ && connecting_ != 0) return;  // the others are still to come
  for (size_t n = multiplexed_ ? waiting_ : 1; n != 0; --n) {
    Waiter* waiter = next_waiter();
    if (waiter == nullptr) return;
    waiter->on_lease_failed(failure);
  }
}

// Once a second at most: the access log has every request.
void PeerPool::tell(const Failure& failure) {
  const int64_t now = runtime_.loop.now_ms();
  if (now - told_ms_ < 1000) return;
  told_ms_ = now;
  const std::string name = host() + ':' + std::to_string(port());
  if (failure.kind == Failure::Kind::tls) {
    core::log::error("the TLS handshake with a backend failed", {{"backend", name}, {"reason", std::string(failure.detail)}});
  } else {
    core::log::error("a backend's answer was not accepted", {{"backend", name}, {"reason", std::string(failure_name(failure.kind))}, {"detail", std::string(failure.detail)}});
  }
}

void PeerPool::met(const Failure& failure) {
  if (endpoint_ != nullptr) endpoint_->metrics.failed(failure.kind);
  if (is_malformed(failure.kind)) tell(failure);
}

void PeerPool::met(Failure::Kind oddity) {
  if (endpoint_ != nullptr) endpoint_->metrics.odd(oddity);
}

void PeerPool::released(H1Client& connection) {
  if (Waiter* waiter = next_waiter()) {
    waiter->on_lease(connection);
    return;
  }
  if (!may_keep()) {
    connection.close();
    return;
  }
  connection.hook.unlink();
  connection.rest(limits_.idle_ms);
  lists_->idle.push_front(connection);
  count_idle(connection, true);
}

bool PeerPool::may_keep() const {
  return idle_count_ < limits_.max_idle && runtime_.peers->idle_total < limits_.max_idle_total && !runtime_.draining;
}

void PeerPool::count_idle(BackendConnection& connection, bool resting) {
  if (connection.resting == resting) return;
  connection.resting = resting;
  idle_count_ += resting ? 1 : size_t{0} - 1;
  runtime_.peers->idle_total += resting ? 1 : size_t{0} - 1;
}

void PeerPool::gone(BackendConnection& connection) {
  --total_;
  discard(connection);
}

void PeerPool::discard(BackendConnection& connection) {
  count_idle(connection, false);
  connection.hook.unlink();
  lists_->dead.push_back(connection);
  runtime_.loop.defer(burial_);
}

bool PeerPool::may_open() const { return limits_.max_connections == 0 || total_ < limits_.max_connections; }

void PeerPool::bury() {
  while (BackendConnection* connection = lists_->dead.pop_front()) std::unique_ptr<BackendConnection> last(connection);
  // The dead made room: those who wait may have it.
  open_for_waiters();
}

void PeerPool::close_idle() {
  while (BackendConnection* connection = lists_->idle.front()) connection->close();
  for (BackendConnection* connection = lists_->open.front(); connection != nullptr;) {
    BackendConnection* next = lists_->open.next(*connection);
    if (connection->resting) connection->close();
    connection = next;
  }
}

void PeerPool::withdraw(Waiter& waiter) {
  if (!waiter.hook.linked()) return;
  waiter.hook.unlink();
  waiter.deadline.clear();
  --waiting_;
}

void PeerPool::failed(int64_t now_ms, Failure::Kind kind) {
  if (limits_.max_fails == 0 || !health_->failed(now_ms, static_cast<uint32_t>(limits_.max_fails), limits_.eject_ms, !unreachable(kind))) return;
  if (endpoint_ != nullptr) endpoint_->metrics.ejected();
  core::log::warn("backend keeps failing and is left out where others can do it", {{"backend", host() + ':' + std::to_string(port())}, {"for", core::print_duration(core::Duration::from_ms(limits_.eject_ms))}});
}

bool PeerPool::wants_trial(int64_t now_ms, bool repeatable) {
  if (on_trial_since_ms_ != 0) {
    if (!repeatable && now_ms - on_trial_since_ms_ < trial_patience_ms) return false;
    on_trial_since_ms_ = 0;
    health_->hold_trial(now_ms + limits_.eject_ms);
    return true;
  }
  const int64_t handshake_ms = limits_.handshake_ms > 0 ? limits_.handshake_ms : limits_.connect_ms;
  if (!health_->begin_trial(now_ms, limits_.connect_ms + handshake_ms)) return false;
  if (may_open()) open_one(DialPurpose::trial);
  else reached();  // the connections that there are say so
  return false;
}

// What was out because it could not be reached is good; what failed to answer is on trial, for as long as it was out.
void PeerPool::reached() {
  if (!health_->is_out()) return;
  if (!health_->state().reached) return back("a backend can be reached again");
  on_trial_since_ms_ = runtime_.loop.now_ms();
  health_->hold_trial(on_trial_since_ms_ + limits_.eject_ms);
}

void PeerPool::passed_trial() {
  back("a backend answers again");
  health_->succeeded(runtime_.loop.now_ms());
}

void PeerPool::back(std::string_view how) {
  health_->readmit();
  core::log::info(how, {{"backend", host() + ':' + std::to_string(port())}});
}

// Also tells the table that the backend is still in use.
void PeerPool::find_health(std::string_view key) {
  core::Health* shared = runtime_.health != nullptr ? runtime_.health->of(key, runtime_.loop.now_ms()) : nullptr;
  health_ = shared != nullptr ? shared : &own_health_;
}

bool PeerPool::offers_http2() const { return peer_.tls && peer_.tls->http2 && peer_.protocol == BackendProtocol::automatic; }

// ---------------------------------------------------------------- all of them

PeerPools::PeerPools(Runtime& runtime) : runtime_(runtime) {}

PeerPools::~PeerPools() = default;

PeerPool& PeerPools::pool(const Peer& peer) {
  const std::string key = peer.key();
  std::unique_ptr<PeerPool>& entry = pools_[key];
  if (entry) return *entry;
  PeerPool::Endpoint* endpoint = nullptr;
  if (runtime_.metrics != nullptr) {
    std::string name = peer.host + ':' + std::to_string(peer.port);
    std::unique_ptr<PeerPool::Endpoint>& counts = endpoints_[name];
    if (!counts) counts = std::make_unique<PeerPool::Endpoint>(runtime_.metrics->registry(), name);
    endpoint = counts.get();
  }
  entry = std::make_unique<PeerPool>(runtime_, peer, endpoint);
  entry->configure(limits_);
  entry->find_health(key);
  return *entry;
}

void PeerPools::configure(const TransportLimits& limits) {
  limits_ = limits;
  for (auto& [key, pool] : pools_) pool->configure(limits);
}

void PeerPools::look_after() {
  std::erase_if(pools_, [](const auto& entry) { return !entry.second->needed(); });
  for (auto& [key, pool] : pools_) pool->find_health(key);
  const auto alone = std::count_if(pools_.begin(), pools_.end(), [](const auto& entry) { return entry.second->health_ == &entry.second->own_health_; });
  if (runtime_.metrics != nullptr) runtime_.metrics->judges_alone(static_cast<size_t>(alone));
  for (auto& [name, endpoint] : endpoints_) endpoint->connections = endpoint->idle = endpoint->waiting = 0;
  for (auto& [key, pool] : pools_) {
    if (pool->endpoint_ == nullptr) continue;
    pool->endpoint_->connections += pool->total_;
    pool->endpoint_->idle += pool->idle_count_;
    pool->endpoint_->waiting += pool->waiting_;
  }
  for (auto& [name, endpoint] : endpoints_) endpoint->metrics.levels(endpoint->connections, endpoint->idle, endpoint->waiting);
}

void PeerPools::close_idle() {
  for (auto& [key, pool] : pools_) pool->close_idle();
}

}  // namespace goma::http
