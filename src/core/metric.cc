// SPDX-License-Identifier: Apache-2.0
//
// The directory: families, series, an open-addressing index and a pool of label text, all append-only. Finding takes
// no lock; making takes the slab's. An entry is written first, counted second and indexed last; whoever makes the next
// one indexes what a killed process left out.
#include "core/metric.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/slab.h"
#include "core/text.h"

namespace goma::core {

namespace {

constexpr size_t index_size = 65'536;  // a power of two, twice the number of series
constexpr size_t label_bytes = size_t{4} << 20;
constexpr uint32_t line_cells = 8;     // cells of one cache line
// What only overflow series may use: every family has room for one.
constexpr size_t reserved_series = Metrics::max_families;
constexpr size_t reserved_cells = 4096;
constexpr size_t reserved_labels = reserved_series * 16;
constexpr std::string_view overflow_labels = "overflow=\"true\"";

uint64_t hash_of(uint32_t family, std::string_view labels) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ (family * 0x9e3779b97f4a7c15ULL);
  for (const char c : labels) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash ^ (hash >> 29);
}

template <class T>
T acquire(const T& place) {
  return __atomic_load_n(&place, __ATOMIC_ACQUIRE);
}

template <class T>
void publish(T& place, T value) {
  __atomic_store_n(&place, value, __ATOMIC_RELEASE);
}

}  // namespace

struct Metrics::SharedFamily {
  char name[96];
  char help[256];
  Kind kind;
  uint32_t bound_count;
  uint64_t bounds[max_buckets];
};

struct Metrics::Series {
  uint64_t hash;
  uint32_t family;
  uint32_t cell;
  uint32_t label_offset;
  uint32_t label_size;
};

struct Metrics::Shared {
  uint32_t family_count;
  uint32_t series_count;
  uint32_t cell_count;  // taken so far; cell 0 is the void
  uint32_t label_count;
  uint64_t overflowed;
  uint32_t stripes_used;  // stripes that were ever taken
  int32_t stripe_owner[max_stripes];
  SharedFamily family[max_families];
  Series series[max_series];
  uint32_t index[index_size];  // number of the series + 1
  char labels[label_bytes];
  alignas(Slab::page_size) uint64_t cells[max_stripes + 1][max_cells];  // the last stripe is the void
};

// ---------------------------------------------------------------- life and stripes

Result<std::unique_ptr<Metrics>> Metrics::open(Slab& slab) {
  const Result<Slab::Zone> zone = slab.zone("metrics", "metrics", 1, sizeof(Shared));
  if (!zone.ok()) return zone.error();
  auto* shared = static_cast<Shared*>(zone.value().memory);
  {
    const Slab::Lock lock(slab);
    if (shared->cell_count == 0) shared->cell_count = line_cells;
  }
  return std::unique_ptr<Metrics>(new Metrics(slab, *shared));
}

Metrics::Metrics(Slab& slab, Shared& shared) : slab_(slab), shared_(shared), stripe_(shared.cells[max_stripes]) {}

Metrics::~Metrics() {
  if (owner_ == ::getpid()) release_stripe(owner_);
}

Result<void> Metrics::acquire_stripe() {
  const Slab::Lock lock(slab_);
  stripe_ = shared_.cells[max_stripes];
  for (size_t i = 0; i < max_stripes; ++i) {
    if (shared_.stripe_owner[i] != 0) continue;
    owner_ = ::getpid();
    publish(shared_.stripe_owner[i], owner_);
    publish(shared_.stripes_used, std::max(shared_.stripes_used, static_cast<uint32_t>(i + 1)));
    stripe_ = shared_.cells[i];
    return {};
  }
  owner_ = 0;
  return Error{Code::exhausted, "more than " + std::to_string(max_stripes) + " processes want to count", 0};
}

void Metrics::release_stripe(int32_t pid) {
  const Slab::Lock lock(slab_);
  for (size_t i = 0; i < max_stripes; ++i) {
    if (pid == 0 || shared_.stripe_owner[i] != pid) continue;
    zero_gauges(i);
    publish(shared_.stripe_owner[i], 0);
  }
  if (pid != owner_ || pid != ::getpid()) return;
  stripe_ = shared_.cells[max_stripes];
  owner_ = 0;
}

void Metrics::release_dead_stripes() {
  for (const int32_t& owner : shared_.stripe_owner) {
    const int32_t pid = acquire(owner);
    if (pid != 0 && ::kill(pid, 0) != 0 && errno == ESRCH) release_stripe(pid);
  }
}

