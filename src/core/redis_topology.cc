// SPDX-License-Identifier: Apache-2.0
//
// The one server, the Sentinels, and the cluster. They ask with commands of their own on their own links, and poll: what
// a node publishes about a change can be missed, what it answers cannot.
#include "core/redis_topology.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/log.h"

namespace goma::core {

namespace {

constexpr int64_t poll_ms = 1'000;          // how often Sentinels are asked who is the primary
constexpr int64_t hasty_poll_ms = 100;      // while there is none
constexpr int64_t map_ms = 10'000;          // how often the map of a cluster is read anew
constexpr int64_t hasty_map_ms = 200;       // after a sign that it has changed, at most so often
constexpr size_t most_nodes = 1'000;

using Links = std::vector<std::unique_ptr<RedisLink>>;

// ---------------------------------------------------------------- one server

class Standalone final : public RedisTopology {
 public:
  Standalone(const RedisLink::Parts& parts, RedisAsker& asker, std::shared_ptr<const RedisSettings> settings)
      : link_(parts, asker, settings, settings->addresses.front(), RedisLink::Check::server) {
    link_.open();
  }
  RedisLink* link_for(int) override { return &link_; }
  void on_link_changed(RedisLink&) override {}
  // A name may lead to another server now: it is looked up with every connection.
  void distrust(RedisLink& link, std::string_view why) override { link.drop(why, RedisError::read_only); }
  std::string problem() override { return link_.is_ready() ? std::string() : fmt::format("{}: {}", link_.address().text(), link_.problem().empty() ? "not connected yet" : link_.problem()); }
  const RedisAddress* subscribable() override { return &link_.address(); }
  void describe(std::vector<RedisState::Node>& nodes) const override { nodes.push_back(node_state(link_, "primary")); }
  std::vector<RedisLink*> primaries() override { return {&link_}; }

 private:
  RedisLink link_;
};

// ---------------------------------------------------------------- Sentinels

class Sentinels final : public RedisTopology {
 public:
  Sentinels(const RedisLink::Parts& parts, RedisAsker& asker, std::shared_ptr<const RedisSettings> settings)
      : parts_(parts), asker_(asker), settings_(std::move(settings)) {
    poll_.bind<&Sentinels::ask_all>(parts.loop, this);
    burial_.bind<&Sentinels::bury>(this);
    for (const RedisAddress& address : settings_->addresses) {
      sentinels_.push_back(std::make_unique<Sentinel>(*this, address));
      sentinels_.back()->link.open();
    }
    poll_.start(hasty_poll_ms);
  }

  void retire() override {
    retired_ = true;
    poll_.stop();
  }
  RedisLink* link_for(int) override { return primary_.get(); }

  void on_link_changed(RedisLink& link) override {
    const bool sentinel_came = &link != primary_.get() && link.is_ready() && (!primary_ || !primary_->is_ready());
    if (sentinel_came || (&link == primary_.get() && !link.is_ready())) ask_all();
  }

  void distrust(RedisLink& link, std::string_view why) override {
    link.drop(why, RedisError::read_only);
    ask_all();
  }

  std::string problem() override {
    if (primary_ && primary_->is_ready()) return {};
    if (primary_) return fmt::format("{}, which the Sentinels name: {}", primary_->address().text(), primary_->problem().empty() ? "not connected yet" : primary_->problem());
    if (!no_primary_.empty()) return no_primary_;
    const auto tried = std::find_if(sentinels_.begin(), sentinels_.end(), [](const auto& s) { return !s->link.problem().empty(); });
    return tried == sentinels_.end() ? "no Sentinel has answered yet" : fmt::format("no Sentinel can be asked; {}: {}", (*tried)->link.address().text(), (*tried)->link.problem());
  }

  const RedisAddress* subscribable() override { return primary_ ? &primary_->address() : nullptr; }

  void describe(std::vector<RedisState::Node>& nodes) const override {
    if (primary_) nodes.push_back(node_state(*primary_, "primary"));
    for (const auto& sentinel : sentinels_) nodes.push_back(node_state(sentinel->link, "sentinel"));
  }

