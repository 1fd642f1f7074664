// SPDX-License-Identifier: Apache-2.0
//
// Requests: made, placed on a link, answered, redirected, given up. How nodes are found is the topology's business
// (core/redis_topology.h), how bytes travel the link's (core/redis_link.h).
#include "core/redis.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/log.h"
#include "core/redis_request.h"
#include "core/redis_subscriber.h"
#include "core/redis_topology.h"

namespace goma::core {

namespace {

constexpr int most_redirects = 5;
constexpr int64_t question_ms = 1'000;  // for the topology's own
constexpr int64_t clock_ms = 5;         // how exactly deadlines are kept
constexpr int64_t complaint_ms = 60'000;
constexpr int64_t flap_ms = 5'000;      // what comes and goes faster is told once
constexpr int64_t retirement_ms = 2'000;
constexpr size_t most_waiting = 4'096;  // requests for which there is no link yet
constexpr size_t kept_bytes = 4'096;    // of a request that is kept for the next command

}  // namespace

struct Redis::State final : RedisAsker {
  using Outcome = RedisResult::Outcome;
  using Queue = List<RedisRequest, &RedisRequest::queue>;
  // Those with the same time limit: the first one is due first.
  struct Clock {
    explicit Clock(int64_t limit) : limit_ms(limit) {}
    int64_t limit_ms;
    List<RedisRequest, &RedisRequest::clock> requests;
  };
  struct Retired {
    std::unique_ptr<RedisTopology> topology;
    int64_t until_ms;
  };

  explicit State(const Parts& parts) : loop(parts.loop), metrics(parts.metrics), link_parts{parts.loop, parts.wheel, parts.buffers, parts.resolver, metrics}, subscriber(link_parts) {
    ticker.bind<&State::on_tick>(loop, this);
    place_all.bind<&State::place_waiting>(this);
    housekeeping.bind<&State::keep_house>(loop, this);
  }

  // Links are gone first; what they had is released to nobody.
  ~State() override {
    shutting_down = true;
    topology.reset();
    retired.clear();
    while (RedisRequest* request = waiting.pop_front()) release(*request);
    while (RedisRequest* request = again.pop_front()) release(*request);
    for (const std::unique_ptr<RedisRequest>& request : all) {
      if (request->call != nullptr) request->call->request_ = nullptr;
      request->clear();
    }
  }

  // ---------------------------------------------------------------- requests

  RedisRequest& make(int64_t limit_ms) {
    if (free.empty()) {
      all.push_back(std::make_unique<RedisRequest>());
      free.push_back(all.back().get());
    }
    RedisRequest& request = *free.back();
    free.pop_back();
    if (limit_ms <= 0) limit_ms = settings ? settings->timeout_ms : 50;
    request.asked_us = loop.now_us();
    request.deadline_us = request.asked_us + limit_ms * 1000;
    auto clock = std::find_if(clocks.begin(), clocks.end(), [&](const auto& c) { return c->limit_ms == limit_ms; });
    if (clock == clocks.end()) clock = clocks.insert(clocks.end(), std::make_unique<Clock>(limit_ms));
    (*clock)->requests.push_back(request);
    if (!ticker.running()) ticker.start(clock_ms);
    return request;
  }

  // The first word that is the key, or the channel of a PUBLISH, gets the prefix.
  RedisRequest& make(int64_t limit_ms, std::span<const std::string_view> words, std::string_view key = {}) {
    RedisRequest& request = make(limit_ms);
    if (key.empty() && words.front() == "PUBLISH") key = words[1];
    std::string_view left = key;
    begin_command(request.wire, words.size());
    for (const std::string_view word : words) {
      const bool is_key = !left.empty() && word == left;
      append_command(request.wire, is_key ? std::string_view(named(word)) : word);
      if (is_key) left = {};
    }
    if (!key.empty() && words.front() != "PUBLISH") request.slot = redis_slot(named(key));
    return request;
  }

  std::string named(std::string_view key) const { return settings ? settings->key_prefix + std::string(key) : std::string(key); }

  void release(RedisRequest& request) {
    if (shutting_down) return;
    request.clear();
    if (request.wire.capacity() > kept_bytes) std::string().swap(request.wire);
    free.push_back(&request);
  }