void Metrics::zero_gauges(size_t stripe) {
  for (uint32_t i = 0; i < shared_.series_count; ++i) {
    const Series& series = shared_.series[i];
    if (shared_.family[series.family].kind == Kind::gauge) __atomic_store_n(&shared_.cells[stripe][series.cell], 0, __ATOMIC_RELAXED);
  }
}

// ---------------------------------------------------------------- the directory

uint32_t Metrics::find_family(std::string_view name) const {
  const uint32_t count = acquire(shared_.family_count);
  for (uint32_t i = 0; i < count; ++i) {
    if (name == shared_.family[i].name) return i;
  }
  return max_families;
}

// Requires: locked.
uint32_t Metrics::make_family(std::string_view name, Kind kind, std::string_view help, std::span<const uint64_t> bounds) {
  const uint32_t known = find_family(name);
  if (known != max_families || shared_.family_count == max_families) return known;
  GOMA_CHECK(name.size() < sizeof SharedFamily::name && bounds.size() <= max_buckets);
  SharedFamily& family = shared_.family[shared_.family_count];
  family = SharedFamily{};
  name.copy(family.name, name.size());
  help.copy(family.help, sizeof family.help - 1);
  family.kind = kind;
  family.bound_count = static_cast<uint32_t>(bounds.size());
  std::copy(bounds.begin(), bounds.end(), family.bounds);
  publish(shared_.family_count, shared_.family_count + 1);
  return shared_.family_count - 1;
}

void Metrics::describe(std::string_view family, Kind kind, std::string_view help, std::span<const uint64_t> bounds) {
  if (find_family(family) != max_families) return;
  const Slab::Lock lock(slab_);
  make_family(family, kind, help, bounds);
}

const Metrics::Series* Metrics::find(uint32_t family, std::string_view labels, uint64_t hash) const {
  for (uint64_t at = hash;; ++at) {
    const uint32_t number = acquire(shared_.index[at % index_size]);
    if (number == 0) return nullptr;
    const Series& series = shared_.series[number - 1];
    if (series.hash != hash || series.family != family) continue;
    if (labels == std::string_view(shared_.labels + series.label_offset, series.label_size)) return &series;
  }
}

void Metrics::enter_index(uint32_t number) {
  for (uint64_t at = shared_.series[number].hash;; ++at) {
    uint32_t& place = shared_.index[at % index_size];
    if (place == number + 1) return;
    if (place != 0) continue;
    publish(place, number + 1);
    return;
  }
}

void Metrics::heal_index() {
  if (shared_.series_count > 0) enter_index(shared_.series_count - 1);
}

// Appends a series; null when it would use what is kept for others. Requires: locked, not there yet.
const Metrics::Series* Metrics::make(uint32_t family, std::string_view labels, uint64_t hash, size_t reserve) {
  const SharedFamily& described = shared_.family[family];
  const uint32_t cells = described.kind == Kind::histogram ? described.bound_count + 2 : 1;
  const bool fits = shared_.series_count + 1 + (reserve != 0 ? reserved_series : 0) <= max_series &&
                    shared_.cell_count + cells + (reserve != 0 ? reserved_cells : 0) <= max_cells &&
                    shared_.label_count + labels.size() + (reserve != 0 ? reserved_labels : 0) <= label_bytes;
  if (!fits) return nullptr;
  Series& series = shared_.series[shared_.series_count];
  series = Series{hash, family, shared_.cell_count, shared_.label_count, static_cast<uint32_t>(labels.size())};
  labels.copy(shared_.labels + shared_.label_count, labels.size());
  // Taken first: who dies here loses the room, nobody gets it twice.
  shared_.cell_count += cells;
  shared_.label_count += static_cast<uint32_t>(labels.size());
  publish(shared_.series_count, shared_.series_count + 1);
  enter_index(shared_.series_count - 1);
  return &series;
}

