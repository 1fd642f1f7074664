// SPDX-License-Identifier: Apache-2.0
//
// Accepting, choosing targets, and the end of a connection: one log line, counters.
#include "http/pass_through.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/client_hello.h"
#include "core/log.h"
#include "core/metric.h"
#include "core/proxy_protocol.h"
#include "core/udp_relay.h"

namespace goma::http {

namespace {

using Kind = core::Metrics::Kind;

constexpr int accepts_per_turn = 16;
constexpr int64_t hold_ms = 50;
constexpr int64_t avoid_ms = 10'000;  // a target that failed is tried after the others for so long
constexpr int64_t hello_ms = 5'000;
constexpr size_t reserved_descriptors = 64;

constexpr std::string_view connections_total = "goma_pass_through_connections_total";
constexpr std::string_view active = "goma_pass_through_active";
constexpr std::string_view received_bytes = "goma_pass_through_received_bytes_total";
constexpr std::string_view sent_bytes = "goma_pass_through_sent_bytes_total";
constexpr std::string_view errors_total = "goma_pass_through_errors_total";

void describe(core::Metrics& metrics) {
  metrics.describe(connections_total, Kind::counter, "Connections (TCP) and sessions (UDP) of pass-through ports.");
  metrics.describe(active, Kind::gauge, "Connections and sessions of pass-through ports under way.");
  metrics.describe(received_bytes, Kind::counter, "Bytes from clients of pass-through ports.");
  metrics.describe(sent_bytes, Kind::counter, "Bytes from targets of pass-through ports.");
  metrics.describe(errors_total, Kind::counter, "What went wrong on pass-through ports, by reason.");
}

// A connection takes two descriptors, and now and then a pipe.
size_t sessions_that_fit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur > 2 * reserved_descriptors ? (limit.rlim_cur - reserved_descriptors) / 2 : 16;
}

}  // namespace

// ---------------------------------------------------------------- a port

// What a port knows beyond its rule: series, numbers, and how its targets have done.
struct PassThrough::Forward final : public core::UdpRelayOwner {
  static constexpr size_t none = SIZE_MAX;

  // Whose turn it is in one list of targets, and until when each is avoided.
  struct Turns {
    size_t next = 0;
    std::vector<int64_t> avoid_until_ms;
  };
  // Sessions hold the one they began with.
  struct Current {
    std::shared_ptr<const PassThroughRule> rule;
    std::vector<Turns> turns;

    // The next target of a list that is not among the tried ones (bits), those that failed lately last; none when all
    // were tried. The search begins at `first`.
    size_t choose(size_t list, size_t first, uint64_t tried, int64_t now_ms) const {
      const size_t count = rule->lists[list].size();
      size_t chosen = none;
      for (size_t i = 0; i < count; ++i) {
        const size_t at = (first + i) % count;
        if (tried & uint64_t{1} << at) continue;
        if (turns[list].avoid_until_ms[at] <= now_ms) return at;
        if (chosen == none) chosen = at;
      }
      return chosen;
    }
    void avoid(size_t list, size_t target, int64_t now_ms) { turns[list].avoid_until_ms[target] = now_ms + avoid_ms; }
  };

  Forward(PassThrough& o, const PassThroughRule& rule)
      : owner(o), metrics(*o.context_.metrics), labels(core::metric_labels({{"forward", rule.name}, {"protocol", rule.protocol()}})) {
    connections = metrics.counter(connections_total, labels);
    level = metrics.gauge(active, labels);
    received = metrics.counter(received_bytes, labels);
    sent = metrics.counter(sent_bytes, labels);
    if (rule.udp) udp = std::make_unique<core::UdpRelay>(o.relays_, *this);
  }

  void use(const std::shared_ptr<const PassThroughRule>& rule) {
    current = std::make_shared<Current>();
    current->rule = rule;
    for (const PassThroughRule::Targets& list : rule->lists) current->turns.push_back({0, std::vector<int64_t>(list.size())});
    if (udp) udp->configure({rule->idle_ms, rule->max_connections, received, sent});
  }

  void failed(std::string_view reason) {
    metrics.add(metrics.counter(errors_total, labels + "," + core::metric_labels({{"reason", reason}})));
  }
  void began() {
    ++count;
    ++owner.sessions_;
    metrics.add(connections);
    metrics.add(level);
  }
  void ended() {
    --count;
    --owner.sessions_;
    metrics.sub(level);
    owner.context_.loop->defer(owner.burial_);
  }

