// SPDX-License-Identifier: Apache-2.0
//
// Values to and from bytes, and the walk of one fetch. Texts that are worth it are deflated: those whose beginning
// shrinks by a tenth, and none so large that the loop is held up (5 ms for the largest).
#include "http/shared_store.h"

#include <zlib.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/pack.h"
#include "core/tls_client_context.h"
#include "http/cache_tags.h"
#include "http/runtime.h"
#include "http/vary.h"

namespace goma::http {

namespace {

constexpr std::string_view response_word = "goma-response-3";
constexpr std::string_view names_word = "goma-names-2";
constexpr std::string_view pass_word = "goma-pass-2";
constexpr uint64_t least_deflated = 512;
constexpr uint64_t most_deflated = 1 << 20;
constexpr size_t sample_bytes = 4 << 10;
constexpr uint64_t most_value_bytes = 15 << 20;  // less than the longest reply that is read (core/redis_settings.h)
constexpr int64_t poll_ms = 20;
constexpr int64_t longest_life_ms = core::purges_kept_ms - int64_t{86'400'000};  // what was purged is known for longer
constexpr size_t most_fields = 256;

// A value begins with the number of the purge that it goes by, in hexadecimal digits of this many: scripts compare them.
constexpr size_t number_digits = 16;

// The value of a key, unless it goes by the number that the asker has found purged; else whether the lease to make it is
// the asker's (1) or another's (0).
constexpr std::string_view fetch_text = R"(
local value = redis.call('GET', KEYS[1])
if value and string.sub(value, 1, 16) ~= ARGV[3] then return value end
return redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0)";

// Puts a value in place of one that was asked for no later.
constexpr std::string_view put_text = R"(
if redis.call('GETRANGE', KEYS[1], 0, 15) > string.sub(ARGV[1], 1, 16) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1)";

// Ends a lease that is still the asker's.
constexpr std::string_view release_text = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

const core::RedisScript& fetch_script() {
  static const core::RedisScript script(fetch_text);
  return script;
}

std::string_view lease_of(core::Arena& arena, std::string_view key) { return arena.join(key, ":lease"); }

std::string variant_name(Exchange& x, std::string_view name, const StoreQuestion& question, const Headers& names) {
  core::Pack texts;
  for (const Header& h : names) texts.text(h.name).text(vary_value(x.arena(), *question.request, h.name));
  return std::string(name) + ":" + core::sha256_hex(texts.bytes());
}

// Empty when it does not save a tenth.
std::string deflate(std::string_view text) {
  uLongf length = ::compressBound(text.size());
  std::string out(length, '\0');
  if (::compress2(reinterpret_cast<Bytef*>(out.data()), &length, reinterpret_cast<const Bytef*>(text.data()), text.size(), 1) != Z_OK) return {};
  out.resize(length > text.size() - text.size() / 10 ? 0 : length);
  return out;
}

// Deflated, or as it is when that does not pay.
std::string packed(const std::string& body, bool& deflated) {
  deflated = false;
  if (body.size() < least_deflated || body.size() > most_deflated) return body;
  if (body.size() > 2 * sample_bytes && deflate(std::string_view(body).substr(0, sample_bytes)).empty()) return body;
  std::string out = deflate(body);
  deflated = !out.empty();
  return deflated ? out : body;
}

// False: it is not what was packed.
bool unpacked(std::string& body, bool deflated, uint64_t size) {
  if (!deflated) return body.size() == size;
  if (size > most_deflated) return false;
  std::string out(size, '\0');
  uLongf length = size;
  const int result = ::uncompress(reinterpret_cast<Bytef*>(out.data()), &length, reinterpret_cast<const Bytef*>(body.data()), body.size());
  body = std::move(out);
  return result == Z_OK && length == size;
}

void pack_facts(core::Pack& into, const StoredFacts& facts) {
  const Freshness& f = facts.freshness;
  for (const int64_t n : {int64_t{facts.status}, facts.stored_ms, f.age_s, f.lifetime_s, f.stale_while_revalidate_s, f.stale_if_error_s, int64_t{f.must_revalidate}, int64_t{f.for_anyone}}) into.number(static_cast<uint64_t>(n));
}

