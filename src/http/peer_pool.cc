// SPDX-License-Identifier: Apache-2.0
//
// Lending, queueing and burying connections. A connection is in exactly one list: idle, open, busy (being made, lent or
// without room) or dead; the dead are destroyed after the callback in which they died.
#include "http/peer_pool.h"

#include <algorithm>
#include <limits>
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
  size_t stale = 0;  // pools whose name could not be looked up
};

PeerPool::PeerPool(Runtime& runtime, Peer peer, Endpoint* endpoint)
    : runtime_(runtime), peer_(std::move(peer)), endpoint_(endpoint), written_head_(runtime.chunks), lists_(std::make_unique<Lists>()), multiplexed_(may_speak_http2()) {
  burial_.bind<&PeerPool::bury>(this);
  names_.bind<&PeerPool::on_addresses>(this);
  look_again_.bind<&PeerPool::keep_up>(runtime.wheel, this);
}

PeerPool::~PeerPool() {
  if (stale_ && endpoint_ != nullptr) --endpoint_->stale;
  for (ConnectionList* list : {&lists_->idle, &lists_->open, &lists_->busy, &lists_->dead}) {
    while (BackendConnection* connection = list->pop_front()) std::unique_ptr<BackendConnection> last(connection);
  }
}

void PeerPool::acquire(Waiter& waiter, bool fresh) {
  waiter.pool = this;
  const core::Address* turn = addresses_.next();
  if (BackendConnection* connection = idle_one(fresh, turn)) {
    count_idle(*connection, false);
    connection->hook.unlink();
    lists_->busy.push_back(*connection);
    waiter.on_lease(static_cast<H1Client&>(*connection));
    return;
  }
  if (BackendConnection* shared = turn == nullptr ? lists_->open.front() : of_address(lists_->open, turn)) {
    lend_stream(static_cast<H2Client&>(*shared), waiter);
    return;
  }
  if (!may_open() && waiting_ >= limits_.queue + connecting_ * streams_expected()) {
    waiter.on_lease_failed({.kind = Failure::Kind::queue_full, .detail = "too many requests wait for this backend"});
    return;
  }
  if (!may_open() && limits_.queue_ms == 0) {
    waiter.on_lease_failed({.kind = Failure::Kind::queue_timeout, .detail = "all connections are taken, and nobody waits for one"});
    return;
  }
  // Who waits for a connection that is being made gets the time for that on top.
  enqueue(waiter, may_open() ? limits_.queue_ms + limits_.connect_ms : limits_.queue_ms);
  open_for_waiters();
}

// An idle connection that can be lent. Where one turned out to be closed the others may be as well: the oldest makes
// room for a new one.
BackendConnection* PeerPool::idle_one(bool fresh, const core::Address* turn) {
  BackendConnection* first = lists_->idle.front();
  if (first == nullptr) return nullptr;
  if (!fresh && turn == nullptr && !static_cast<H1Client*>(first)->has_news()) return first;  // nearly always
  if (fresh) {
    if (!may_open()) lists_->idle.back()->close();
    return may_open() ? nullptr : lists_->idle.front();
  }
  while (BackendConnection* connection = of_address(lists_->idle, turn)) {
    if (!static_cast<H1Client*>(connection)->has_news()) return connection;
    connection->close();
  }
  return nullptr;
}