  const core::RelayTarget* on_session_begun(std::shared_ptr<const void>& keep) override;
  void on_session_over(const Facts& facts) override;
  void on_dropped() override { failed("dropped"); }

  PassThrough& owner;
  core::Metrics& metrics;
  std::string labels;
  core::Metrics::Cell connections, level, received, sent;
  std::shared_ptr<Current> current;
  std::unique_ptr<core::UdpRelay> udp;
  size_t count = 0;
};

// ---------------------------------------------------------------- UDP sessions

const core::RelayTarget* PassThrough::Forward::on_session_begun(std::shared_ptr<const void>& keep) {
  began();
  keep = current;
  const size_t target = current->choose(0, current->turns[0].next++, 0, owner.context_.loop->now_ms());
  return target == none || owner.sessions_ > owner.most_sessions_ ? nullptr : &current->rule->lists[0][target];
}

void PassThrough::Forward::on_session_over(const Facts& facts) {
  static constexpr std::string_view names[] = {"idle", "evicted", "refused", "unreachable", "stopped"};
  const std::string_view how = names[static_cast<size_t>(facts.end)];
  if (facts.end != End::idle && facts.end != End::stopped) failed(how);
  if (facts.end == End::refused || facts.end == End::unreachable) {
    const PassThroughRule::Targets& targets = current->rule->lists[0];
    for (size_t i = 0; i < targets.size(); ++i) {
      if (&targets[i] == facts.target) current->avoid(0, i, owner.context_.loop->now_ms());
    }
  }
  core::log::info("Forwarded session", {{"protocol", "udp"}, {"forward", current->rule->name}, {"client", facts.client.text()},
                  {"target", facts.target == nullptr ? std::string_view() : std::string_view(facts.target->text)}, {"bytes_in", facts.from_client},
                  {"bytes_out", facts.from_target}, {"duration_ms", facts.took_ms}, {"end", how}});
  ended();
}

// ---------------------------------------------------------------- TCP listeners

struct PassThrough::Listener {
  Listener(PassThrough& o, Forward& f, int descriptor) : owner(o), forward(&f), fd(descriptor) {}
  ~Listener() {
    watch.close();
    ::close(fd);
  }
  void on_ready(unsigned) { owner.accept_from(*this); }

  PassThrough& owner;
  Forward* forward;
  int fd;
  core::Watch watch;
};

// ---------------------------------------------------------------- a connection

class PassThrough::Session final : public core::TcpRelayOwner {
 public:
  Session(PassThrough& owner, Forward& forward, const core::Address& peer)
      : owner_(owner), forward_(forward), current_(forward.current), peer_(peer), begun_us_(owner.context_.loop->now_us()),
        relay_(owner.relays_, *this, {rule().connect_ms, rule().idle_ms, forward.received, forward.sent}) {}

  void open(int fd) {
    forward_.began();
    if (!rule().by_server_name()) return relay_.open(fd);
    relay_.wait_for_client(fd, hello_ms);
    on_client_bytes(relay_, false);
  }
  void stop() { relay_.end(core::TcpRelay::End::stopped); }

  void on_client_bytes(core::TcpRelay& relay, bool overdue) override;
  const core::RelayTarget* next_target(core::TcpRelay&) override;
  void on_target_failed(core::TcpRelay&, std::string_view reason) override;
  std::string opening(core::TcpRelay& relay) override;
  void on_relay_over(core::TcpRelay& relay) override;

  core::ListHook hook;

 private:
  const PassThroughRule& rule() const { return *current_->rule; }
  void refuse(std::string_view reason);

  PassThrough& owner_;
  Forward& forward_;
  std::shared_ptr<Forward::Current> current_;
  core::Address peer_;
  int64_t begun_us_;
  core::TcpRelay relay_;
  size_t list_ = 0;
  size_t first_ = 0;
  size_t target_ = 0;   // the one being tried or used
  uint64_t tried_ = 0;  // bits
  std::string server_name_;
};

void PassThrough::Session::refuse(std::string_view reason) {
  forward_.failed(reason);
  relay_.end(core::TcpRelay::End::refused);
}

