// SPDX-License-Identifier: Apache-2.0
//
// The register is a table of rows, looked up by number, changed under the slab's lock: bans are rare, and the lock is
// held for one row's copying. A row's end is written last, so that a row that a killed process left half written has
// none.
#include "core/bans.h"

#include <algorithm>
#include <cstring>

#include "core/pack.h"
#include "core/slab.h"

namespace goma::core {

namespace {

constexpr size_t row_bytes = 2048;
constexpr size_t max_identity = row_bytes - 32;
constexpr size_t ways = 8;
constexpr std::string_view version_word = "ban2";

struct Row {
  uint64_t number;
  int64_t until_ns;
  uint64_t length;
  char identity[max_identity];
};

}  // namespace

struct Bans::Shared {
  Row rows[max_listed];
};

// ---------------------------------------------------------------- one ban

std::optional<std::string> Ban::identity() const {
  std::string bytes = Pack().text(route).text(middleware).text(key).text(value).text(shown).text(mark).bytes();
  if (bytes.size() > max_identity) return std::nullopt;
  return bytes;
}

std::optional<Ban> Ban::from_identity(std::string_view identity) {
  Unpack texts(identity);
  Ban ban{texts.text(), texts.text(), texts.text(), texts.text(), texts.text(), texts.text()};
  if (!texts.ok()) return std::nullopt;
  return ban;
}

uint64_t Ban::number(const LimitZone& zone) const { return zone.id(key, value, zone.id(route, middleware)); }

std::string BanNews::message() const { return Pack().text(version_word).text(host).number(lifted ? 1 : 0).number(static_cast<uint64_t>(until_ms)).text(identity).bytes(); }

std::optional<BanNews> BanNews::parse(std::string_view message) {
  Unpack texts(message);
  if (texts.text() != version_word) return std::nullopt;
  BanNews news;
  news.host = texts.text();
  news.lifted = texts.number() != 0;
  news.until_ms = static_cast<int64_t>(texts.number());
  news.identity = texts.text();
  if (!texts.ok()) return std::nullopt;
  return news;
}

// ---------------------------------------------------------------- the register

Result<Bans> Bans::open(Slab& slab, LimitZone& zone) {
  static_assert(sizeof(Row) <= row_bytes + 16 && max_listed % ways == 0);
  Result<Shared*> shared = slab.zone_of<Shared>("bans", "bans", 2);
  if (!shared.ok()) return shared.error();
  return Bans(slab, *shared.value(), zone);
}

void Bans::impose(const Ban& ban, int64_t now_ns, int64_t until_ns) {
  const uint64_t number = ban.number(*zone_);
  zone_->ban(number, now_ns, until_ns);
  const std::optional<std::string> identity = ban.identity();
  if (!identity) return;
  const Slab::Lock lock(*slab_);
  Row* first = shared_->rows + number % (max_listed / ways) * ways;
  Row* row = std::find_if(first, first + ways, [number](const Row& r) { return r.number == number; });
  if (row == first + ways) row = std::min_element(first, first + ways, [](const Row& a, const Row& b) { return a.until_ns < b.until_ns; });
  __atomic_store_n(&row->until_ns, 0, __ATOMIC_RELEASE);
  row->number = number;
  row->length = identity->size();
  std::memcpy(row->identity, identity->data(), identity->size());
  __atomic_store_n(&row->until_ns, until_ns, __ATOMIC_RELEASE);
}

bool Bans::lift(const Ban& ban, int64_t now_ns) {
  const uint64_t number = ban.number(*zone_);
  const Slab::Lock lock(*slab_);
  Row* first = shared_->rows + number % (max_listed / ways) * ways;
  for (Row* row = first; row != first + ways; ++row) {
    if (row->number == number) row->until_ns = 0;
  }
  return zone_->lift_ban(number, now_ns);
}

std::vector<Bans::Listed> Bans::list(int64_t now_ns) const {
  std::vector<Listed> bans;
  const Slab::Lock lock(*slab_);
  for (const Row& row : shared_->rows) {
    if (row.until_ns <= now_ns) continue;
    std::optional<Ban> ban = Ban::from_identity({row.identity, std::min(row.length, max_identity)});
    const int64_t until_ns = zone_->banned_until(row.number, now_ns);
    if (ban && until_ns != 0) bans.push_back({std::move(*ban), until_ns - now_ns});
  }
  return bans;
}

}  // namespace goma::core