  std::vector<RedisLink*> primaries() override { return primary_ ? std::vector<RedisLink*>{primary_.get()} : std::vector<RedisLink*>(); }

 private:
  struct Sentinel {
    Sentinel(Sentinels& of, const RedisAddress& address)
        : owner(of), link(of.parts_, of.asker_, of.settings_, address, RedisLink::Check::sentinel) {
      answer.bind<&Sentinel::on_answer>(this);
    }
    void on_answer(const RedisResult& result) { owner.on_answer(*this, result); }

    Sentinels& owner;
    RedisLink link;
    RedisCall answer;
    RedisAddress named;  // the primary as it said last; no host: it has not, or knows none
  };

  void ask_all() {
    if (retired_) return;
    poll_.start(primary_ && primary_->is_ready() ? poll_ms : hasty_poll_ms);
    for (const auto& sentinel : sentinels_) {
      if (!sentinel->link.is_ready()) sentinel->named = {};
      if (sentinel->link.is_ready() && !sentinel->answer.pending()) asker_.ask(sentinel->link, {"SENTINEL", "get-master-addr-by-name", settings_->master_name}, sentinel->answer);
    }
  }

  void on_answer(Sentinel& sentinel, const RedisResult& result) {
    sentinel.named = {};
    if (!result.ok() && result.outcome != RedisResult::Outcome::refused) return;
    if (result.ok() && result.reply.size() >= 2) {
      const std::string port(result.reply[1].text());
      sentinel.named = {std::string(result.reply[0].text()), static_cast<uint16_t>(std::strtoul(port.c_str(), nullptr, 10))};
    } else {
      const bool other = result.detail.starts_with("ERR unknown command");
      no_primary_ = other ? fmt::format("{} is no Sentinel: masterName wants the addresses of Sentinels", sentinel.link.address().text()) : fmt::format("the Sentinel at {} knows no master \"{}\"{}", sentinel.link.address().text(), settings_->master_name, result.ok() ? std::string() : fmt::format(" ({})", result.detail));
      asker_.on_topology_changed();
    }
    follow_most();
  }

  // The primary that most of the Sentinels name which answer: one of them may not have heard of a change, and what was
  // the primary may be back and not know better.
  void follow_most() {
    size_t answered = 0, most = 0;
    const RedisAddress* chosen = nullptr;
    for (const auto& sentinel : sentinels_) {
      if (sentinel->named.host.empty()) continue;
      ++answered;
      const auto votes = static_cast<size_t>(std::count_if(sentinels_.begin(), sentinels_.end(), [&](const auto& s) { return s->named == sentinel->named; }));
      if (votes > most) chosen = &sentinel->named;
      most = std::max(most, votes);
    }
    if (chosen == nullptr || 2 * most <= answered) return;
    no_primary_.clear();
    if (!primary_ || primary_->address() != *chosen) follow(*chosen);
  }

  void follow(const RedisAddress& address) {
    if (primary_) log::warn("Redis has another primary", {{"from", primary_->address().text()}, {"to", address.text()}});
    if (primary_) dead_.push_back(std::move(primary_));
    parts_.loop.defer(burial_);
    primary_ = std::make_unique<RedisLink>(parts_, asker_, settings_, address, RedisLink::Check::primary);
    primary_->open();
    asker_.on_topology_changed();
  }

  void bury() {
    for (Links dead = std::move(dead_); const auto& link : dead) link->drop("another node is the primary", RedisError::wrong_role);
  }

  RedisLink::Parts parts_;
  RedisAsker& asker_;
  std::shared_ptr<const RedisSettings> settings_;
  std::vector<std::unique_ptr<Sentinel>> sentinels_;
  std::unique_ptr<RedisLink> primary_;
  Links dead_;
  Timer poll_;
  Deferred burial_;
  std::string no_primary_;
  bool retired_ = false;
};

// ---------------------------------------------------------------- a cluster

class Cluster final : public RedisTopology {
 public:
  Cluster(const RedisLink::Parts& parts, RedisAsker& asker, std::shared_ptr<const RedisSettings> settings)
      : parts_(parts), asker_(asker), settings_(std::move(settings)) {
    refresh_.bind<&Cluster::read_map>(parts.loop, this);
    burial_.bind<&Cluster::bury>(this);
    map_.bind<&Cluster::on_map>(this);
    seed();
  }