  // Tells who waits, once. The request itself may have to stay where it is.
  void settle(RedisRequest& request, Outcome outcome, const RedisReply& reply, std::string_view detail) {
    if (request.settled) return;
    request.settled = true;
    request.clock.unlink();
    metrics.command(outcome, loop.now_us() - request.asked_us);
    RedisCall* call = std::exchange(request.call, nullptr);
    if (call == nullptr) {
      if (outcome != Outcome::answer) complain(outcome, detail);
      return;
    }
    call->request_ = nullptr;
    call->run_(call->owner_, RedisResult{outcome, reply, detail});
  }

  void end(RedisRequest& request, Outcome outcome, std::string_view detail, const RedisReply& reply = RedisReply()) {
    settle(request, outcome, reply, detail);
    release(request);
  }

  void complain(Outcome outcome, std::string_view detail) {
    if (loop.now_ms() - complained_ms < complaint_ms && complained_ms != 0) return;
    complained_ms = loop.now_ms();
    log::warn("Redis did not do a command", {{"outcome", outcome_name(outcome)}, {"detail", detail}});
  }

  // Never ends a request before the caller of send() has returned: what cannot be placed waits for the end of the callback.
  void submit(RedisRequest& request) {
    RedisLink* link = topology ? topology->link_for(request.slot) : nullptr;
    if (link != nullptr && link->can_take()) return link->send(request);
    waiting.push_back(request);
    ++waiting_count;
    loop.defer(place_all);
  }

  void place_waiting() {
    Queue now;
    now.take(waiting);
    waiting_count = 0;
    while (RedisRequest* request = now.pop_front()) place(*request);
  }

  void place(RedisRequest& request) {
    if (request.settled) return release(request);
    if (!topology) return end(request, Outcome::unavailable, "no Redis is configured");
    RedisLink* link = topology->link_for(request.slot);
    if (link != nullptr && link->can_take()) return link->send(request);
    if (link != nullptr && link->is_full()) return end(request, Outcome::overload, "too many commands are in flight");
    const bool may_come = link != nullptr ? link->state() == RedisLink::State::resting && !link->failed_before() : !was_usable && loop.now_ms() - configured_ms < 1'000;
    if (!may_come || waiting_count >= most_waiting) {
      const std::string problem = topology->problem();
      return end(request, Outcome::unavailable, problem.empty() ? "no node serves its slot" : problem);
    }
    waiting.push_back(request);
    ++waiting_count;
  }

  void retry_later(RedisRequest& request) {
    request.sent = false;
    again.push_back(request);
    if (!ticker.running()) ticker.start(clock_ms);
  }

  // ---------------------------------------------------------------- time

  void on_tick() {
    bool any = !again.empty();
    for (size_t i = 0; i < clocks.size(); ++i) {  // whoever is told may add one
      while (RedisRequest* first = clocks[i]->requests.front()) {
        if (first->deadline_us > loop.now_us()) break;
        expire(*first);
      }
      any = any || !clocks[i]->requests.empty();
    }
    Queue now;
    now.take(again);
    while (RedisRequest* request = now.pop_front()) submit(*request);
    if (any) ticker.start(clock_ms);
  }

  // What was sent keeps its place on the link, to swallow its answer.
  void expire(RedisRequest& request) {
    request.clock.unlink();
    RedisLink* link = request.link;
    if (link == nullptr || !request.sent) {
      if (link != nullptr) link->withdraw(request);
      request.queue.unlink();
      const std::string problem = topology ? topology->problem() : std::string();
      return end(request, Outcome::unavailable, problem.empty() ? "the deadline passed before it could be sent" : problem);
    }
    settle(request, Outcome::late, RedisReply(), "the deadline passed");
    link->missed();
  }

  // ---------------------------------------------------------------- what links say

  void on_link_reply(RedisLink& link, RedisRequest& request, const RedisReply& reply) override {
    if (reply.kind() != RedisReply::Kind::error || request.settled) return end(request, Outcome::answer, {}, reply);
    judge_error(link, request, reply);
  }

  void judge_error(RedisLink& link, RedisRequest& request, const RedisReply& reply) {
    const std::string_view said = reply.text();
    Redirect redirect;
    if (read_redirect(said, link.address(), redirect)) return follow(link, request, redirect, said);
    if (said.starts_with("NOSCRIPT") && request.script != nullptr && !request.with_text) return send_text(link, request);
    if (said.starts_with("TRYAGAIN") || said.starts_with("CLUSTERDOWN")) {
      said.starts_with("TRYAGAIN") ? metrics.redirect("tryagain") : metrics.error(RedisError::cluster_down);
      if (++request.redirects <= most_redirects) return retry_later(request);
      return end(request, Outcome::unavailable, said);
    }
    if (said.starts_with("READONLY") || said.starts_with("MASTERDOWN")) {
      end(request, Outcome::unavailable, said);
      metrics.error(RedisError::read_only);
      if (topology) topology->distrust(link, "it is a replica now");
      return;
    }
    if (said.starts_with("LOADING")) {
      end(request, Outcome::unavailable, said);
      return link.drop("it is loading its data", RedisError::loading);
    }
    metrics.error(RedisError::other);
    end(request, Outcome::refused, said, reply);
  }

