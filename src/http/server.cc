// SPDX-License-Identifier: Apache-2.0
//
// Accepting, admitting, swapping sites, draining.
#include "http/server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "core/helper.h"
#include "core/log.h"
#include "core/metric.h"
#include "core/parting.h"
#include "http/client_address.h"
#include "http/config_modules.h"
#include "http/describe_site.h"
#include "http/errands.h"
#include "http/greeting.h"
#include "http/h1_server.h"
#include "http/h2_budget.h"
#include "http/h2_server.h"
#include "http/host_share.h"
#include "http/pass_through.h"
#include "http/prometheus.h"
#include "http/response_store.h"
#include "http/site_build.h"
#include "http/upstream.h"
#include "http/visitors.h"

namespace goma::http {

namespace {

constexpr int accepts_per_turn = 16;
constexpr int handshakes_per_turn = 4;  // about a millisecond
constexpr int shed_candidates = 64;
constexpr int64_t hold_ms = 20;
constexpr int64_t patience_ms = 1'000;
constexpr int64_t goodbye_ms = 400;  // less than a worker in a hurry has after its grace
constexpr size_t reserved_descriptors = 64;  // for logs, pipes, channels
constexpr std::string_view busy_answer =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 24\r\n"
    "Retry-After: 1\r\nConnection: close\r\n\r\n503 Service Unavailable\n";

// Makes a connection that the list owns.
template <class C, class List, class... Arguments>
C& adopt(List& connections, Arguments&&... arguments) {
  C& made = *std::make_unique<C>(std::forward<Arguments>(arguments)...).release();
  connections.push_back(made);
  return made;
}

int spare_descriptor() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

struct Server::Listener {
  Listener(Server& owner, std::string name, int descriptor) : server(owner), text(std::move(name)), fd(descriptor) {}
  ~Listener() {
    watch.close();
    ::close(fd);
  }
  void on_ready(unsigned) { server.accept_from(*this); }
  Server& server;
  std::string text;
  int fd;
  const EntryPoint* entry = nullptr;  // of the current site
  core::Watch watch;
};

struct Server::Worker {
  explicit Worker(core::Context& c)
      : context(c),
        resolver(std::make_unique<core::Resolver>(*c.loop, *c.wheel, core::Resolver::Options())),
        runtime{*c.loop, *c.wheel, buffers, chunks},
        peers(runtime),
        metrics(*c.metrics),
        access_log(*c.loop, [](std::string_view lines) { core::log::write_lines(lines); }),
        responses(*c.loop, &metrics), errands(runtime) {
    runtime.resolver = resolver.get();
    runtime.peers = &peers;
    runtime.metrics = &metrics;
    runtime.access_log = &access_log;
    runtime.ids = &ids;
    runtime.processes = c.processes;
    runtime.h2_budget = &h2_budget;
    if (core::Result<core::TlsTickets> opened = core::TlsTickets::open(*c.slab)) {
      tickets.emplace(std::move(opened).value());
    } else {
      core::log::warn("TLS sessions are resumed by the same worker only", {{"error", opened.error().text}});
    }
    if (core::Result<core::Staples> table = core::Staples::open(*c.slab)) {
      staples.emplace(std::move(table).value());
    } else {
      core::log::warn("OCSP responses that are fetched are not shown", {{"error", table.error().text}});
    }
    share.emplace(context, runtime);
    responses.keep_time_by(runtime.presence);
    second.bind<&Worker::every_second>(*c.loop, this);
    second.start(1000);
  }

  void every_second() {
    peers.look_after();
    buffers.shrink();
    chunks.shrink();
    second.start(1000);
  }

  // Visitors are noted only where metrics are on; without room for them the rest serves.
  void note_visitors(const MonitoringConf& monitoring) {
    runtime.visitors = nullptr;
    if (!monitoring.enable_metrics) return;
    if (!visitors) {
      const core::Result<Visitors> opened = Visitors::open(*context.slab);
      if (!opened.ok()) {
        core::log::warn("visitors are not counted", {{"error", opened.error().text}});
        return;
      }
      visitors = opened.value();
    }
    visitors->set_window(monitoring.visitor_ttl.ms() / 1000);
    runtime.visitors = &*visitors;
  }