  void retire() override {
    retired_ = true;
    refresh_.stop();
  }

  RedisLink* link_for(int slot) override {
    if (slot >= 0) return slots_[static_cast<size_t>(slot)];
    for (size_t i = 0; i < nodes_.size(); ++i) {
      RedisLink* link = nodes_[any_++ % nodes_.size()].get();
      if (link->is_ready()) return link;
    }
    return nullptr;
  }

  RedisLink* redirected(const Redirect& redirect) override {
    RedisLink* link = node(redirect.to);
    if (link != nullptr && !redirect.ask) slots_[static_cast<size_t>(redirect.slot)] = link;
    if (!redirect.ask) hurry();
    return link;
  }

  void on_link_changed(RedisLink& link) override {
    if (link.is_ready() && ranges_.empty()) return read_map();
    if (!link.is_ready()) hurry();
  }

  void distrust(RedisLink&, std::string_view) override { hurry(); }

  std::string problem() override {
    if (ranges_.empty()) {
      const auto tried = std::find_if(nodes_.begin(), nodes_.end(), [](const auto& n) { return !n->problem().empty(); });
      return tried == nodes_.end() ? (no_map_.empty() ? "no node has answered yet" : no_map_) : fmt::format("no node has given the map of slots; {}: {}", (*tried)->address().text(), (*tried)->problem());
    }
    for (const auto& node : nodes_) {
      if (has_slots(*node) && !node->is_ready()) return fmt::format("{}: {}", node->address().text(), node->problem().empty() ? "not connected yet" : node->problem());
    }
    return missing_.empty() ? std::string() : fmt::format("slots {} are not served by any node", missing_);
  }

  const RedisAddress* subscribable() override {
    const auto same = std::find_if(nodes_.begin(), nodes_.end(), [this](const auto& n) { return n->address() == listening_ && n->is_ready(); });
    if (same != nodes_.end()) return &listening_;
    RedisLink* link = link_for(-1);
    if (link == nullptr) return nullptr;
    listening_ = link->address();
    return &listening_;
  }

  void describe(std::vector<RedisState::Node>& nodes) const override {
    for (const auto& node : nodes_) {
      RedisState::Node about = node_state(*node, has_slots(*node) ? "primary" : "node");
      for (const SlotRange& range : ranges_) {
        if (range.primary == node->address()) about.slots += fmt::format("{}{}-{}", about.slots.empty() ? "" : " ", range.first, range.last);
      }
      nodes.push_back(std::move(about));
    }
  }

  std::vector<RedisLink*> primaries() override {
    std::vector<RedisLink*> links;
    for (const auto& node : nodes_) {
      if (has_slots(*node)) links.push_back(node.get());
    }
    return links;
  }

 private:
  bool has_slots(const RedisLink& link) const {
    return std::any_of(ranges_.begin(), ranges_.end(), [&](const SlotRange& range) { return range.primary == link.address(); });
  }

  // The nodes that the configuration names; also when all that were learnt are gone, for their names may lead elsewhere.
  void seed() {
    for (const RedisAddress& address : settings_->addresses) node(address);
    refresh_.start(hasty_map_ms);
  }

  // The link to a node, made when there is none; null when there are too many.
  RedisLink* node(const RedisAddress& address) {
    const auto known = std::find_if(nodes_.begin(), nodes_.end(), [&](const auto& n) { return n->address() == address; });
    if (known != nodes_.end()) return known->get();
    if (nodes_.size() >= most_nodes) return nullptr;
    nodes_.push_back(std::make_unique<RedisLink>(parts_, asker_, settings_, address, RedisLink::Check::ping));
    nodes_.back()->open();
    return nodes_.back().get();
  }

