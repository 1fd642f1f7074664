// SPDX-License-Identifier: Apache-2.0
//
// Text out of cells: histograms become cumulative buckets and seconds, everything else is a number behind a name.
// What processes use is read from /proc for everyone in the process table; who cannot be read counts nothing.
#include "http/prometheus.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <vector>

#include "core/metric.h"
#include "core/cache_zone.h"
#include "core/limit_zone.h"
#include "core/slab.h"
#include "core/text.h"
#include "http/certificates.h"

namespace goma::http {

namespace {

using core::Metrics;
using Kind = core::Metrics::Kind;

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::counter: return "counter";
    case Kind::gauge: return "gauge";
    case Kind::histogram: return "histogram";
  }
  return "untyped";
}

// ---------------------------------------------------------------- writing

class Page {
 public:
  std::string text;

  void begin_family(std::string_view name, Kind kind, std::string_view help) {
    if (!help.empty()) {
      text.append("# HELP ").append(name).append(" ");
      for (const char c : help) text.append(c == '\n' ? "\\n" : c == '\\' ? "\\\\" : std::string_view(&c, 1));
      text += '\n';
    }
    fmt::format_to(out(), "# TYPE {} {}\n", name, kind_name(kind));
  }

  template <class Number>
  void sample(std::string_view name, std::string_view suffix, std::string_view labels, Number value) {
    text.append(name).append(suffix);
    if (!labels.empty()) text.append("{").append(labels).append("}");
    fmt::format_to(out(), " {}\n", value);
  }

  // A family with one series.
  template <class Number>
  void single(std::string_view name, Kind kind, std::string_view help, Number value, std::string_view labels = {}) {
    begin_family(name, kind, help);
    sample(name, "", labels, value);
  }

  void histogram(const Metrics::Family& family, std::string_view labels, std::span<const uint64_t> values) {
    const std::string_view comma = labels.empty() ? "" : ",";
    uint64_t count = 0;
    for (size_t i = 0; i <= family.bounds.size(); ++i) {
      count += values[i];
      const std::string bound = i < family.bounds.size() ? fmt::format("{:g}", static_cast<double>(family.bounds[i]) / 1e6) : "+Inf";
      fmt::format_to(out(), "{}_bucket{{{}{}le=\"{}\"}} {}\n", family.name, labels, comma, bound, count);
    }
    const uint64_t sum = values[family.bounds.size() + 1];
    sample(family.name, "_sum", labels, fmt::format("{}.{:06}", sum / 1'000'000, sum % 1'000'000));
    sample(family.name, "_count", labels, count);
  }

 private:
  std::back_insert_iterator<std::string> out() { return std::back_inserter(text); }
};

// ---------------------------------------------------------------- processes

struct Usage {
  double cpu_seconds = 0;
  uint64_t resident = 0;
  uint64_t virtual_size = 0;
  uint64_t descriptors = 0;
  uint64_t processes[4] = {};  // by ProcessTable::Role
  int64_t started_ms = 0;      // of the first master, else of the first process
};

std::string read_small(const std::string& path) {
  const core::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[2048];
  const ssize_t n = file ? ::read(file.get(), buffer, sizeof buffer) : -1;
  return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : std::string();
}

uint64_t count_descriptors(const std::string& directory) {
  struct stat status {};
  // Newer kernels tell the number as the size.
  if (::stat(directory.c_str(), &status) == 0 && status.st_size > 0) return static_cast<uint64_t>(status.st_size);
  DIR* open = ::opendir(directory.c_str());
  if (open == nullptr) return 0;
  uint64_t entries = 0;
  while (::readdir(open) != nullptr) ++entries;
  ::closedir(open);
  return entries > 2 ? entries - 2 : 0;
}