  core::Context context;
  core::Buffers buffers;
  core::ChunkPool chunks;
  H2Budget h2_budget;
  std::unique_ptr<core::Resolver> resolver;
  Runtime runtime;
  PeerPools peers;
  ServerMetrics metrics;
  AccessLog access_log;
  std::unique_ptr<PassThrough> pass_through;
  RequestIds ids;
  ResponseStore responses;
  std::optional<Visitors> visitors;
  std::optional<HostShare> share;
  std::optional<core::TlsTickets> tickets;
  std::optional<core::Staples> staples;
  std::unordered_map<std::string, std::unique_ptr<RouteMetrics>> route_metrics;
  std::vector<std::unique_ptr<Listener>> listeners;
  core::List<ClientConnection, &ClientConnection::hook> connections;
  core::List<ClientConnection, &ClientConnection::hook> dead;
  core::List<ClientConnection, &ClientConnection::phase_hook> idle;     // oldest first
  core::List<ClientConnection, &ClientConnection::phase_hook> waiting;  // on their clients, oldest first
  core::List<Greeting, &Greeting::turn_hook> handshakes;                // that did not fit into this turn
  int handshakes_left = handshakes_per_turn;
  bool taking_turns = false;
  core::Deferred turn_end;
  core::Timer next_turn;
  std::unordered_map<uint64_t, size_t> addresses;  // connections per client address, where that is limited
  size_t count = 0;
  core::Deferred burial;
  core::Timer grace;
  core::Timer second;
  core::Timer hold;
  core::Timer parting;
  core::Parting parting_sockets{*context.loop};
  Errands errands;  // they use all of the above
  int64_t full_since_ms = 0;
  bool said_goodbye = false;
  std::function<void()> drained;
  int spare = spare_descriptor();
  int64_t alerted_ms = -60'000;
};

Server::Server(std::span<const ModuleInfo* const> modules) : modules_(modules) {}

Server::~Server() {
  if (!worker_) return;
  while (ClientConnection* connection = worker_->connections.pop_front()) std::unique_ptr<ClientConnection> last(connection);
  bury();
  ::close(worker_->spare);
}

// ---------------------------------------------------------------- configuration

std::unique_ptr<core::Built> Server::build(core::Source& source, const std::string& path, core::Problems& problems) const {
  const auto check_rules = [this](const Config& c, core::Problems& p) { check_middlewares(c, modules_, p); };
  std::unique_ptr<Config> config = load_config(source, path, problems, check_rules);
  if (!config) return nullptr;
  return build_site(std::move(config),
                     {modules_, metrics_renderer(), &source, worker_ && worker_->tickets ? &*worker_->tickets : nullptr, worker_ && worker_->staples ? &*worker_->staples : nullptr},
                     problems);
}

// Counts routes and middlewares of the site that serves when it is asked, not of the one being built.
std::function<std::string()> Server::metrics_renderer() const {
  Worker* w = worker_.get();
  if (w == nullptr) return nullptr;  // the loader only checks
  return [w] {
    const Config& config = w->runtime.site->config();
    const timespec now = w->context.loop->wall();
    const Visitors* visitors = w->runtime.visitors;
    return render_prometheus({.metrics = *w->context.metrics,
                              .slab = *w->context.slab,
                              .version = GOMA_VERSION,
                              .generation = w->runtime.site->generation,
                              .routes = config.gateway.routes.size(),
                              .middlewares = config.middlewares.size(),
                              .now_ms = now.tv_sec * 1000 + now.tv_nsec / 1'000'000,
                              .certificates = &w->runtime.site->certificates(),
                              .visitors = visitors != nullptr ? visitors->count(w->context.loop->now_ms() / 1000) : 0,
                              .visitors_evicted = visitors != nullptr ? visitors->evicted() : 0,
                              .limit_zone = w->runtime.limit_zone,
                              .cache_zone = w->responses.zone()});
  };
}

core::Plan Server::plan(const core::Built& built) const { return plan_of(static_cast<const Site&>(built), modules_); }

std::vector<core::OcspQuestion> Server::to_staple(const core::Built& built) const { return static_cast<const Site&>(built).certificates().to_staple(); }

std::shared_ptr<const core::RedisSettings> Server::redis(const core::Built& built) const { return static_cast<const Site&>(built).redis(); }

std::string Server::query(const core::Built& built, core::Slab& slab, const std::string& what, bool json) const {
  return describe_site(static_cast<const Site&>(built), slab, what, json);
}

void Server::start(core::Context& context) {
  worker_ = std::make_unique<Worker>(context);
  worker_->runtime.binder = this;
  worker_->pass_through = std::make_unique<PassThrough>(worker_->context, worker_->buffers, *worker_->resolver, [this] { check_drained(); });
  worker_->burial.bind<&Server::bury>(this);
  worker_->turn_end.bind<&Server::end_turn>(this);
  worker_->next_turn.bind<&Server::take_turns>(*context.loop, this);
  worker_->grace.bind<&Server::end_grace>(*context.loop, this);
  worker_->parting.bind<&Server::check_drained>(*context.loop, this);
  worker_->hold.bind<&Server::go_on_accepting>(*context.loop, this);
}

void Server::commit(std::unique_ptr<core::Built> built, uint64_t generation, std::vector<core::Listening> listening) {
  Worker& w = *worker_;
  Site* old = w.runtime.site;
  auto* site = static_cast<Site*>(built.release());  // owned by its users from here on, see Site::retire
  site->generation = generation;
  site->hold();
  w.peers.configure(site->transport_limits());
  w.runtime.limits = site->connection_limits();
  w.runtime.limits.max_connections = slots();
  w.resolver->configure(resolver_options(site->config()));
  if (old != nullptr && site->config().gateway.networking.dns_cache.clear_on_reload) w.resolver->clear();
  w.share->configure(site->redis());
  w.access_log.configure(access_log_settings(site->config()));
  w.note_visitors(site->config().gateway.monitoring);
  if (w.responses.provide(*w.context.slab, site->store_bytes())) w.runtime.responses = &w.responses;
  w.runtime.site = site;
  listen(std::move(listening));
  if (old == nullptr) return;
  core::Helper* helper = w.context.helper;
  old->retire([helper](Site* last) { helper->run([last] { std::unique_ptr<Site> freed(last); }, [] {}); });
  old->release();
}

void Server::bind(const Route& route) {
  Worker& w = *worker_;
  route.bound = true;
  if (route.upstream) route.upstream->bind(w.peers);
  if (!route.metrics_enabled) return;
  std::unique_ptr<RouteMetrics>& metrics = w.route_metrics[route.name];
  if (!metrics) metrics = std::make_unique<RouteMetrics>(*w.context.metrics, route.name);
  route.metrics = metrics.get();
}

void Server::reopen_logs() { worker_->access_log.flush(); }

std::string Server::status() const { return fmt::format("{} connections", worker_ ? worker_->count : 0); }

// ---------------------------------------------------------------- listening

// A socket that stays comes with the descriptor it had before. What still waits in a queue that is about to be left
// is served first.
void Server::listen(std::vector<core::Listening> listening) {
  Worker& w = *worker_;
  w.parting_sockets.finish();  // those of the commit before know its site only
  w.pass_through->listen(PassThrough::take(listening), w.runtime.site->pass_through());
  std::vector<std::unique_ptr<Listener>> old = std::move(w.listeners);
  w.listeners.clear();
  for (core::Listening& socket : listening) {
    const auto same = std::find_if(old.begin(), old.end(), [&](const auto& l) { return l && l->fd == socket.fd; });
    if (same != old.end()) {
      w.listeners.push_back(std::move(*same));
      w.listeners.back()->entry = &w.runtime.site->entry_point(socket.text);
      continue;
    }
    core::set_nodelay(socket.fd);  // accepted connections inherit both
    core::limit_unsent(socket.fd);
    auto listener = std::make_unique<Listener>(*this, socket.text, socket.fd);
    listener->entry = &w.runtime.site->entry_point(socket.text);
    if (!w.runtime.draining) watch(*listener);
    w.listeners.push_back(std::move(listener));
  }
  for (std::unique_ptr<Listener>& listener : old) {
    if (listener) part_with(std::move(listener), listening);
  }
}

void Server::part_with(std::unique_ptr<Listener> listener, const std::vector<core::Listening>& now) {
  const std::shared_ptr<Listener> last = std::move(listener);
  const core::Listening* heir = core::heir_of(last->text, last->fd, now);
  if (heir == nullptr) return accept_all(*last);
  last->entry = &worker_->runtime.site->entry_point(heir->text);
  worker_->parting_sockets.add([this, last] { accept_all(*last); });
}

void Server::accept_all(Listener& listener) {
  while (accept_one(listener)) {
  }
}

void Server::accept_from(Listener& listener) {
  for (int i = 0; i < accepts_per_turn; ++i) {
    if (!has_room()) {
      listener.watch.close();  // one that parts is no other's business
      hold_accepting();
      return;
    }
    if (!accept_one(listener)) return;
  }
}

bool Server::has_room() {
  Worker& w = *worker_;
  if (w.count < w.runtime.limits.max_connections || make_room()) {
    w.full_since_ms = 0;
    return true;
  }
  // Everybody is being served. Newcomers wait in the queue for a moment before they are turned away.
  const int64_t now = w.context.loop->now_ms();
  if (w.full_since_ms == 0) w.full_since_ms = now;
  return now - w.full_since_ms >= patience_ms;
}

void Server::hold_accepting() {
  Worker& w = *worker_;
  for (std::unique_ptr<Listener>& listener : w.listeners) listener->watch.close();
  w.hold.start(hold_ms);
}

void Server::go_on_accepting() {
  Worker& w = *worker_;
  if (w.runtime.draining) return;
  for (std::unique_ptr<Listener>& listener : w.listeners) watch(*listener);
}

void Server::watch(Listener& listener) {
  if (!listener.watch.is_open()) listener.watch.open_level<&Listener::on_ready>(*worker_->context.loop, listener.fd, &listener);
}

bool Server::accept_one(Listener& listener) {
  core::Address peer;
  const int connection = core::accept_connection(listener.fd, peer);
  if (connection >= 0) {
    admit(connection, peer, *listener.entry);
    return true;
  }
  if (errno == EMFILE || errno == ENFILE) {
    refuse_without_descriptors(listener);
    return false;
  }
  return errno == ECONNABORTED || errno == EINTR;
}

void Server::admit(int fd, const core::Address& peer, const EntryPoint& entry) {
  Worker& w = *worker_;
  if (w.count >= w.runtime.limits.max_connections && !make_room()) {
    turn_away(fd, entry, Refusal::connection_limit);
    return;
  }
  uint64_t key = 0;
  if (w.runtime.limits.max_per_address != 0 && !count_address(peer, entry, key)) {
    turn_away(fd, entry, Refusal::address_limit);
    return;
  }
  ++w.count;
  w.metrics.accepted();
  if (entry.plain()) {
    auto& connection = adopt<H1Server>(w.connections, w.runtime, *this, Arrival{peer, nullptr});
    connection.address_key = key;
    connection.open(fd);
  } else {
    auto& connection = adopt<Greeting>(w.connections, w.runtime, *this, entry, peer);
    connection.address_key = key;
    connection.open(fd);
  }
}

// Takes a place among the connections of an address; false when it has its share. Trusted proxies bring many clients.
bool Server::count_address(const core::Address& peer, const EntryPoint& entry, uint64_t& key) {
  if (peer.is_unix() || entry.is_proxy(peer) || worker_->runtime.site->trusted_proxies().contains(peer)) return true;
  key = network_key(peer);
  size_t& used = worker_->addresses[key];
  if (used >= worker_->runtime.limits.max_per_address) return false;
  ++used;
  return true;
}

void Server::forget_address(ClientConnection& connection) {
  if (connection.address_key == 0) return;
  const auto found = worker_->addresses.find(std::exchange(connection.address_key, 0));
  if (found != worker_->addresses.end() && --found->second == 0) worker_->addresses.erase(found);
}

void Server::on_connection_greeted(Greeting& greeting) {
  Worker& w = *worker_;
  const uint64_t key = std::exchange(greeting.address_key, 0);
  if (greeting.http2()) {
    auto& connection = adopt<H2Server>(w.connections, w.runtime, *this, std::move(greeting.arrival()));
    connection.address_key = key;
    connection.open(greeting.stream());
  } else {
    auto& connection = adopt<H1Server>(w.connections, w.runtime, *this, std::move(greeting.arrival()));
    connection.address_key = key;
    connection.open(greeting.stream());
  }
  greeting.phase_hook.unlink();
  greeting.hook.unlink();
  w.dead.push_back(greeting);
  w.context.loop->defer(w.burial);
}

// ---------------------------------------------------------------- handshakes take turns

bool Server::may_handshake(Greeting& greeting) {
  Worker& w = *worker_;
  if (greeting.turn_hook.linked()) return false;
  w.context.loop->at_turn_end(w.turn_end);
  if (w.handshakes_left > 0 && (w.taking_turns || w.handshakes.front() == nullptr)) {  // first come, first served
    --w.handshakes_left;
    return true;
  }
  w.handshakes.push_back(greeting);
  return false;
}

void Server::end_turn() {
  Worker& w = *worker_;
  w.handshakes_left = handshakes_per_turn;
  if (w.handshakes.front() != nullptr) w.next_turn.start(0);
}

void Server::take_turns() {
  Worker& w = *worker_;
  w.taking_turns = true;
  while (w.handshakes_left > 0) {
    Greeting* greeting = w.handshakes.pop_front();
    if (greeting == nullptr) break;
    greeting->proceed();
  }
  w.taking_turns = false;
}


// A slot for a newcomer. True when one was freed.
bool Server::make_room() {
  Worker& w = *worker_;
  if (ClientConnection* oldest = w.idle.front()) {
    w.metrics.shed();
    oldest->shed();
    return true;
  }
  ClientConnection* slowest = nullptr;
  double least = 0;
  int looked = 0;
  const int64_t now = w.context.loop->now_ms();
  for (ClientConnection* c = w.waiting.front(); c != nullptr && looked < shed_candidates; c = w.waiting.next(*c), ++looked) {
    const int64_t waited = std::max<int64_t>(now - c->waiting_since_ms(), 1);
    const double rate = static_cast<double>(c->progress()) / static_cast<double>(waited);
    if (slowest != nullptr && rate >= least) continue;
    slowest = c;
    least = rate;
  }
  if (slowest == nullptr) return false;
  w.metrics.shed();
  slowest->shed();
  return true;
}

void Server::turn_away(int fd, const EntryPoint& entry, Refusal reason) {
  worker_->metrics.refused(reason);
  if (entry.tls) {  // an answer would cost a handshake
    ::close(fd);
    return;
  }
  const ssize_t sent = ::send(fd, busy_answer.data(), busy_answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  static_cast<void>(sent);  // who cannot even take this is not told
  ::shutdown(fd, SHUT_WR);
  char unread[4096];
  while (::recv(fd, unread, sizeof unread, MSG_DONTWAIT) > 0) {  // else close() would reset the answer away
  }
  ::close(fd);
}

void Server::refuse_without_descriptors(Listener& listener) {
  Worker& w = *worker_;
  if (w.context.loop->now_ms() - w.alerted_ms >= 60'000) {
    w.alerted_ms = w.context.loop->now_ms();
    core::log::error("no file descriptors left: clients give way to others, or are refused", {{"connections", w.count}});
  }
  w.peers.close_idle();
  if (make_room()) {  // as when slots run out: the idlest gives way, then the slowest; the next turn accepts
    bury();
    if (w.spare < 0) w.spare = spare_descriptor();
    return;
  }
  if (w.spare < 0) return;
  ::close(w.spare);
  core::Address peer;
  const int connection = core::accept_connection(listener.fd, peer);
  if (connection >= 0) turn_away(connection, *listener.entry, Refusal::descriptors);
  w.spare = spare_descriptor();
}

// How many clients this worker may have, leaving descriptors for as many backends.
size_t Server::slots() const {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const size_t descriptors = limit.rlim_cur > 2 * reserved_descriptors ? limit.rlim_cur - reserved_descriptors : limit.rlim_cur / 2;
  const size_t wanted = worker_->runtime.limits.max_connections;
  const size_t most = std::max<size_t>(descriptors, 16);
  return wanted == 0 ? most : std::min(wanted, most);
}

// ---------------------------------------------------------------- connections

void Server::on_connection_phase(ClientConnection& connection) {
  connection.phase_hook.unlink();
  switch (connection.phase()) {
    case ClientConnection::Phase::waiting: worker_->waiting.push_back(connection); return;
    case ClientConnection::Phase::idle: worker_->idle.push_back(connection); return;
    default: return;
  }
}

void Server::on_connection_closed(ClientConnection& connection) {
  Worker& w = *worker_;
  forget_address(connection);
  connection.phase_hook.unlink();
  connection.hook.unlink();
  w.dead.push_back(connection);
  --w.count;
  w.metrics.closed();
  w.context.loop->defer(w.burial);
}

void Server::bury() {
  Worker& w = *worker_;
  while (ClientConnection* connection = w.dead.pop_front()) std::unique_ptr<ClientConnection> last(connection);
  check_drained();
}

// ---------------------------------------------------------------- draining

void Server::drain(int64_t grace_ms, std::function<void()> done) {
  Worker& w = *worker_;
  w.drained = std::move(done);
  if (!w.runtime.draining) {
    w.runtime.draining = true;
    for (std::unique_ptr<Listener>& listener : w.listeners) {
      listener->watch.close();
      accept_all(*listener);
    }
    w.listeners.clear();
    w.parting_sockets.finish();
    w.pass_through->drain();
    for (ClientConnection* c = w.connections.front(); c != nullptr; c = w.connections.next(*c)) c->drain(false);
    w.peers.close_idle();
  }
  w.grace.start(std::max<int64_t>(grace_ms, 0));
  check_drained();
}

// The time for finishing is over: who can be told is told, and a moment later everything ends.
void Server::end_grace() {
  Worker& w = *worker_;
  w.pass_through->stop();
  if (!std::exchange(w.said_goodbye, true)) {
    for (ClientConnection* c = w.connections.front(); c != nullptr;) {
      ClientConnection& each = *c;
      c = w.connections.next(each);
      each.say_goodbye();
    }
    if (w.connections.front() != nullptr) w.grace.start(goodbye_ms);
    check_drained();
    return;
  }
  while (ClientConnection* connection = w.connections.front()) {
    connection->shed();
    if (connection->hook.linked() && w.connections.front() == connection) break;
  }
  check_drained();
}

void Server::check_drained() {
  Worker& w = *worker_;
  if (!w.runtime.draining || w.count != 0 || w.pass_through->sessions() != 0 || !w.drained) return;
  w.grace.stop();
  if (!w.share->has_said_all()) return w.parting.start(HostShare::last_words_ms);  // other hosts hear of what was let in last
  w.access_log.flush();
  std::function<void()> done = std::move(w.drained);
  w.drained = nullptr;
  done();
}

}  // namespace goma::http