  void hurry() {
    if (hurried_ || retired_) return;
    hurried_ = true;
    refresh_.start(hasty_map_ms);
  }

  void read_map() {
    if (retired_) return;
    hurried_ = false;
    refresh_.start(problem().empty() ? map_ms : hasty_map_ms);
    if (map_.pending()) return;
    asked_ = link_for(-1);
    if (asked_ == nullptr) return seed();
    asker_.ask(*asked_, {"CLUSTER", "SLOTS"}, map_);
  }

  void on_map(const RedisResult& result) {
    const std::string_view advice = result.detail.find("cluster support disabled") != std::string_view::npos || result.detail.starts_with("ERR unknown command")
                                        ? "; where it is a server by itself, write \"mode: standalone\" (or TYK_GW_STORAGE_ENABLECLUSTER=false)" : "";
    if (result.outcome == RedisResult::Outcome::refused) no_map_ = fmt::format("{} gives no map of slots: {}{}", asked_->address().text(), result.detail, advice);
    if (!result.ok()) {
      asker_.on_topology_changed();
      return hurry();
    }
    std::vector<SlotRange> ranges = read_slot_map(result.reply, asked_->address());
    if (ranges.empty()) {
      no_map_ = fmt::format("{} knows no slots", asked_->address().text());
      asker_.on_topology_changed();
      return hurry();
    }
    no_map_.clear();
    take(std::move(ranges));
  }

  void take(std::vector<SlotRange> ranges) {
    const std::string was = missing_;
    ranges_ = std::move(ranges);
    missing_ = missing_slots(ranges_);
    slots_.fill(nullptr);
    for (const SlotRange& range : ranges_) std::fill(slots_.begin() + range.first, slots_.begin() + range.last + 1, node(range.primary));
    if (!missing_.empty() && missing_ != was) log::error("Redis Cluster: slots are not served by any node", {{"slots", missing_}});
    if (!missing_.empty()) hurry();
    const auto unused = std::partition(nodes_.begin(), nodes_.end(), [this](const auto& n) { return has_slots(*n) || n->in_flight() > 0; });
    std::move(unused, nodes_.end(), std::back_inserter(dead_));
    nodes_.erase(unused, nodes_.end());
    if (!dead_.empty()) parts_.loop.defer(burial_);
    asker_.on_topology_changed();
  }

  void bury() {
    for (Links dead = std::move(dead_); const auto& link : dead) link->drop("it is no part of the cluster any more", RedisError::closed);
  }

  RedisLink::Parts parts_;
  RedisAsker& asker_;
  std::shared_ptr<const RedisSettings> settings_;
  Links nodes_;
  Links dead_;
  std::array<RedisLink*, redis_slots> slots_{};
  std::vector<SlotRange> ranges_;
  std::string missing_;
  std::string no_map_;
  RedisLink* asked_ = nullptr;
  RedisCall map_;
  Timer refresh_;
  Deferred burial_;
  size_t any_ = 0;
  bool hurried_ = false;
  bool retired_ = false;
  RedisAddress listening_;  // the node that is subscribed to
};

}  // namespace

std::unique_ptr<RedisTopology> RedisTopology::make(const RedisLink::Parts& parts, RedisAsker& asker, std::shared_ptr<const RedisSettings> settings) {
  if (settings->mode == RedisSettings::Mode::sentinel) return std::make_unique<Sentinels>(parts, asker, std::move(settings));
  if (settings->mode == RedisSettings::Mode::cluster) return std::make_unique<Cluster>(parts, asker, std::move(settings));
  return std::make_unique<Standalone>(parts, asker, std::move(settings));
}

RedisState::Node node_state(const RedisLink& link, std::string_view role) {
  static constexpr std::string_view words[] = {"down", "connecting", "connected", "breaker open"};
  RedisState::Node node;
  node.address = link.address().text();
  node.role = role;
  node.state = words[static_cast<size_t>(link.state())];
  node.problem = link.is_ready() ? std::string() : link.problem();
  node.in_flight = link.in_flight();
  node.latency_us = link.latency_us();
  return node;
}

}  // namespace goma::core