// Fields of /proc/PID/stat behind the name: 14 and 15 are CPU ticks, 16 and 17 those of children that ended (so that
// the sum does not step back with a worker), 23 the virtual size, 24 the resident pages (proc(5)).
void add_process(int32_t pid, bool with_ended_children, Usage& usage) {
  const std::string place = fmt::format("/proc/{}", pid);
  const std::string stat = read_small(place + "/stat");
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return;
  uint64_t ticks = 0;
  int field = 2;
  for (const std::string_view word : core::split(std::string_view(stat).substr(name_end + 1), ' ')) {
    if (word.empty()) continue;
    ++field;
    const uint64_t number = core::parse_u64(word).value_or(0);
    if (field == 14 || field == 15) ticks += number;
    if (with_ended_children && (field == 16 || field == 17)) ticks += number;
    if (field == 23) usage.virtual_size += number;
    if (field == 24) usage.resident += number * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  usage.cpu_seconds += static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  usage.descriptors += count_descriptors(place + "/fd");
}

Usage usage_of_all(core::Slab& slab) {
  using Role = core::ProcessTable::Role;
  Usage usage;
  const core::Result<core::ProcessTable> table = core::ProcessTable::open(slab);
  if (!table.ok()) return usage;
  bool master_seen = false;
  table.value().each([&](const core::ProcessTable::Entry& entry) {
    const bool is_master = entry.role == Role::master;
    add_process(entry.pid, is_master, usage);
    usage.processes[std::min<size_t>(static_cast<size_t>(entry.role), 3)]++;
    if (usage.started_ms == 0 || (is_master && !master_seen) || (is_master == master_seen && entry.started_ms < usage.started_ms)) {
      usage.started_ms = entry.started_ms;
    }
    master_seen = master_seen || is_master;
  });
  return usage;
}

// ---------------------------------------------------------------- what is known only now

void write_instance(const Scrape& scrape, const Usage& usage, Page& page) {
  const auto seconds = [](int64_t ms) { return static_cast<double>(ms) / 1000; };
  const int64_t started = usage.started_ms != 0 ? usage.started_ms : scrape.now_ms;
  page.single("gateway_uptime_seconds", Kind::gauge, "Time since the gateway was started.", seconds(scrape.now_ms - started));
  page.single("gateway_routes_count", Kind::gauge, "Routes of the configuration, disabled ones included.", scrape.routes);
  page.single("gateway_middlewares_count", Kind::gauge, "Middlewares of the configuration.", scrape.middlewares);
  page.single("gateway_realtime_visitors_count", Kind::gauge, "Distinct visitors (address and user agent) within visitorTTL.", scrape.visitors);
  page.single("goma_visitors_evicted_total", Kind::counter, "Visitors who were forgotten within visitorTTL, for lack of room.", scrape.visitors_evicted);
  page.single("goma_build_info", Kind::gauge, "Always 1; the labels tell what runs.", 1, core::metric_labels({{"version", scrape.version}}));
  page.single("goma_config_generation", Kind::gauge, "Number of the configuration in use; every reload adds one.", scrape.generation);
  page.begin_family("goma_processes", Kind::gauge, "Processes of the instance by role.");
  page.sample("goma_processes", "", "role=\"master\"", usage.processes[1]);
  page.sample("goma_processes", "", "role=\"worker\"", usage.processes[2]);
  page.sample("goma_processes", "", "role=\"manager\"", usage.processes[3]);
}

// Two certificates of one name (of different kinds of keys) are one series: the end that comes first matters.
void write_certificates(const Certificates& certificates, Page& page) {
  std::map<std::string_view, int64_t> ends;
  for (const Certificates::Entry& entry : certificates.entries()) {
    const std::vector<std::string>& names = entry.identity.names();
    const auto [end, fresh] = ends.try_emplace(names.empty() ? std::string_view(entry.source) : names.front(), entry.identity.not_after());
    if (!fresh) end->second = std::min(end->second, entry.identity.not_after());
  }
  if (ends.empty()) return;
  page.begin_family("goma_certificate_expiry_seconds", Kind::gauge, "When a certificate expires, in seconds since the Unix epoch; by its first name.");
  for (const auto& [name, end] : ends) page.sample("goma_certificate_expiry_seconds", "", core::metric_labels({{"name", name}}), end);
}

void write_shared_memory(const Scrape& scrape, Page& page) {
  const core::Slab::Usage slab = scrape.slab.usage();
  page.begin_family("goma_slab_bytes", Kind::gauge, "Shared memory by state; pages cost memory only once they are touched.");
  page.sample("goma_slab_bytes", "", "state=\"used\"", slab.taken);
  page.sample("goma_slab_bytes", "", "state=\"free\"", slab.size - slab.taken);
  page.single("goma_slab_lock_recoveries_total", Kind::counter, "Locks taken over from processes that died holding them.", slab.recovered);
  page.single("goma_metrics_series", Kind::gauge, "Series in shared memory.", scrape.metrics.series());
  page.single("goma_metrics_overflow_total", Kind::counter, "Look-ups of series for which there was no room.", scrape.metrics.overflowed());
  page.single("goma_metrics_stripes", Kind::gauge, "Processes that count.", scrape.metrics.stripes_taken());
}

void write_limits(const core::LimitZone& zone, Page& page) {
  const core::LimitZone::Losses lost = zone.losses();
  page.single("goma_limit_evicted_total", Kind::counter, "Clients who were forgotten while their limit still counted, for lack of room.", lost.evicted);
  page.single("goma_limit_crowded_total", Kind::counter, "Requests that could not be counted, because bans took all the room.", lost.crowded);
}

void write_store(const core::CacheZone& zone, Page& page) {
  const core::CacheZone::Usage usage = zone.usage();
  page.single("goma_cache_entries", Kind::gauge, "Responses, and notes about them, in the store.", usage.entries);
  page.begin_family("goma_cache_bytes", Kind::gauge, "The store for responses: room there is, and what entries take of it.");
  page.sample("goma_cache_bytes", "", "state=\"room\"", usage.bytes);
  page.sample("goma_cache_bytes", "", "state=\"entries\"", usage.entry_bytes);
  page.single("goma_cache_evicted_total", Kind::counter, "Entries that gave way to others.", usage.evicted);
  page.single("goma_cache_faulty_total", Kind::counter, "Entries that were found damaged, and dropped.", usage.faulty);
}

void write_processes(const Usage& usage, Page& page) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  page.single("process_cpu_seconds_total", Kind::counter, "User and system CPU time of all processes that run.", usage.cpu_seconds);
  page.single("process_resident_memory_bytes", Kind::gauge, "Resident memory, summed over processes.", usage.resident);
  page.single("process_virtual_memory_bytes", Kind::gauge, "Virtual memory, summed over processes.", usage.virtual_size);
  page.single("process_open_fds", Kind::gauge, "Open file descriptors, summed over processes.", usage.descriptors);
  page.single("process_max_fds", Kind::gauge, "Limit of open file descriptors of one process.", static_cast<uint64_t>(limit.rlim_cur));
  page.single("process_start_time_seconds", Kind::gauge, "Start of the gateway since the Unix epoch.", static_cast<double>(usage.started_ms) / 1000);
}

}  // namespace

std::string render_prometheus(const Scrape& scrape) {
  Page page;
  const Usage usage = usage_of_all(scrape.slab);
  write_instance(scrape, usage, page);
  if (scrape.certificates != nullptr) write_certificates(*scrape.certificates, page);
  std::string_view current;
  scrape.metrics.visit([&](const Metrics::Family& family, std::string_view labels, std::span<const uint64_t> values) {
    if (current.data() != family.name.data()) page.begin_family(family.name, family.kind, family.help);
    current = family.name;
    if (family.kind == Kind::histogram) {
      page.histogram(family, labels, values);
    } else if (family.kind == Kind::gauge) {
      page.sample(family.name, "", labels, static_cast<int64_t>(values[0]));
    } else {
      page.sample(family.name, "", labels, values[0]);
    }
  });
  if (scrape.limit_zone != nullptr) write_limits(*scrape.limit_zone, page);
  if (scrape.cache_zone != nullptr) write_store(*scrape.cache_zone, page);
  write_shared_memory(scrape, page);
  write_processes(usage, page);
  return std::move(page.text);
}

}  // namespace goma::http