StoredFacts unpack_facts(core::Unpack& from) {
  const auto number = [&from] { return static_cast<int64_t>(from.number()); };
  StoredFacts facts;
  facts.status = static_cast<int>(number());
  facts.stored_ms = number();
  facts.freshness = {number(), number(), number(), number(), number() != 0, number() != 0};
  return facts;
}

void pack_fields(core::Pack& into, const Headers& fields) {
  uint64_t count = 0;
  for ([[maybe_unused]] const Header& h : fields) ++count;
  into.number(count);
  for (const Header& h : fields) into.text(h.name).text(h.value);
}

// False: too many, or no fields at all.
bool unpack_fields(core::Unpack& from, core::Arena& arena, Headers& fields) {
  const uint64_t count = from.number();
  for (uint64_t i = 0; i < count && count <= most_fields && from.ok(); ++i) {
    const std::string_view name = arena.copy(from.text()), value = arena.copy(from.text());
    fields.add(name, value);
  }
  return from.ok() && count <= most_fields;
}

void set(core::Redis& redis, std::string_view key, uint64_t purge, std::string_view texts, int64_t for_ms) {
  const std::string life = std::to_string(for_ms), value = fmt::format("{:0{}x}{}", purge, number_digits, texts);
  const std::string_view words[] = {"EVAL", put_text, "1", key, value, life};
  redis.post(key, words);
}

}  // namespace

// ---------------------------------------------------------------- telling

bool SharedStore::usable(Exchange& x) {
  const Runtime& runtime = x.runtime();
  const bool there = runtime.redis != nullptr && runtime.redis->configured() && runtime.redis->usable();
  return there && runtime.presence != nullptr && runtime.presence->knows_purges(x.now_ms());
}

void SharedStore::release(core::Redis& redis, std::string_view lease) {
  const size_t space = lease.rfind(' ');
  const std::string_view words[] = {"EVAL", release_text, "1", lease.substr(0, space), lease.substr(space + 1)};
  redis.post(lease.substr(0, space), words);
}

void SharedStore::pass(core::Redis& redis, std::string_view name, uint64_t purge, int64_t for_ms) {
  set(redis, name, purge, core::Pack().text(pass_word).bytes(), for_ms);
}

void SharedStore::forget(core::Redis& redis, std::string_view name) {
  const std::string_view words[] = {"DEL", name};
  redis.post(name, words);
}

void SharedStore::put(Exchange& x, std::string_view name, const StoreQuestion& question, const StoredResponse& response, const Headers& names, uint64_t most_bytes) {
  if (response.size() > std::min(most_bytes, most_value_bytes) || !usable(x)) return;
  const Freshness& f = response.facts().freshness;
  const int64_t life_ms = std::min((f.lifetime_s - f.age_s + std::max(f.stale_while_revalidate_s, f.stale_if_error_s)) * 1000, longest_life_ms);
  if (life_ms <= 0) return;
  std::string body;
  for (size_t i = 0; i < response.pieces(); ++i) body += response.piece(i);
  bool deflated = false;
  const std::string sent = packed(body, deflated);
  Headers fields(x.arena());
  response.copy_fields(fields);
  core::Pack value;
  value.text(response_word);
  pack_facts(value, response.facts());
  pack_fields(value, fields);
  value.number(deflated).number(body.size()).text(sent);
  core::Redis& redis = *x.runtime().redis;
  const uint64_t purge = response.facts().purge;
  if (names.size() == 0) return set(redis, name, purge, value.bytes(), life_ms);
  core::Pack list;
  list.text(names_word);
  pack_fields(list, names);
  set(redis, variant_name(x, name, question, names), purge, value.bytes(), life_ms);
  set(redis, name, purge, list.bytes(), life_ms);
}

void StoreLease::end() {
  if (redis_ != nullptr) SharedStore::release(*std::exchange(redis_, nullptr), shared_);
  if (store_ != nullptr) std::exchange(store_, nullptr)->release(key_, until_ms_);
}