// Looks for the server name without taking anything out of the kernel's buffer.
void PassThrough::Session::on_client_bytes(core::TcpRelay& relay, bool overdue) {
  using State = core::ClientHello::State;
  core::BufferPool::Lease block(owner_.relays_.buffers.blocks);
  const ssize_t n = ::recv(relay.client_fd(), block.data(), core::ClientHello::max_bytes, MSG_PEEK);
  const bool nothing = n < 0 && (errno == EAGAIN || errno == EINTR);
  if (nothing && !overdue && !relay.client_closed()) return;
  if (n <= 0) return refuse(nothing ? "hello-timeout" : "no-hello");
  core::ClientHello hello = core::read_client_hello({block.data(), static_cast<size_t>(n)});
  switch (hello.state) {
    case State::more:
      if (overdue || relay.client_closed()) refuse("hello-timeout");
      return;
    case State::bad: return refuse("bad-hello");
    case State::not_tls: break;
    case State::ok: server_name_ = std::move(hello.server_name); list_ = rule().list_for(server_name_); break;
  }
  if (rule().lists[list_].empty()) return refuse("no-target");
  relay.connect();
}

const core::RelayTarget* PassThrough::Session::next_target(core::TcpRelay&) {
  if (tried_ == 0) first_ = current_->turns[list_].next++;
  const size_t next = current_->choose(list_, first_, tried_, owner_.context_.loop->now_ms());
  if (next == Forward::none) return nullptr;
  target_ = next;
  tried_ |= uint64_t{1} << next;
  return &rule().lists[list_][next];
}

void PassThrough::Session::on_target_failed(core::TcpRelay&, std::string_view reason) {
  if (reason != "descriptors") current_->avoid(list_, target_, owner_.context_.loop->now_ms());  // which no target can help
  forward_.failed(reason);
  core::log::debug("a pass-through target failed", {{"forward", rule().name}, {"target", rule().lists[list_][target_].text}, {"reason", std::string(reason)}});
}

std::string PassThrough::Session::opening(core::TcpRelay& relay) {
  if (rule().proxy_version == 0) return {};
  return core::write_proxy_header(rule().proxy_version, peer_, core::local_address(relay.client_fd()));
}

void PassThrough::Session::on_relay_over(core::TcpRelay& relay) {
  using End = core::TcpRelay::End;
  const int64_t took_us = owner_.context_.loop->now_us() - begun_us_;
  const std::string target = tried_ == 0 ? std::string() : rule().lists[list_][target_].text;
  const std::string how(core::TcpRelay::name(relay.how()));
  const bool bad = relay.how() == End::unreachable || relay.how() == End::refused;
  if (relay.how() == End::unreachable || relay.how() == End::idle) forward_.failed(how);
  const core::log::Level level = bad ? core::log::Level::warn : core::log::Level::info;
  if (core::log::enabled(level)) {
    core::log::write(level, "Forwarded connection", {{"protocol", "tcp"}, {"forward", rule().name}, {"client", peer_.text()}, {"target", target}, {"server_name", server_name_},
                     {"bytes_in", relay.from_client()}, {"bytes_out", relay.from_target()}, {"duration_ms", took_us / 1000}, {"end", how}});
  }
  forward_.ended();
  owner_.session_over(*this);
}

// ---------------------------------------------------------------- listening

struct PassThrough::Lists {
  core::List<Session, &Session::hook> sessions;
  core::List<Session, &Session::hook> dead;
};

PassThrough::PassThrough(core::Context& context, core::Buffers& buffers, core::Resolver& resolver, std::function<void()> emptied)
    : context_(context),
      relays_(*context.loop, *context.wheel, buffers, resolver, *context.metrics),
      emptied_(std::move(emptied)),
      parting_(*context.loop),
      lists_(std::make_unique<Lists>()),
      most_sessions_(sessions_that_fit()) {
  describe(*context.metrics);
  burial_.bind<&PassThrough::bury>(this);
  hold_.bind<&PassThrough::go_on_accepting>(*context.loop, this);
}

PassThrough::~PassThrough() {
  emptied_ = nullptr;
  stop();
  bury();
}

std::vector<core::Listening> PassThrough::take(std::vector<core::Listening>& all) {
  const auto others = [](const core::Listening& socket) { return !socket.text.starts_with("tcp:") && !socket.text.starts_with("udp:"); };
  const auto first = std::stable_partition(all.begin(), all.end(), others);
  std::vector<core::Listening> mine(std::make_move_iterator(first), std::make_move_iterator(all.end()));
  all.erase(first, all.end());
  return mine;
}

PassThrough::Forward& PassThrough::forward_of(const std::shared_ptr<const PassThroughRule>& rule) {
  std::unique_ptr<Forward>& forward = forwards_[rule->address];
  if (!forward) forward = std::make_unique<Forward>(*this, *rule);
  forward->use(rule);
  return *forward;
}

