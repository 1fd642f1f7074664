// SPDX-License-Identifier: Apache-2.0
//
// Accepting, choosing targets, and the end of a connection: one log line, counters.
#include "http/pass_through.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/log.h"
#include "core/metric.h"
#include "core/proxy_protocol.h"

namespace goma::http {

namespace {

using Kind = core::Metrics::Kind;

constexpr int accepts_per_turn = 16;
constexpr int64_t hold_ms = 50;
constexpr int64_t avoid_ms = 10'000;  // a target that failed is tried after the others for so long
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
struct PassThrough::Forward {
  // Whose turn it is in one list of targets, and until when each is avoided.
  struct Turns {
    size_t next = 0;
    std::vector<int64_t> avoid_until_ms;
  };
  // Sessions hold the one they began with.
  struct Current {
    std::shared_ptr<const PassThroughRule> rule;
    std::vector<Turns> turns;
  };

  Forward(core::Metrics& m, const PassThroughRule& rule)
      : metrics(m), labels(core::metric_labels({{"forward", rule.name}, {"protocol", rule.protocol()}})) {
    connections = m.counter(connections_total, labels);
    level = m.gauge(active, labels);
    received = m.counter(received_bytes, labels);
    sent = m.counter(sent_bytes, labels);
  }

  void use(const std::shared_ptr<const PassThroughRule>& rule) {
    current = std::make_shared<Current>();
    current->rule = rule;
    for (const PassThroughRule::Targets& list : rule->lists) current->turns.push_back({0, std::vector<int64_t>(list.size())});
  }

  void failed(std::string_view reason) {
    metrics.add(metrics.counter(errors_total, labels + "," + core::metric_labels({{"reason", reason}})));
  }
  void began() {
    ++count;
    metrics.add(connections);
    metrics.add(level);
  }
  void ended() {
    --count;
    metrics.sub(level);
  }

  core::Metrics& metrics;
  std::string labels;
  core::Metrics::Cell connections, level, received, sent;
  std::shared_ptr<Current> current;
  size_t count = 0;
};

struct PassThrough::Listener {
  Listener(PassThrough& o, Forward& f, int descriptor) : owner(o), forward(f), fd(descriptor) {}
  ~Listener() {
    watch.close();
    ::close(fd);
  }
  void on_ready(unsigned) { owner.accept_from(*this); }

  PassThrough& owner;
  Forward& forward;
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
    relay_.open(fd);
  }
  void stop() { relay_.end(core::TcpRelay::End::stopped); }

  void on_client_bytes(core::TcpRelay&, bool) override {}
  const core::RelayTarget* next_target(core::TcpRelay&) override;
  void on_target_failed(core::TcpRelay&, std::string_view reason) override;
  std::string opening(core::TcpRelay& relay) override;
  void on_relay_over(core::TcpRelay& relay) override;

  core::ListHook hook;

 private:
  const PassThroughRule& rule() const { return *current_->rule; }

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
};

// In turn, those that failed lately last.
const core::RelayTarget* PassThrough::Session::next_target(core::TcpRelay&) {
  const PassThroughRule::Targets& targets = rule().lists[list_];
  Forward::Turns& turns = current_->turns[list_];
  if (tried_ == 0) first_ = turns.next++;
  const int64_t now = owner_.context_.loop->now_ms();
  const core::RelayTarget* chosen = nullptr;
  for (size_t i = 0; i < targets.size(); ++i) {
    const size_t at = (first_ + i) % targets.size();
    if (tried_ & uint64_t{1} << at) continue;
    const bool avoided = turns.avoid_until_ms[at] > now;
    if (avoided && chosen != nullptr) continue;
    chosen = &targets[at];
    target_ = at;
    if (!avoided) break;
  }
  if (chosen != nullptr) tried_ |= uint64_t{1} << target_;
  return chosen;
}

void PassThrough::Session::on_target_failed(core::TcpRelay&, std::string_view reason) {
  current_->turns[list_].avoid_until_ms[target_] = owner_.context_.loop->now_ms() + avoid_ms;
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
    core::log::write(level, "Forwarded connection", {{"protocol", "tcp"}, {"forward", rule().name}, {"client", peer_.text()}, {"target", target},
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
  if (!forward) forward = std::make_unique<Forward>(*context_.metrics, *rule);
  forward->use(rule);
  return *forward;
}

void PassThrough::listen(std::vector<core::Listening> sockets, const PassThroughRules& rules) {
  for (const std::shared_ptr<const PassThroughRule>& rule : rules) forward_of(rule);
  std::vector<std::unique_ptr<Listener>> old = std::move(listeners_);
  listeners_.clear();
  for (const core::Listening& socket : sockets) {
    const auto same = std::find_if(old.begin(), old.end(), [&](const auto& l) { return l && l->fd == socket.fd; });
    if (same != old.end()) {
      listeners_.push_back(std::move(*same));
      continue;
    }
    core::set_nodelay(socket.fd);  // accepted connections inherit both
    core::set_keepalive(socket.fd);
    listeners_.push_back(std::make_unique<Listener>(*this, *forwards_.at(socket.text), socket.fd));
    if (!draining_) watch(*listeners_.back());
  }
  for (std::unique_ptr<Listener>& listener : old) {
    while (listener && accept_one(*listener)) {
    }
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
    admit(fd, peer, listener.forward);
    return true;
  }
  if (errno == EMFILE || errno == ENFILE) {
    listener.forward.failed("descriptors");
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
  ++sessions_;
  Session& session = *std::make_unique<Session>(*this, forward, peer).release();  // owned by the list
  lists_->sessions.push_back(session);
  session.open(fd);
}

// ---------------------------------------------------------------- the end

void PassThrough::session_over(Session& session) {
  session.hook.unlink();
  lists_->dead.push_back(session);
  --sessions_;
  context_.loop->defer(burial_);
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
    while (accept_one(*listener)) {
    }
  }
  listeners_.clear();
}

void PassThrough::stop() {
  while (Session* session = lists_->sessions.front()) session->stop();
}

}  // namespace goma::http