  // A retired cluster's word counts no more.
  void follow(RedisLink& link, RedisRequest& request, const Redirect& redirect, std::string_view said) {
    metrics.redirect(redirect.ask ? "ask" : "moved");
    RedisLink* to = topology && link.settings() == topology_settings ? topology->redirected(redirect) : nullptr;
    request.sent = false;
    if (++request.redirects > most_redirects || to == nullptr) return end(request, Outcome::unavailable, fmt::format("too many redirections, the last one: {}", said));
    request.asking = redirect.ask;
    if (to->can_take()) return to->send(request);
    request.asking = false;
    retry_later(request);
  }

  // The same command with the script's text in place of its hash.
  void send_text(RedisLink& link, RedisRequest& request) {
    metrics.error(RedisError::no_script);
    const size_t words = request.wire.find("\r\n") + 2;
    const size_t rest = words + std::string_view("$7\r\nEVALSHA\r\n$40\r\n").size() + 42;
    std::string wire = request.wire.substr(0, words);
    append_command(wire, "EVAL");
    append_command(wire, request.script->text());
    wire.append(request.wire, rest);
    request.wire = std::move(wire);
    request.with_text = true;
    request.sent = false;
    if (link.can_take()) return link.send(request);
    retry_later(request);
  }

  void on_link_lost(RedisLink& link, RedisRequest& request) override {
    if (shutting_down || request.settled) return release(request);
    if (!request.sent) return submit(request);
    end(request, Outcome::unreachable, link.problem());
  }

  void on_link_changed(RedisLink& link) override {
    if (topology) topology->on_link_changed(link);
    after_change();
  }

  void on_topology_changed() override { after_change(); }

  void after_change() {
    if (!topology) return;
    loop.defer(place_all);
    follow_subscriber();
    tell();
  }

  // Told when it changes: what is wrong, once and when it is still wrong after a minute, and that it is right again.
  void tell() {
    const bool usable = is_usable();
    const std::string problem = topology->problem();
    if (usable != was_usable) since_ms = loop.now_ms();
    was_usable = usable;
    metrics.unusable(!usable);
    if (usable && problem.empty()) {
      if (!told_problem.empty()) log::warn("Redis is usable again", {{"place", settings->place}});
      told_problem.clear();
      return;
    }
    const bool beginning = problem.find("not connected yet") != std::string::npos || problem.find("answered yet") != std::string::npos;
    const bool told_lately = told_ms != 0 && loop.now_ms() - told_ms < (told_problem.empty() ? flap_ms : complaint_ms);
    if (beginning || told_lately) return;
    log::error(usable ? "a part of Redis is not usable" : "Redis is not usable", {{"problem", problem}, {"place", settings->place}});
    told_problem = problem;
    told_ms = loop.now_ms();
  }

  bool is_usable() {
    if (!topology) return false;
    if (settings->mode != RedisSettings::Mode::cluster) {
      RedisLink* link = topology->link_for(-1);
      return link != nullptr && link->is_ready();
    }
    return topology->link_for(-1) != nullptr && !topology->primaries().empty();
  }

  void follow_subscriber() { subscriber.listen_at(topology && subscriber.wanted() ? topology->subscribable() : nullptr, topology_settings); }

  // ---------------------------------------------------------------- configuration

  void configure(std::shared_ptr<const RedisSettings> next) {
    const bool same = settings && next && settings->same_as(*next);
    settings = std::move(next);
    if (same) return;
    if (topology) topology->retire();
    if (topology) retired.push_back({std::move(topology), loop.now_ms() + retirement_ms});
    housekeeping.start(retirement_ms);
    configured_ms = since_ms = loop.now_ms();
    was_usable = false;
    told_problem.clear();
    told_ms = 0;
    topology_settings = settings;
    if (settings) topology = RedisTopology::make(link_parts, *this, settings);
    metrics.unusable(settings != nullptr);
    follow_subscriber();
    after_change();
  }