void PassThrough::listen(std::vector<core::Listening> sockets, const PassThroughRules& rules) {
  parting_.finish();
  for (const std::shared_ptr<const PassThroughRule>& rule : rules) forward_of(rule);
  std::unordered_map<Forward*, std::vector<int>> datagrams;
  for (const core::Listening& socket : sockets) {
    Forward& forward = *forwards_.at(socket.text);
    if (forward.udp) datagrams[&forward].push_back(socket.fd);
  }
  for (const auto& [text, forward] : forwards_) {
    if (!forward->udp) continue;
    const int before = forward->udp->socket();
    const core::Listening* heir = before >= 0 ? core::heir_of(text, before, sockets) : nullptr;
    heir != nullptr ? forward->udp->answer_through(heir->fd) : forward->udp->serve(datagrams[forward.get()]);
  }
  std::vector<std::unique_ptr<Listener>> old = std::move(listeners_);
  listeners_.clear();
  for (const core::Listening& socket : sockets) {
    Forward& forward = *forwards_.at(socket.text);
    if (forward.udp) continue;
    const auto same = std::find_if(old.begin(), old.end(), [&](const auto& l) { return l && l->fd == socket.fd; });
    if (same != old.end()) {
      listeners_.push_back(std::move(*same));
      continue;
    }
    core::set_nodelay(socket.fd);  // accepted connections inherit all three
    core::limit_unsent(socket.fd);
    core::set_keepalive(socket.fd);
    listeners_.push_back(std::make_unique<Listener>(*this, forward, socket.fd));
    if (!draining_) watch(*listeners_.back());
  }
  for (std::unique_ptr<Listener>& listener : old) {
    if (listener) part_with(std::move(listener), sockets);
  }
}

void PassThrough::part_with(std::unique_ptr<Listener> listener, const std::vector<core::Listening>& now) {
  const std::shared_ptr<Listener> last = std::move(listener);
  const core::Listening* heir = core::heir_of(last->forward->current->rule->address, last->fd, now);
  if (heir == nullptr) return accept_all(*last);
  last->forward = forwards_.at(heir->text).get();
  parting_.add([this, last] { accept_all(*last); });
}

void PassThrough::accept_all(Listener& listener) {
  while (accept_one(listener)) {
  }
}

void PassThrough::watch(Listener& listener) {
  if (!listener.watch.is_open()) listener.watch.open_level<&Listener::on_ready>(*context_.loop, listener.fd, &listener);
}

void PassThrough::accept_from(Listener& listener) {
  for (int i = 0; i < accepts_per_turn; ++i) {
    if (!accept_one(listener)) return;
  }
}

bool PassThrough::accept_one(Listener& listener) {
  core::Address peer;
  const int fd = core::accept_connection(listener.fd, peer);
  if (fd >= 0) {
    admit(fd, peer, *listener.forward);
    return true;
  }
  if (errno == EMFILE || errno == ENFILE) {
    listener.forward->failed("descriptors");
    listener.watch.close();
    hold_.start(hold_ms);
    return false;
  }
  return errno == ECONNABORTED || errno == EINTR;
}

void PassThrough::go_on_accepting() {
  if (draining_) return;
  for (std::unique_ptr<Listener>& listener : listeners_) watch(*listener);
}

void PassThrough::admit(int fd, const core::Address& peer, Forward& forward) {
  const size_t most = forward.current->rule->max_connections;
  if ((most != 0 && forward.count >= most) || sessions_ >= most_sessions_) {
    forward.failed("limit");
    const linger abort{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    ::close(fd);
    return;
  }
  Session& session = *std::make_unique<Session>(*this, forward, peer).release();  // owned by the list
  lists_->sessions.push_back(session);
  session.open(fd);
}

// ---------------------------------------------------------------- the end

void PassThrough::session_over(Session& session) {
  session.hook.unlink();
  lists_->dead.push_back(session);
}

void PassThrough::bury() {
  while (Session* session = lists_->dead.pop_front()) std::unique_ptr<Session> last(session);
  if (sessions_ == 0 && emptied_) emptied_();
}

void PassThrough::drain() {
  if (draining_) return;
  draining_ = true;
  for (std::unique_ptr<Listener>& listener : listeners_) {
    listener->watch.close();
    accept_all(*listener);
  }
  listeners_.clear();
  parting_.finish();
  for (const auto& [text, forward] : forwards_) {
    if (forward->udp) forward->udp->drain();
  }
}

void PassThrough::stop() {
  while (Session* session = lists_->sessions.front()) session->stop();
  for (const auto& [text, forward] : forwards_) {
    if (forward->udp) forward->udp->stop();
  }
}

}  // namespace goma::http