// ---------------------------------------------------------------- asking

SharedFetch::SharedFetch(Exchange& x, ResponseStore& store, const StoreQuestion& question, const StorePlace& place, const SharedQuestion& shared)
    : x_(x), store_(store), question_(question), place_(place), shared_(shared) {
  call_.bind<&SharedFetch::on_result>(this);
  again_.bind<&SharedFetch::ask_again>(x.runtime().loop, this);
}

void SharedFetch::ask(std::string_view key) {
  key_ = key;
  const std::string token = core::sha256_hex(x_.id()).substr(0, 16), life = std::to_string(shared_.lease_ms);
  const std::string_view lease = lease_of(x_.arena(), key);
  lease_ = x_.arena().join(lease, " ", token);
  const std::string_view keys[] = {key, lease}, arguments[] = {token, life, purged_};
  x_.runtime().redis->run(fetch_script(), keys, arguments, call_);
}

void SharedFetch::on_result(const core::RedisResult& result) {
  using Kind = core::RedisReply::Kind;
  if (!result.ok()) {
    return_lease();  // it may have been given all the same
    return end(SharedAnswer::Outcome::nothing);
  }
  if (result.reply.kind() == Kind::text) return read(result.reply.text());
  if (result.reply.integer() != 0) return end(SharedAnswer::Outcome::mine);
  again_.start(poll_ms);
}

// What cannot be read is of another version, or damaged: it is fetched anew and written over.
void SharedFetch::read(std::string_view value) {
  const std::string_view digits = value.substr(0, number_digits);
  uint64_t purge = 0;
  const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), purge, 16);
  if (error != std::errc() || last != digits.data() + number_digits) return end(SharedAnswer::Outcome::nothing);
  core::Unpack from(value.substr(number_digits));
  const std::string word = from.text();
  if (word == pass_word) return end(SharedAnswer::Outcome::passed);
  if (word == names_word && !variant_) {
    auto* names = x_.arena().make<Headers>(x_.arena());
    if (!unpack_fields(from, x_.arena(), *names)) return end(SharedAnswer::Outcome::nothing);
    variant_ = true;
    names_ = names;
    return ask(x_.arena().copy(variant_name(x_, shared_.name, question_, *names)));
  }
  StoredFacts facts = unpack_facts(from);
  facts.purge = purge;
  Headers fields(x_.arena());
  if (word != response_word || !unpack_fields(from, x_.arena(), fields)) return end(SharedAnswer::Outcome::nothing);
  const bool deflated = from.number() != 0;
  const uint64_t size = from.number();
  std::string body = from.text();
  if (!from.ok() || facts.status < 200 || facts.status > 599 || !unpacked(body, deflated, size)) return end(SharedAnswer::Outcome::nothing);
  const std::vector<StoreKey> tags = tags_of(store_, *shared_.tag_fields, fields);
  if (store_.is_purged(question_, purge, tags)) {
    purged_ = x_.arena().copy(digits);
    return ask(key_);
  }
  core::CacheZone::Draft draft = store_.begin();
  if (!draft || !draft.append(body)) return end(SharedAnswer::Outcome::nothing);
  const std::string_view head = encode_stored(x_.arena(), facts, fields, tags);
  const Headers none(x_.arena());
  const bool stored = store_.publish(x_, draft, question_, place_, names_ != nullptr ? *names_ : none, facts.stored_ms, head);
  end(stored ? SharedAnswer::Outcome::found : SharedAnswer::Outcome::nothing);
}

// Commands are done in order: what the one before this took is given back.
void SharedFetch::return_lease() {
  if (SharedStore::usable(x_)) SharedStore::release(*x_.runtime().redis, lease_);
}

void SharedFetch::give_up() {
  if (call_.pending()) return_lease();
  call_.cancel();
}

void SharedFetch::end(SharedAnswer::Outcome outcome) {
  give_up();
  again_.stop();
  complete({outcome, outcome == SharedAnswer::Outcome::mine ? lease_ : std::string_view()});
}

}  // namespace goma::http