const Metrics::Series* Metrics::find_or_make(std::string_view name, std::string_view labels, Kind kind) {
  uint32_t family = find_family(name);
  if (family == max_families) {
    const Slab::Lock lock(slab_);
    family = make_family(name, kind, {}, {});
  }
  if (family == max_families || shared_.family[family].kind != kind) return nullptr;
  const uint64_t hash = hash_of(family, labels);
  if (const Series* series = find(family, labels, hash)) return series;
  const Slab::Lock lock(slab_);
  heal_index();  // before looking again: what is missing may be this very series
  if (const Series* series = find(family, labels, hash)) return series;
  if (const Series* series = make(family, labels, hash, 1)) return series;
  __atomic_add_fetch(&shared_.overflowed, 1, __ATOMIC_RELAXED);
  const uint64_t overflow_hash = hash_of(family, overflow_labels);
  if (const Series* series = find(family, overflow_labels, overflow_hash)) return series;
  return make(family, overflow_labels, overflow_hash, 0);
}

Metrics::Cell Metrics::counter(std::string_view family, std::string_view labels) {
  const Series* series = find_or_make(family, labels, Kind::counter);
  return Cell{series != nullptr ? series->cell : 0};
}

Metrics::Cell Metrics::gauge(std::string_view family, std::string_view labels) {
  const Series* series = find_or_make(family, labels, Kind::gauge);
  return Cell{series != nullptr ? series->cell : 0};
}

Metrics::Histogram Metrics::histogram(std::string_view family, std::string_view labels) {
  const Series* series = find_or_make(family, labels, Kind::histogram);
  if (series == nullptr) return {};
  const SharedFamily& described = shared_.family[series->family];
  return Histogram{series->cell, described.bound_count, described.bounds};
}

void Metrics::reserve(std::span<Wanted> wanted) {
  {
    // The group begins a cache line, if there is room to waste.
    const Slab::Lock lock(slab_);
    const uint32_t aligned = (shared_.cell_count + line_cells - 1) / line_cells * line_cells;
    if (aligned + reserved_cells < max_cells) shared_.cell_count = aligned;
  }
  for (Wanted& one : wanted) {
    const Series* series = find_or_make(one.family, one.labels, one.kind);
    one.index = series != nullptr ? series->cell : 0;
  }
}

// ---------------------------------------------------------------- reading

uint64_t Metrics::sum(uint32_t index) const {
  uint64_t total = 0;
  const uint32_t used = acquire(shared_.stripes_used);
  for (uint32_t i = 0; i < used; ++i) total += __atomic_load_n(&shared_.cells[i][index], __ATOMIC_RELAXED);
  return total;
}

void Metrics::visit(const Visit& visit) const {
  const uint32_t count = acquire(shared_.series_count);
  std::vector<std::vector<uint32_t>> members(acquire(shared_.family_count));
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t family = shared_.series[i].family;
    if (family < members.size()) members[family].push_back(i);
  }
  std::vector<uint64_t> values;
  for (size_t f = 0; f < members.size(); ++f) {
    const SharedFamily& described = shared_.family[f];
    const Family family{described.name, described.help, described.kind, {described.bounds, described.bound_count}};
    const size_t cells = family.kind == Kind::histogram ? described.bound_count + size_t{2} : 1;
    for (const uint32_t number : members[f]) {
      const Series& series = shared_.series[number];
      values.clear();
      for (uint32_t i = 0; i < cells; ++i) values.push_back(sum(series.cell + i));
      visit(family, {shared_.labels + series.label_offset, series.label_size}, values);
    }
  }
}

int64_t Metrics::value(std::string_view family, std::string_view labels) const {
  const uint32_t number = find_family(family);
  if (number == max_families) return 0;
  const Series* series = find(number, labels, hash_of(number, labels));
  return series != nullptr ? static_cast<int64_t>(sum(series->cell)) : 0;
}

uint64_t Metrics::series() const { return acquire(shared_.series_count); }

uint64_t Metrics::overflowed() const { return __atomic_load_n(&shared_.overflowed, __ATOMIC_RELAXED); }

uint64_t Metrics::stripes_taken() const {
  return static_cast<uint64_t>(std::count_if(std::begin(shared_.stripe_owner), std::end(shared_.stripe_owner), [](const int32_t& pid) { return acquire(pid) != 0; }));
}

// ---------------------------------------------------------------- labels

std::string metric_labels(std::initializer_list<std::pair<std::string_view, std::string_view>> labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out += ',';
    out.append(name).append("=\"");
    for (const char32_t c : decode_utf8(value)) {
      if (c == U'\\' || c == U'"') out += '\\';
      if (c == U'\n') {
        out += "\\n";
      } else {
        append_utf8(out, c);
      }
    }
    out += '"';
  }
  return out;
}

}  // namespace goma::core