  void keep_house() {
    std::erase_if(retired, [this](const Retired& r) { return r.until_ms <= loop.now_ms(); });
    if (!retired.empty()) housekeeping.start(retirement_ms);
  }

  // ---------------------------------------------------------------- the topology's own questions

  void ask(RedisLink& link, std::initializer_list<std::string_view> words, RedisCall& call) override {
    RedisRequest& request = make(question_ms, {words.begin(), words.size()});
    attach(request, call);
    if (link.can_take()) return link.send(request);
    retry_later(request);
  }

  void attach(RedisRequest& request, RedisCall& call) {
    request.call = &call;
    call.request_ = &request;
  }

  Loop& loop;
  RedisMetrics metrics;
  RedisLink::Parts link_parts;
  std::shared_ptr<const RedisSettings> settings;
  std::shared_ptr<const RedisSettings> topology_settings;  // what the topology was made from: as good as `settings`
  std::vector<std::unique_ptr<RedisRequest>> all;
  std::vector<RedisRequest*> free;
  std::vector<std::unique_ptr<Clock>> clocks;
  Queue waiting;  // for a link
  Queue again;    // for a moment
  size_t waiting_count = 0;
  std::unique_ptr<RedisTopology> topology;
  std::vector<Retired> retired;
  RedisSubscriber subscriber;
  Timer ticker, housekeeping;
  Deferred place_all;
  int64_t configured_ms = 0, since_ms = 0, complained_ms = 0, told_ms = 0;
  std::string told_problem;
  bool was_usable = false;  // as of the last change: asked for with every limit
  bool shutting_down = false;
};

void RedisCall::cancel() {
  if (request_ == nullptr) return;
  request_->call = nullptr;
  request_->settled = true;
  request_->clock.unlink();
  request_ = nullptr;
}

Redis::Redis(const Parts& parts) : s_(std::make_unique<State>(parts)) {}

Redis::~Redis() = default;

void Redis::configure(std::shared_ptr<const RedisSettings> settings) { s_->configure(std::move(settings)); }

bool Redis::configured() const { return s_->settings != nullptr; }

bool Redis::usable() const { return s_->was_usable; }

std::string Redis::named(std::string_view key) const { return s_->named(key); }

RedisState Redis::state() const {
  RedisState state;
  state.configured = configured();
  if (!state.configured) return state;
  static constexpr std::string_view modes[] = {"standalone", "sentinel", "cluster"};
  state.mode = modes[static_cast<size_t>(s_->settings->mode)];
  state.usable = usable();
  state.problem = s_->topology->problem();
  if (state.problem.empty()) state.problem = s_->subscriber.problem();
  state.since_ms = s_->since_ms;
  s_->topology->describe(state.nodes);
  return state;
}

void Redis::send(std::string_view key, std::span<const std::string_view> words, RedisCall& call, int64_t timeout_ms) {
  GOMA_CHECK(!call.pending());
  RedisRequest& request = s_->make(timeout_ms, words, key);
  s_->attach(request, call);
  s_->submit(request);
}

void Redis::run(const RedisScript& script, std::span<const std::string_view> keys, std::span<const std::string_view> arguments, RedisCall& call, int64_t timeout_ms) {
  GOMA_CHECK(!call.pending());
  RedisRequest& request = s_->make(timeout_ms);
  if (!keys.empty()) request.slot = redis_slot(s_->named(keys.front()));
  request.script = &script;
  begin_command(request.wire, 3 + keys.size() + arguments.size());
  append_command(request.wire, "EVALSHA");
  append_command(request.wire, script.sha());
  append_command(request.wire, fmt::format_int(keys.size()).str());
  for (const std::string_view key : keys) append_command(request.wire, s_->named(key));
  for (const std::string_view argument : arguments) append_command(request.wire, argument);
  s_->attach(request, call);
  s_->submit(request);
}

void Redis::post(std::string_view key, std::span<const std::string_view> words) {
  s_->submit(s_->make(0, words, key));
}

void Redis::post_to_primaries(std::span<const std::string_view> words) {
  if (!s_->topology) return;
  for (RedisLink* link : s_->topology->primaries()) {
    RedisRequest& request = s_->make(0, words);
    link->can_take() ? link->send(request) : s_->end(request, RedisResult::Outcome::unavailable, link->problem());
  }
}

void Redis::subscribe(std::string_view channel, RedisListener& listener) {
  s_->subscriber.add(channel, listener);
  s_->follow_subscriber();
}

void Redis::unsubscribe(RedisListener& listener) { s_->subscriber.remove(listener); }

}  // namespace goma::core
