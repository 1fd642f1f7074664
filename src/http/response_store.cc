// SPDX-License-Identifier: Apache-2.0
//
// Waiters are kept by the key they wait for; one timer for all of them looks whether leases have ended, because they may
// be those of other processes. What this process releases wakes its own waiters at once.
#include "http/response_store.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/log.h"
#include "http/route_metrics.h"
#include "http/runtime.h"
#include "http/vary.h"

namespace goma::http {

namespace {

constexpr int64_t look_ms = 5;

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace

// ---------------------------------------------------------------- keys

StoreKeyMaker& StoreKeyMaker::add(std::string_view text) {
  const auto length = static_cast<uint32_t>(text.size());
  if (used_ + sizeof length + text.size() > sizeof gathered_) fold();
  std::memcpy(gathered_ + used_, &length, sizeof length);
  used_ += sizeof length;
  if (text.size() > sizeof gathered_ - sizeof length) {
    fold();
    key_ = zone_.key(text, key_);
  } else if (!text.empty()) {
    std::memcpy(gathered_ + used_, text.data(), text.size());
    used_ += text.size();
  }
  return *this;
}

void StoreKeyMaker::fold() {
  if (used_ != 0) key_ = zone_.key({gathered_, used_}, key_);
  used_ = 0;
}

StoreKey StoreKeyMaker::made() {
  fold();
  return key_;
}

StoreKey ResponseStore::variant_key(Exchange& x, const StoreQuestion& question, uint64_t number, const Headers& names) const {
  StoreKeyMaker maker = key(question.url);
  maker.add(bytes_of(number));
  for (const Header& h : names) maker.add(h.name).add(vary_value(x.arena(), *question.request, h.name));
  return maker.made();
}

// ---------------------------------------------------------------- the store

struct ResponseStore::Waiters {
  core::List<StoreWait, &StoreWait::hook> list;
};

ResponseStore::ResponseStore(core::Loop& loop, ServerMetrics* metrics) : loop_(loop), metrics_(metrics) {
  timer_.bind<&ResponseStore::look_after>(loop, this);
  released_.bind<&ResponseStore::look_after>(this);
}

ResponseStore::~ResponseStore() = default;

bool ResponseStore::provide(core::Slab& slab, uint64_t bytes) {
  if (bytes == configured_bytes_ || bytes == 0) return zone_.has_value();
  configured_bytes_ = bytes;
  if (!zone_) {
    core::Result<core::CacheZone> opened = core::CacheZone::open(slab, static_cast<size_t>(std::max(bytes, least_bytes)));
    if (!opened.ok()) {
      core::log::error("responses are not stored", {{"error", opened.error().text}});
      return false;
    }
    zone_.emplace(std::move(opened).value());
  }
  const uint64_t room = zone_->usage().bytes;
  most_bytes_ = room / 16;
  if (bytes > room + bytes / 8) core::log::warn("the store for responses keeps its size until the next start", {{"bytes", room}, {"configured", bytes}});
  return true;
}

ResponseStore* ResponseStore::of(Exchange& x) { return x.runtime().responses; }

int64_t ResponseStore::wall_ms() const {
  if (presence_ != nullptr) return presence_->time_ms(loop_);
  const timespec wall = loop_.wall();
  return static_cast<int64_t>(wall.tv_sec) * 1000 + wall.tv_nsec / 1'000'000;
}

void ResponseStore::count(std::string_view outcome) {
  if (metrics_ != nullptr) metrics_->cached(outcome);
}

// ---------------------------------------------------------------- reading

// A head of another version of goma is in the way of a new one, no more.
const StoredResponse* ResponseStore::read(Exchange& x, StoreKey key) {
  core::CacheZone::Entry entry = zone_->find(key);
  if (!entry) return nullptr;
  auto* response = x.arena().make<StoredResponse>();
  if (response->open(entry)) return response;
  zone_->remove(key);
  return nullptr;
}

StorePlace ResponseStore::find(Exchange& x, const StoreQuestion& question) {
  StorePlace place{question.url, read(x, question.url), nullptr};
  if (place.response != nullptr && place.response->facts().kind == StoredKind::variants) {
    place.variants = place.response;
    Headers names(x.arena());
    place.variants->copy_fields(names);
    place.key = variant_key(x, question, place.variants->facts().number, names);
    place.response = read(x, place.key);
  }
  if (place.response == nullptr) return place;
  const StoredFacts& facts = place.response->facts();
  const bool gone = facts.purge < zone_->last_purge() && is_purged(question, facts.purge, place.response->copy_tags(x.arena()));
  if (facts.kind != StoredKind::response || gone) place.response = nullptr;
  return place;
}

bool ResponseStore::is_purged(const StoreQuestion& question, uint64_t known, std::span<const StoreKey> tags) const {
  if (known >= zone_->last_purge()) return false;
  const auto purged = [&](StoreKey key) { return zone_->is_purged(key, known); };
  const auto purged_path = [&](std::string_view path) {
    if (purged(mark_of_url(question.host, path))) return true;
    for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
      if (purged(mark_of_prefix(question.host, path.substr(0, slash + 1)))) return true;
    }
    return false;
  };
  return question.path.any(purged_path) || std::any_of(tags.begin(), tags.end(), purged);
}

// ---------------------------------------------------------------- fetching

int64_t ResponseStore::lease(StoreKey key, int64_t for_ms) {
  const int64_t until_ms = loop_.now_ms() + for_ms;
  return zone_->lease(key, loop_.now_ms(), until_ms) ? until_ms : 0;
}

// One that has run out may be another's by now.
void ResponseStore::release(StoreKey key, int64_t until_ms) {
  if (loop_.now_ms() < until_ms) zone_->release(key);
  if (waiting_.find(key) != waiting_.end()) loop_.defer(released_);
}

void ResponseStore::failed(Exchange& x, StoreKey key, int status) {
  StoredFacts facts;
  facts.kind = StoredKind::failure;
  facts.status = status;
  note(x, key, "failure", facts);
}

void ResponseStore::note(Exchange& x, StoreKey key, std::string_view what, const StoredFacts& facts) {
  StoredFacts now = facts;
  now.stored_ms = wall_ms();
  core::CacheZone::Draft draft = zone_->begin();
  if (draft) draft.publish(this->key(key).add(what).made(), encode_stored(x.arena(), now, Headers(x.arena()), {}));
}

// Variants need no note: what is fetched for an old list is stored where a new one does not lead.
void ResponseStore::invalidate(Exchange& x, StoreKey url) {
  const bool known = zone_->remove(url);
  StoredFacts facts;
  facts.kind = StoredKind::change;
  if (known || zone_->is_leased(url, loop_.now_ms())) note(x, url, "change", facts);
}

void ResponseStore::await(StoreWait& waiter) {
  std::unique_ptr<Waiters>& waiters = waiting_[waiter.key_];
  if (!waiters) waiters = std::make_unique<Waiters>();
  waiters->list.push_back(waiter);
  if (!timer_.running()) timer_.start(look_ms);
}

void ResponseStore::look_after() {
  std::vector<StoreKey> ended;
  for (const auto& [key, waiters] : waiting_) {
    if (waiters->list.empty() || !zone_->is_leased(key, loop_.now_ms())) ended.push_back(key);
  }
  for (const StoreKey key : ended) wake(key);
  if (!waiting_.empty() && !timer_.running()) timer_.start(look_ms);
}

// Who waits again does so in a new list.
void ResponseStore::wake(StoreKey key) {
  const auto found = waiting_.find(key);
  if (found == waiting_.end()) return;
  const std::unique_ptr<Waiters> woken = std::move(found->second);
  waiting_.erase(found);
  while (StoreWait* waiter = woken->list.pop_front()) waiter->look();
}

StoreWait::StoreWait(Exchange& x, ResponseStore& store, const StoreQuestion& question, StoreKey key, int64_t limit_ms)
    : x_(x), store_(store), question_(question), key_(key), limit_ms_(limit_ms), since_ms_(store.wall_ms()) {}

void StoreWait::expire() {
  hook.unlink();
  complete({Waited::Outcome::expired, {question_.url, nullptr, nullptr}, 0});
}

void StoreWait::look() {
  using Outcome = Waited::Outcome;
  const StorePlace place = store_.find(x_, question_);
  if (place.response != nullptr && place.response->facts().stored_ms >= since_ms_) return complete({Outcome::stored, place, 0});
  const StoredResponse* failure = store_.noted(x_, key_, "failure");
  if (failure != nullptr && failure->facts().stored_ms >= since_ms_) return complete({Outcome::failed, place, failure->facts().status});
  complete({store_.passes(key_) ? Outcome::passed : Outcome::again, place, 0});
}

// ---------------------------------------------------------------- writing

core::CacheZone::Draft ResponseStore::begin() {
  core::CacheZone::Draft draft = zone_->begin();
  if (!draft && metrics_ != nullptr) metrics_->response_not_stored();
  return draft;
}

// Where a response lies that differs by these names; the list of them is noted under the URL first. Zero: no room.
StoreKey ResponseStore::place_of(Exchange& x, const StoreQuestion& question, const StorePlace& place, const Headers& names) {
  Headers known(x.arena());
  if (place.variants != nullptr) place.variants->copy_fields(known);
  if (same_names(known, names)) return place.variants != nullptr ? variant_key(x, question, place.variants->facts().number, names) : question.url;
  StoredFacts facts;
  facts.kind = StoredKind::variants;
  facts.stored_ms = wall_ms();
  facts.number = key(question.url).add(bytes_of(facts.stored_ms)).add(bytes_of(::getpid())).made().low;
  core::CacheZone::Draft list = zone_->begin();
  if (!list || !list.publish(question.url, encode_stored(x.arena(), facts, names, {}))) return {};
  return variant_key(x, question, facts.number, names);
}

bool ResponseStore::publish(Exchange& x, core::CacheZone::Draft& draft, const StoreQuestion& question, const StorePlace& place, const Headers& names, int64_t asked_ms, std::string_view head) {
  const StoredResponse* change = noted(x, question.url, "change");
  if (change != nullptr && change->facts().stored_ms >= asked_ms) return false;
  const uint64_t bytes = draft.body_size();
  const StoreKey key = head.empty() ? StoreKey() : place_of(x, question, place, names);
  const bool stored = key != StoreKey() && draft.publish(key, head);
  if (metrics_ == nullptr) return stored;
  if (stored) metrics_->response_stored(bytes);
  else metrics_->response_not_stored();
  return stored;
}

bool ResponseStore::refresh(const StorePlace& place, std::string_view head) {
  return !head.empty() && zone_->replace_head(place.key, place.response->entry(), head);
}

}  // namespace goma::http
