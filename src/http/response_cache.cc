// SPDX-License-Identifier: Apache-2.0
//
// Two halves: what a request gets from the store, and what becomes of a response on its way to the client.
#include "http/response_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/text.h"
#include "http/cache_purge.h"
#include "http/cache_tags.h"
#include "http/cache_words.h"
#include "http/conditions.h"
#include "http/errands.h"
#include "http/request_id.h"
#include "http/response_writer.h"
#include "http/runtime.h"
#include "http/vary.h"

namespace goma::http {

namespace {

constexpr size_t most_vary_names = 3;

}  // namespace

// What a request's walk has come to; in the arena of its exchange.
struct ResponseCache::Work {
  enum class Role : unsigned char { past, invalidates, fetches, answered };
  Role role = Role::past;
  bool is_errand = false;
  bool personal = false;     // the key has credentials: what is private may be kept under it
  bool authorized = false;   // the request has Authorization, which the key has not
  bool conditional = false;  // the backend was asked whether the stored response is still good
  ResponseStore* store = nullptr;
  CacheControl request;
  StoreQuestion question;
  StorePlace place;
  StoreLease lease;
  CacheReport report;
  int64_t asked_ms = 0;    // wall clock
  uint64_t purge = 0;      // the last one known then
  int64_t give_up_ms = 0;  // when waiting for others has taken long enough
  std::string_view shared_name;  // of the URL, for all hosts; empty: they are not asked
  ResponseWriter* writer = nullptr;
};

ResponseCache::Work* ResponseCache::work(Exchange& x) const { return static_cast<Work*>(x.kept(this)); }

// ---------------------------------------------------------------- the request

Verdict ResponseCache::on_request(Exchange& x) const {
  auto* w = x.arena().make<Work>();
  x.keep(this, w);
  w->store = ResponseStore::of(x);
  if (w->store == nullptr) return past(*w, "no store");
  const Method method = x.request().method;
  w->question = store_question(x, *w->store, s_.key, x.request().headers);
  if (is_purge(x, s_.purge_token)) return purge(x, *w);
  if (method != Method::get && method != Method::head) {
    w->report.reason = "method";
    if (!is_safe(method)) w->role = Work::Role::invalidates;
    return Verdict::next();
  }
  const Credentials credentials = credentials_of(x);
  w->personal = s_.key.personal && credentials != Credentials::none;
  w->authorized = !w->personal && credentials == Credentials::authorization;
  const std::string_view reason = why_past_cache(x, s_.key, credentials);
  if (!reason.empty()) return past(*w, reason);
  if (!s_.ignores_requests) w->request = parse_request_cache_control(x.request().headers);
  if (w->request.no_store) return past(*w, "request no-store");
  return x.await<StoreLookup>(this, &ResponseCache::found, *w->store, w->question);
}

Verdict ResponseCache::purge(Exchange& x, Work& w) const {
  if (!may_purge(x, s_.purge_token)) return x.reply(403, "403 Forbidden: a purge needs its token");
  const std::optional<core::Purge> purge = purge_of(x, w.question);
  if (!purge) return x.reply(400, "400 Bad Request: X-Purge wants \"prefix\", \"tag NAME\" or \"all\"");
  return x.await<PurgeEverywhere>(this, &ResponseCache::purged, *w.store, *purge);
}

Verdict ResponseCache::purged(Exchange& x, const PurgeOutcome& outcome) const { return answer_purge(x, outcome); }

Verdict ResponseCache::past(Work& w, std::string_view reason) const {
  w.report.word = CacheWord::bypass;
  w.report.reason = reason;
  return Verdict::next();
}

int64_t ResponseCache::age_s(const Work& w) const {
  const StoredFacts& facts = w.place.response->facts();
  return current_age_s(facts.freshness, w.store->wall_ms() - facts.stored_ms);
}

Verdict ResponseCache::found(Exchange& x, const StorePlace& place) const {
  Work& w = *work(x);
  w.place = place;
  w.report.word = CacheWord::miss;
  if (w.authorized && (place.response == nullptr || !place.response->facts().freshness.for_anyone)) return fetch_for_one(x, w);
  if (place.response == nullptr && x.request().headers.find(HeaderId::range) != nullptr && !w.request.only_if_cached) return past(w, "range");
  if (place.response != nullptr) {
    w.report.word = CacheWord::expired;
    switch (use_of(place.response->facts().freshness, age_s(w), w.request, s_.freshness)) {
      case Use::fresh: return serve(x, w, CacheWord::hit);
      case Use::stale: return serve(x, w, CacheWord::stale);
      case Use::background:
        if (send_errand(x, w)) return serve(x, w, CacheWord::stale);
        break;
      case Use::validate: break;
    }
  }
  if (!w.request.only_if_cached) return fetch(x, w);
  return x.reply(504, "504 Gateway Timeout");
}

// With credentials, and nothing is there for everybody; what comes may be (RFC 9111 3.5).
Verdict ResponseCache::fetch_for_one(Exchange& x, Work& w) const {
  w.place.response = nullptr;
  if (w.request.only_if_cached) return x.reply(504, "504 Gateway Timeout");
  w.report.word = CacheWord::bypass;
  w.report.reason = "credentials";
  if (x.request().method != Method::get || x.request().headers.find(HeaderId::range) != nullptr) return Verdict::next();
  return go(x, w);
}

// To the backend, alone or as the one that fetches for all; or to those who wait for that one.
Verdict ResponseCache::fetch(Exchange& x, Work& w) const {
  const bool shared = x.request().method == Method::get && s_.coalesce_ms > 0 && !w.authorized && !w.store->passes(w.place.key) &&
                      (w.place.response != nullptr || !has_conditions(x.request().headers));
  if (w.give_up_ms == 0) w.give_up_ms = x.now_ms() + s_.coalesce_ms;
  const int64_t left_ms = w.give_up_ms - x.now_ms();
  if (shared && left_ms > 0 && !w.lease.take(*w.store, w.place.key, s_.coalesce_ms)) {
    w.store->count("waited");
    return x.await<StoreWait>(this, &ResponseCache::waited, *w.store, w.question, w.place.key, left_ms);
  }
  if (!w.lease.held() || !s_.shared.on || !w.shared_name.empty() || !SharedStore::usable(x)) return go(x, w);
  w.shared_name = shared_name(x, s_.key, x.request().headers);
  return x.await<SharedFetch>(this, &ResponseCache::shared, *w.store, w.question, w.place, SharedQuestion{w.shared_name, s_.coalesce_ms, std::max<int64_t>(left_ms, 1), &s_.tag_fields});
}

// What other hosts have, or who of them fetches.
Verdict ResponseCache::shared(Exchange& x, const SharedAnswer& answer) const {
  Work& w = *work(x);
  switch (answer.outcome) {
    case SharedAnswer::Outcome::found:
      w.store->count("shared");
      w.place = w.store->find(x, w.question);
      if (w.place.response == nullptr || use_of(w.place.response->facts().freshness, age_s(w), w.request, s_.freshness) != Use::fresh) break;
      w.lease.end();
      return serve(x, w, CacheWord::hit);
    case SharedAnswer::Outcome::mine:
      w.lease.share(*x.runtime().redis, answer.lease);
      break;
    case SharedAnswer::Outcome::passed:
      w.store->pass(w.lease.key());
      w.lease.end();
      break;
    case SharedAnswer::Outcome::nothing: break;
  }
  return go(x, w);
}

void ResponseCache::put_shared(Exchange& x, Work& w) const {
  if (w.shared_name.empty()) return;
  Headers names(x.arena());
  if (w.place.variants != nullptr) w.place.variants->copy_fields(names);
  SharedStore::put(x, w.shared_name, w.question, *w.place.response, names, s_.shared.most_bytes);
}

// What the request's fields are now decides on the variant, whatever becomes of them on the way to the backend.
Verdict ResponseCache::go(Exchange& x, Work& w) const {
  w.role = Work::Role::fetches;
  w.asked_ms = w.store->wall_ms();
  w.purge = w.store->last_purge();
  w.question.request = x.arena().make<Headers>(x.request().headers);
  x.share_answer();
  ask_for_change(x, w);
  return Verdict::next();
}

Verdict ResponseCache::waited(Exchange& x, const Waited& waited) const {
  Work& w = *work(x);
  w.report.collapsed = true;
  if (waited.outcome == Waited::Outcome::stored) {
    w.place = waited.place;
    return w.place.response->facts().freshness.lifetime_s > age_s(w) ? serve(x, w, CacheWord::hit) : go(x, w);
  }
  if (waited.outcome == Waited::Outcome::again) {
    w.place = waited.place;
    return fetch(x, w);
  }
  const bool in_need = waited.outcome == Waited::Outcome::failed || waited.outcome == Waited::Outcome::expired;
  if (in_need && w.place.response != nullptr && serves_errors(w.place.response->facts().freshness, age_s(w))) return serve(x, w, CacheWord::stale);
  if (waited.outcome == Waited::Outcome::failed) return x.reply(waited.status, x.arena().copy(fmt::format("{} {}", waited.status, reason_phrase(waited.status))));
  return go(x, w);
}

// The backend is asked on behalf of the stored response; what the client knows is compared afterwards.
void ResponseCache::ask_for_change(Exchange& x, Work& w) const {
  if (w.place.response == nullptr || x.request().method != Method::get) return;
  Headers stored(x.arena());
  w.place.response->copy_fields(stored);
  const std::string_view etag = stored.get(HeaderId::etag);
  const std::string_view modified = stored.get(HeaderId::last_modified);
  Headers& headers = x.request().headers;
  headers.remove(HeaderId::if_none_match);
  headers.remove(HeaderId::if_modified_since);
  if (!etag.empty()) headers.set(HeaderId::if_none_match, etag);
  if (!modified.empty()) headers.set(HeaderId::if_modified_since, modified);
  w.conditional = !etag.empty() || !modified.empty();
  if (w.conditional) headers.remove(HeaderSet{HeaderId::range, HeaderId::if_range});  // the part is cut here, or it is all of a new one
}

// Somebody validates it while the stale copy is served: this request's errand, or whoever holds the lease. False: nobody.
bool ResponseCache::send_errand(Exchange& x, Work& w) const {
  if (w.personal) return false;
  StoreLease lease;
  if (!lease.take(*w.store, w.place.key, Errands::longest_ms)) return true;
  Exchange* errand = Errands::make(x);
  if (errand == nullptr) return true;  // enough are under way; a later request sends one
  auto* copy = errand->arena().make<Work>();
  errand->keep(this, copy);
  copy->store = w.store;
  copy->role = Work::Role::fetches;
  copy->is_errand = true;
  copy->report.word = CacheWord::expired;
  copy->authorized = w.authorized;
  copy->asked_ms = w.store->wall_ms();
  copy->purge = w.store->last_purge();
  if (s_.shared.on && SharedStore::usable(x)) copy->shared_name = errand->arena().copy(shared_name(x, s_.key, x.request().headers));
  copy->question = {w.question.url, errand->arena().copy(w.question.host), copy_path(w.question.path, errand->arena()),
                    errand->arena().make<Headers>(errand->request().headers)};
  copy->place = w.store->find(*errand, copy->question);
  copy->lease.take(lease);
  errand->request().headers.remove(HeaderSet{HeaderId::if_none_match, HeaderId::if_modified_since, HeaderId::range, HeaderId::if_range});
  errand->share_answer();
  ask_for_change(*errand, *copy);
  Errands::go(*errand, x);
  return true;
}

// ---------------------------------------------------------------- answers from the store

void ResponseCache::describe(Exchange& x, const CacheReport& report, Headers& into) const {
  add_cache_words(x.arena(), report, s_.status_headers, into);
  x.add_log_field("cache", cache_word(report.word));
}

static RangeWish range_wish(const Headers& request, const Headers& stored, uint64_t size, std::vector<ByteRange>& ranges) {
  const Header* range = request.find(HeaderId::range);
  return range != nullptr && allows_range(request, stored) ? parse_byte_ranges(range->value, size, ranges) : RangeWish::whole;
}

Verdict ResponseCache::serve(Exchange& x, Work& w, CacheWord word) const {
  const StoredResponse& response = *w.place.response;
  w.role = Work::Role::answered;
  w.report.word = word;
  w.report.lifetime_s = response.facts().freshness.lifetime_s;
  w.report.age_s = age_s(w);
  w.store->count(w.is_errand ? "background" : cache_outcome(word));
  const Headers& request = *w.question.request;
  const bool asks = request.has_any({HeaderId::if_none_match, HeaderId::if_modified_since, HeaderId::range});
  Headers fields(x.arena());
  if (asks && response.facts().status == 200) response.copy_fields(fields);
  std::vector<ByteRange> ranges;
  const RangeWish wish = fields.size() != 0 && x.request().method == Method::get ? range_wish(request, fields, response.size(), ranges) : RangeWish::whole;
  const bool unchanged = fields.size() != 0 && is_not_modified(request, fields, w.store->wall_ms() / 1000);
  if (!unchanged && wish != RangeWish::whole) return serve_parts(x, w, wish, ranges, fields);
  const Verdict verdict = unchanged ? x.reply_with(304, {}, {}) : x.reply_with(response.facts().status, response);
  Headers& reply = x.reply_headers();
  if (unchanged) {
    for (const Header& h : fields) {
      if (belongs_to_304(h.id, h.name)) reply.add(h.id, h.name, h.value);
    }
  } else {
    response.copy_fields(reply);
  }
  describe_stored(x, w, reply);
  return verdict;
}

void ResponseCache::describe_stored(Exchange& x, const Work& w, Headers& reply) const {
  const fmt::format_int age(w.report.age_s);
  reply.add(HeaderId::age, x.arena().copy({age.data(), age.size()}));
  describe(x, w.report, reply);
}

// RFC 9110 14.
Verdict ResponseCache::serve_parts(Exchange& x, const Work& w, RangeWish wish, const std::vector<ByteRange>& ranges, const Headers& fields) const {
  const StoreKey secret = w.store->key(w.place.key).add("boundary").made();
  const std::string_view boundary = x.arena().copy(fmt::format("{:016x}{:016x}", secret.low, secret.high));
  const Verdict verdict = reply_with_parts(x, wish, ranges, *w.place.response, fields, boundary);
  describe_stored(x, w, x.reply_headers());
  return verdict;
}

// ---------------------------------------------------------------- the response

static bool is_backend_failure(const Exchange& x) {
  switch (x.ending()) {
    case Ending::backend_connect:
    case Ending::backend_timeout:
    case Ending::backend_fault:
    case Ending::backend_truncated:
    case Ending::overload: return true;
    default: return false;
  }
}

Verdict ResponseCache::on_response(Exchange& x) const {
  Work* w = work(x);
  if (w == nullptr || w->role == Work::Role::answered) return Verdict::next();
  const int status = x.response().status;
  if (status == 101) return Verdict::next();  // a tunnel is none of ours
  if (w->role == Work::Role::invalidates && status >= 200 && status < 400 && !x.has_answer()) invalidate(x, *w);
  if (w->role == Work::Role::fetches) {
    const Verdict verdict = judge(x, *w);
    if (verdict.kind() == Verdict::Kind::done) return verdict;
  }
  if (w->store != nullptr) w->store->count(w->is_errand ? "background" : cache_outcome(w->report.word));
  drop_cache_words(x.response().headers);
  describe(x, w->report, x.response().headers);
  return Verdict::next();
}

// RFC 9111 4.4. Other hosts keep what they have until it is stale: only a purge reaches them.
void ResponseCache::invalidate(Exchange& x, Work& w) const {
  const bool shared = s_.shared.on && SharedStore::usable(x);
  const Headers& request = x.request().headers;
  w.store->invalidate(x, w.question.url);
  if (shared) SharedStore::forget(*x.runtime().redis, shared_name(x, s_.key, request));
  for (const Header& h : x.response().headers) {
    if (h.id != HeaderId::location && !(h.id == HeaderId::other && core::iequals(h.name, "Content-Location"))) continue;
    const std::optional<StoreQuestion> named = store_question(x, *w.store, s_.key, request, h.value);
    if (!named) continue;
    w.store->invalidate(x, named->url);
    if (shared) SharedStore::forget(*x.runtime().redis, *shared_name(x, s_.key, request, h.value));
  }
}

Verdict ResponseCache::judge(Exchange& x, Work& w) const {
  const int status = x.response().status;
  const bool failed = (x.has_answer() && is_backend_failure(x)) || (!x.has_answer() && (status == 502 || status == 503 || status == 504));
  const bool error = failed || (!x.has_answer() && status == 500);
  if (error && w.place.response != nullptr && serves_errors(w.place.response->facts().freshness, age_s(w))) {
    if (w.lease.held()) w.store->failed(x, w.lease.key(), status);
    w.lease.end();
    return serve(x, w, CacheWord::stale);
  }
  if (status == 304 && w.conditional && !x.has_answer()) return freshen(x, w);
  if (!x.has_answer() && status == 200 && x.request().method == Method::head && w.place.response != nullptr) compare_head(x, w);
  if (!x.has_answer() && plan(x, w)) return Verdict::next();
  if (failed && w.lease.held()) w.store->failed(x, w.lease.key(), status);
  if (!x.has_answer() && !failed && status != 206 && w.lease.held()) pass(x, w);  // a middleware's refusal says nothing of the response
  w.lease.end();
  return Verdict::next();
}

// Nobody has to wait for what cannot be stored, on any host.
void ResponseCache::pass(Exchange& x, Work& w) const {
  w.store->pass(w.lease.key());
  if (w.lease.is_shared()) SharedStore::pass(*x.runtime().redis, w.shared_name, w.purge, ResponseStore::pass_ms);
}

// A delay of some milliseconds is none, also when a second ended meanwhile.
static Exchanged exchanged(int64_t asked_ms, int64_t received_ms) {
  const int64_t received_s = received_ms / 1000;
  return {received_s - (received_ms - asked_ms) / 1000, received_s};
}

// The fields that are the response's own: without those of this exchange, of the connection, and of other caches.
static Headers* own_fields(Exchange& x) {
  auto* fields = x.arena().make<Headers>(x.arena());
  for (const Header& h : x.response().headers) {
    const bool never = h.id == HeaderId::content_length || h.id == HeaderId::age || h.id == HeaderId::x_request_id || h.id == HeaderId::x_goma_request_id || h.id == HeaderId::proxied_by;
    const auto added = [&h](const Header& extra) { return extra.value.data() == h.value.data() && extra.name == h.name; };
    bool of_exchange = never;
    for (const Header& extra : x.added_response_headers()) of_exchange |= added(extra);
    if (!of_exchange) fields->add(h.id, h.name, h.value);
  }
  drop_cache_words(*fields);
  return fields;
}

// RFC 9110 6.6.1: what has no Date was made when it was received.
static void add_date(Exchange& x, Headers& fields) {
  if (fields.get(HeaderId::date).empty()) fields.set(HeaderId::date, x.arena().copy(x.runtime().ids->date(x.runtime().loop.wall().tv_sec)));
}

// Gives the stored response the fields that this one has (RFC 9111 3.2). Whether it may be kept, and is.
bool ResponseCache::update(Exchange& x, Work& w, const Headers& news) const {
  const StoredResponse& response = *w.place.response;
  Headers fields(x.arena());
  response.copy_fields(fields);
  fields.remove(HeaderId::date);
  for (const Header& h : news) {
    if (!outlives_304(h.id)) fields.remove(h.name);
  }
  for (const Header& h : news) {
    if (!outlives_304(h.id)) fields.add(h.id, h.name, h.value);
  }
  add_date(x, fields);
  StoredFacts facts = response.facts();
  const CacheControl said = parse_response_cache_control(fields);
  facts.stored_ms = w.store->wall_ms();
  facts.purge = w.purge;
  fields.add(HeaderId::age, x.response().headers.get(HeaderId::age));
  facts.freshness = freshness_of(facts.status, said, fields, s_.freshness, exchanged(w.asked_ms, facts.stored_ms));
  fields.remove(HeaderId::age);
  const std::span<const StoreKey> tags = response.copy_tags(x.arena());
  if (said.names_fields) drop_named_fields(fields);
  const bool good = why_not_stored(facts.status, w.request, said, fields, w.personal).empty() && (!w.authorized || facts.freshness.for_anyone);
  if (!good) w.store->remove(w.place.key);
  if (!good || !w.store->refresh(w.place, encode_stored(x.arena(), facts, fields, tags))) return false;
  const StorePlace place = w.store->find(x, w.question);
  if (place.response != nullptr) w.place = place;
  if (facts.freshness.lifetime_s > facts.freshness.age_s) put_shared(x, w);
  else if (w.lease.held()) pass(x, w);
  return true;
}

// RFC 9111 4.3.4: the stored response is as good as new, with what the 304 says about it.
Verdict ResponseCache::freshen(Exchange& x, Work& w) const {
  const Headers& news = *own_fields(x);
  Headers fields(x.arena());
  w.place.response->copy_fields(fields);
  const std::string_view etag = news.get(HeaderId::etag);
  const bool another = !etag.empty() && !matches_etag(etag, fields.get(HeaderId::etag));
  if (another) w.store->remove(w.place.key);
  w.report.stored = !another && update(x, w, news);
  w.lease.end();
  return serve(x, w, CacheWord::revalidated);
}

// RFC 9111 4.3.5: a HEAD that tells of another representation than the stored one makes it old; else its fields are newer.
void ResponseCache::compare_head(Exchange& x, Work& w) const {
  Headers fields(x.arena());
  w.place.response->copy_fields(fields);
  const Headers& news = x.response().headers;
  const auto differs = [&](HeaderId id) { return news.find(id) != nullptr && news.get(id) != fields.get(id); };
  const std::string_view length = news.get(HeaderId::content_length);
  const bool another = differs(HeaderId::etag) || differs(HeaderId::last_modified) || (!length.empty() && length != fmt::format_int(w.place.response->size()).str());
  if (another) w.store->remove(w.place.key);
  else update(x, w, *own_fields(x));
}

// Settles how the response is stored. False: it is not.
bool ResponseCache::plan(Exchange& x, Work& w) const {
  ResponseHead& response = x.response();
  const bool endless = response.body.framing == Framing::until_close;  // nobody could tell the whole from a half
  if (x.request().method != Method::get || endless || !is_storable_status(response.status) || !s_.statuses[static_cast<size_t>(response.status)]) return false;
  if (response.body.framing == Framing::length ? response.body.length > std::min(s_.most_bytes, w.store->most_bytes()) : w.store->is_large(w.place.key)) return false;
  if (!w.personal && !x.identity().empty()) return false;  // a step behind this one has told the backend who asks
  Headers* fields = own_fields(x);
  const CacheControl said = parse_response_cache_control(*fields);
  if (!why_not_stored(response.status, w.request, said, *fields, w.personal).empty()) return false;
  auto* names = x.arena().make<Headers>(x.arena());
  if (w.place.variants != nullptr) w.place.variants->copy_fields(*names);
  add_vary_names(x.arena(), *fields, s_.ignored_vary, *names);
  if (counted_vary_names(*names) > most_vary_names) return false;
  StoredFacts facts;
  facts.status = response.status;
  facts.stored_ms = w.store->wall_ms();
  facts.purge = w.purge;
  facts.freshness = freshness_of(response.status, said, response.headers, s_.freshness, exchanged(w.asked_ms, facts.stored_ms));
  if (w.authorized && !facts.freshness.for_anyone) return false;
  if (!is_of_use(response.status, said, *fields, s_.freshness, facts.freshness)) return false;
  if (said.names_fields) drop_named_fields(*fields);
  add_date(x, *fields);
  core::CacheZone::Draft draft = w.store->begin();
  if (!draft) return false;
  if (s_.freshness.ttl == FreshnessRule::Ttl::overriding && s_.status_headers) {
    const std::string_view text = x.arena().copy(fmt::format("{}, max-age={}", w.personal ? "private" : "public", s_.freshness.max_s));
    fields->set(HeaderId::cache_control, text);
    response.headers.set(HeaderId::cache_control, text);
  }
  const std::string_view shared_name = facts.freshness.lifetime_s > facts.freshness.age_s ? w.shared_name : std::string_view();
  w.writer = x.arena().make<ResponseWriter>(x, *w.store, w.lease, std::move(draft), ResponseWriter::Plan{w.question, w.place, facts, fields, names, tags_of(*w.store, s_.tag_fields, *fields), s_.most_bytes, shared_name, s_.shared.most_bytes, w.asked_ms});
  if (facts.freshness.lifetime_s <= facts.freshness.age_s) {  // only once it was validated, by everybody who asks
    if (w.lease.held()) pass(x, w);
    w.lease.end();
  }
  if (w.authorized) w.report.word = CacheWord::miss;
  w.report.stored = true;
  w.report.lifetime_s = facts.freshness.lifetime_s;
  w.report.age_s = facts.freshness.age_s;
  return true;
}

BodyFilter* ResponseCache::filter_body(Exchange& x) const {
  Work* w = work(x);
  return w == nullptr || x.has_answer() ? nullptr : w->writer;
}

}  // namespace goma::http