// The first one that goes to the address whose turn it is. Where that has none another one serves, and it gets one more.
BackendConnection* PeerPool::of_address(ConnectionList& list, const core::Address* turn) {
  BackendConnection* first = list.front();
  if (turn == nullptr || first == nullptr) return first;
  for (BackendConnection* connection = first; connection != nullptr; connection = list.next(*connection)) {
    if (connection->address == *turn) return connection;
  }
  const int64_t now_ms = runtime_.loop.now_ms();
  if (may_open() && addresses_.may_add(*turn, now_ms)) {
    const core::Address address = *turn;  // the set may change meanwhile
    addresses_.adding(address);
    open_one(DialPurpose::spread, &address);
    return list.front();
  }
  return first;
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

void PeerPool::open_one(DialPurpose purpose, const core::Address* address) {
  auto made = std::make_unique<Dialer>(runtime_, *this, purpose, address);
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
  addresses_.connected(dialer.address);
  if (!std::exchange(keeps_up_, true)) keep_up();
  if (dialer.http2()) {
    begin_http2(dialer);
    return;
  }
  const bool shared = std::exchange(multiplexed_, false);
  auto made = std::make_unique<H1Client>(runtime_, *this, dialer.stream());
  H1Client& connection = *made.release();  // as above
  connection.address = dialer.address;
  connection.outdated = !addresses_.has(dialer.address);
  lists_->busy.push_back(connection);
  discard(dialer);
  released(connection);
  if (shared) open_for_waiters();  // who waited to share it cannot
}

void PeerPool::begin_http2(Dialer& dialer) {
  multiplexed_ = true;
  auto made = std::make_unique<H2Client>(runtime_, *this, dialer.stream());
  H2Client& connection = *made.release();  // as above
  connection.address = dialer.address;
  connection.outdated = !addresses_.has(dialer.address);
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
  if (connection.outdated && connection.greeted()) return retire(connection);
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
  if (failure.kind == Failure::Kind::tls || failure.kind == Failure::Kind::exhausted) tell(failure);
  if (dialer.purpose() == DialPurpose::spread && failure.kind != Failure::Kind::exhausted) addresses_.failed(dialer.address, runtime_.loop.now_ms());
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
  } else if (failure.kind == Failure::Kind::exhausted) {
    core::log::error("this host has no means for a connection to a backend", {{"backend", name}, {"reason", std::string(failure.detail)}});
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
  if (connection.outdated && connection.served()) {
    connection.close();
    return;
  }
  if (Waiter* waiter = next_waiter()) {
    waiter->on_lease(connection);
    return;
  }
  if (connection.outdated || !may_keep()) {
    connection.close();
    return;
  }
  connection.hook.unlink();
  connection.rest(limits_.idle_ms);
  lists_->idle.push_front(connection);
  count_idle(connection, true);
}

// ---------------------------------------------------------------- addresses

// Asks for what is known to be asked for again, as long as there are connections.
void PeerPool::keep_up() {
  if (total_ != 0) return runtime_.resolver->refresh(host(), port(), names_);
  keeps_up_ = false;
  addresses_ = PeerAddresses();
  if (std::exchange(stale_, false) && endpoint_ != nullptr) --endpoint_->stale;
}

void PeerPool::on_addresses(const core::Result<core::Resolver::Addresses>& addresses) {
  if (names_.again_ms() != std::numeric_limits<int64_t>::max()) look_again_.set(names_.again_ms());
  if (stale_ == addresses.ok()) tell_stale(!addresses.ok(), addresses.ok() ? std::string() : addresses.error().text);
  if (!addresses.ok()) return;
  const bool first = addresses_.size() == 0;
  if (!addresses_.learn(addresses.value()) || first) return;
  drop_outdated();
  std::string list;
  for (const core::Address& address : addresses.value()) list += (list.empty() ? "" : " ") + address.ip_text();
  core::log::info("the addresses of a backend have changed", {{"backend", host() + ':' + std::to_string(port())}, {"addresses", list}});
}

void PeerPool::tell_stale(bool stale, const std::string& why) {
  stale_ = stale;
  if (endpoint_ != nullptr) endpoint_->stale += stale ? 1 : size_t{0} - 1;
  const std::string name = host() + ':' + std::to_string(port());
  if (stale) core::log::warn("a backend's name cannot be looked up; its last addresses serve on", {{"backend", name}, {"reason", why}});
  else core::log::info("a backend's name can be looked up again", {{"backend", name}});
}

// What carries nothing is closed, what carries something is when that is over.
void PeerPool::drop_outdated() {
  for (ConnectionList* list : {&lists_->idle, &lists_->open, &lists_->busy}) {
    for (BackendConnection *next = nullptr, *connection = list->front(); connection != nullptr; connection = next) {
      next = list->next(*connection);
      connection->outdated = connection->address.family() != core::Address::Family::none && !addresses_.has(connection->address);
      if (!connection->outdated || list == &lists_->busy) continue;
      if (list == &lists_->idle || connection->resting) connection->close();
      else retire(static_cast<H2Client&>(*connection));
    }
  }
}

void PeerPool::retire(H2Client& connection) {
  count_idle(connection, false);
  connection.hook.unlink();
  lists_->busy.push_back(connection);
  connection.leave();
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
  if (kind == Failure::Kind::exhausted) return;
  if (limits_.max_fails == 0 || !health_->failed(now_ms, static_cast<uint32_t>(limits_.max_fails), limits_.eject_ms, !unreachable(kind))) return;
  if (endpoint_ != nullptr) endpoint_->metrics.ejected();
  core::log::warn("backend keeps failing and is left out where others can do it", {{"backend", host() + ':' + std::to_string(port())}, {"for", core::print_duration(core::Duration::from_ms(limits_.eject_ms))}});
}

bool PeerPool::wants_trial(bool repeatable) {
  const int64_t now_ms = runtime_.loop.now_ms();
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
  clear_health();
}

void PeerPool::clear_health() { health_->succeeded(runtime_.loop.now_ms()); }

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
  for (auto& [key, pool] : pools_) {
    pool->find_health(key);
    pool->written_head_.reset();
  }
  const auto alone = std::count_if(pools_.begin(), pools_.end(), [](const auto& entry) { return entry.second->health_ == &entry.second->own_health_; });
  if (runtime_.metrics != nullptr) runtime_.metrics->judges_alone(static_cast<size_t>(alone));
  for (auto& [name, endpoint] : endpoints_) endpoint->connections = endpoint->idle = endpoint->waiting = 0;
  for (auto& [key, pool] : pools_) {
    if (pool->endpoint_ == nullptr) continue;
    pool->endpoint_->connections += pool->total_;
    pool->endpoint_->idle += pool->idle_count_;
    pool->endpoint_->waiting += pool->waiting_;
  }
  for (auto& [name, endpoint] : endpoints_) endpoint->metrics.levels(endpoint->connections, endpoint->idle, endpoint->waiting, endpoint->stale);
}

void PeerPools::close_idle() {
  for (auto& [key, pool] : pools_) pool->close_idle();
}

}  // namespace goma::http
