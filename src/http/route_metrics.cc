// SPDX-License-Identifier: Apache-2.0
//
// The names of what is counted, and the cells behind them. Goma's names are its own (dashboards use them); ours begin
// with goma_ and pass promtool.
#include "http/route_metrics.h"

#include <array>
#include <map>
#include <utility>
#include <vector>

#include "core/metric.h"
#include "http/ending.h"

namespace goma::http {

namespace {

using core::Metrics;
using Kind = core::Metrics::Kind;

// Microseconds; Goma's buckets.
constexpr uint64_t buckets[] = {5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};

constexpr std::string_view requests = "gateway_requests_total";
constexpr std::string_view statuses = "gateway_response_status_total";
constexpr std::string_view durations = "gateway_request_duration_seconds";
constexpr std::string_view upstream_durations = "gateway_upstream_duration_seconds";
constexpr std::string_view request_bytes_total = "gateway_request_bytes_total";
constexpr std::string_view response_bytes_total = "gateway_response_bytes_total";
constexpr std::string_view ejections = "gateway_backend_ejections_total";
constexpr std::string_view judged_alone = "goma_backend_health_alone";
constexpr std::string_view backend_opened = "goma_backend_connections_opened_total";
constexpr std::string_view backend_connections = "goma_backend_connections";
constexpr std::string_view backend_idle = "goma_backend_connections_idle";
constexpr std::string_view backend_waiting = "goma_backend_queue_length";
constexpr std::string_view backend_stale = "goma_backend_addresses_stale";
constexpr std::string_view backend_errors = "goma_backend_errors_total";
constexpr std::string_view backend_oddities = "goma_backend_oddities_total";
constexpr std::string_view accepted_total = "goma_connections_accepted_total";
constexpr std::string_view active_connections = "goma_connections_active";
constexpr std::string_view refused_total = "goma_connections_refused_total";
constexpr std::string_view shed_total = "goma_connections_shed_total";
constexpr std::string_view exchanges = "goma_requests_total";
constexpr std::string_view parse_errors = "goma_parse_errors_total";
constexpr std::string_view dropped_fields = "goma_request_fields_dropped_total";
constexpr std::string_view handshakes = "goma_tls_handshakes_total";
constexpr std::string_view handshake_failures = "goma_handshake_failures_total";
constexpr std::string_view abuses = "goma_http2_abuse_total";
constexpr std::string_view streams_refused = "goma_http2_refused_streams_total";
constexpr std::string_view limited_apart_total = "goma_limit_apart_decisions_total";
constexpr std::string_view limited_total = "goma_rate_limited_total";
constexpr std::string_view cached_total = "goma_cache_requests_total";
constexpr std::string_view stored_total = "goma_cache_stored_total";
constexpr std::string_view stored_bytes = "goma_cache_stored_bytes_total";
constexpr std::string_view not_stored_total = "goma_cache_refused_total";
constexpr std::string_view retries = "goma_backend_retries_total";
constexpr std::string_view tunnels = "goma_tunnels_opened_total";
constexpr std::string_view active_tunnels = "goma_tunnels_active";
constexpr std::string_view received_bytes = "goma_received_bytes_total";
constexpr std::string_view sent_bytes = "goma_sent_bytes_total";

struct Family {
  std::string_view name;
  Kind kind;
  std::string_view help;
};

constexpr Family families[] = {
    {requests, Kind::counter, "Requests that reached a route."},
    {statuses, Kind::counter, "Answers by status."},
    {durations, Kind::histogram, "Time from the request's head to the end of its answer."},
    {upstream_durations, Kind::histogram, "Time a backend took."},
    {request_bytes_total, Kind::counter, "Content-Length of requests."},
    {response_bytes_total, Kind::counter, "Body bytes sent to clients."},
    {ejections, Kind::counter, "Times a backend was taken out after failures."},
    {judged_alone, Kind::gauge, "Backends whose failures a worker counts for itself, for lack of room in shared memory."},
    {backend_opened, Kind::counter, "Connections established to a backend."},
    {backend_connections, Kind::gauge, "Connections to a backend, idle ones included."},
    {backend_idle, Kind::gauge, "Connections to a backend that wait to be used again."},
    {backend_waiting, Kind::gauge, "Requests that wait for a connection to a backend."},
    {backend_stale, Kind::gauge, "Workers for which a backend's name could not be looked up when it was asked last: its last addresses serve."},
    {backend_errors, Kind::counter, "Failures of connections and attempts by reason."},
    {backend_oddities, Kind::counter, "Oddities of responses that passed, and would not with networking.backendStrict, by reason."},
    {accepted_total, Kind::counter, "Client connections accepted."},
    {active_connections, Kind::gauge, "Client connections open."},
    {refused_total, Kind::counter, "Client connections not served, by reason."},
    {shed_total, Kind::counter, "Slow client connections cut to make room."},
    {exchanges, Kind::counter, "Requests by the way they ended, those without a route included."},
    {parse_errors, Kind::counter, "Requests refused by the parser, by reason."},
    {dropped_fields, Kind::counter, "Request fields dropped because only a trusted proxy may send them, or for their spelling."},
    {handshakes, Kind::counter, "TLS handshakes with clients, by version and whether a session was resumed."},
    {handshake_failures, Kind::counter, "Client connections that ended before HTTP began, by reason."},
    {abuses, Kind::counter, "HTTP/2 connections ended for their behaviour, by kind."},
    {streams_refused, Kind::counter, "HTTP/2 streams refused or reset for a limit of their connection, by reason."},
    {limited_total, Kind::counter, "Requests turned away by a rate limit: refused, or banned."},
    {limited_apart_total, Kind::counter, "Decisions on shared limits made without Redis, which could not be reached."},
    {cached_total, Kind::counter, "Requests that met a response cache, by what came of it."},
    {stored_total, Kind::counter, "Responses stored."},
    {stored_bytes, Kind::counter, "Body bytes of responses stored."},
    {not_stored_total, Kind::counter, "Responses that were to be stored and found no room."},
    {retries, Kind::counter, "Further attempts at a backend."},
    {tunnels, Kind::counter, "Connections that became tunnels (WebSocket and the like)."},
    {active_tunnels, Kind::gauge, "Tunnels open."},
    {received_bytes, Kind::counter, "Body bytes received from clients."},
    {sent_bytes, Kind::counter, "Body bytes sent to clients, tunnels included."},
};

constexpr size_t methods = static_cast<size_t>(Method::other) + 1;
constexpr size_t endings = static_cast<size_t>(Ending::internal) + 1;

std::string_view refusal_name(Refusal reason) {
  static constexpr std::string_view names[] = {"connection-limit", "address-limit", "descriptors", "memory"};
  return names[static_cast<size_t>(reason)];
}

}  // namespace

// ---------------------------------------------------------------- routes

struct RouteMetrics::Series {
  // What one method of the route needs.
  struct Group {
    Metrics::Cell requests;
    Metrics::Cell request_bytes;
    Metrics::Cell response_bytes;
    Metrics::Histogram duration;
    std::vector<std::pair<int, Metrics::Cell>> statuses;
  };

  Series(Metrics& m, std::string_view route_name) : metrics(m), name(route_name) {}

  Group& group(Method method) {
    std::unique_ptr<Group>& place = groups[static_cast<size_t>(method)];
    if (!place) place = make_group(method);
    return *place;
  }

  std::unique_ptr<Group> make_group(Method method) {
    const std::string labels = core::metric_labels({{"name", name}, {"method", method_name(method)}});
    Metrics::Wanted wanted[] = {{requests, labels}, {request_bytes_total, labels}, {response_bytes_total, labels}, {durations, labels, Kind::histogram}};
    metrics.reserve(wanted);
    auto made = std::make_unique<Group>();
    made->requests = wanted[0].cell();
    made->request_bytes = wanted[1].cell();
    made->response_bytes = wanted[2].cell();
    made->duration = metrics.histogram(durations, labels);
    return made;
  }

  Metrics::Cell status(Group& group, Method method, int status) {
    for (const auto& [known, cell] : group.statuses) {
      if (known == status) return cell;
    }
    const std::string text = std::to_string(status);
    const Metrics::Cell cell = metrics.counter(statuses, core::metric_labels({{"status", text}, {"name", name}, {"method", method_name(method)}}));
    group.statuses.emplace_back(status, cell);
    return cell;
  }

  const Metrics::Histogram& upstream() {
    if (upstream_duration.count == 0) upstream_duration = metrics.histogram(upstream_durations, core::metric_labels({{"name", name}}));
    return upstream_duration;
  }

  Metrics& metrics;
  std::string name;
  std::array<std::unique_ptr<Group>, methods> groups;
  Metrics::Histogram upstream_duration;
};

RouteMetrics::RouteMetrics(core::Metrics& metrics, std::string_view route_name) : series_(std::make_unique<Series>(metrics, route_name)) {}

RouteMetrics::~RouteMetrics() = default;

void RouteMetrics::record(Method method, int status, int64_t duration_us, int64_t upstream_us, uint64_t request_bytes, uint64_t response_bytes) {
  Series& series = *series_;
  Metrics& metrics = series.metrics;
  Series::Group& group = series.group(method);
  metrics.add(group.requests);
  metrics.add(group.request_bytes, request_bytes);
  metrics.add(group.response_bytes, response_bytes);
  metrics.observe(group.duration, duration_us > 0 ? static_cast<uint64_t>(duration_us) : 0);
  metrics.add(series.status(group, method, status));
  if (upstream_us >= 0) metrics.observe(series.upstream(), static_cast<uint64_t>(upstream_us));
}

// ---------------------------------------------------------------- backends

struct PeerMetrics::Series {
  Series(Metrics& m, std::string_view endpoint) : metrics(m), labels(core::metric_labels({{"backend", endpoint}})), name(endpoint) {
    Metrics::Wanted wanted[] = {{backend_opened, labels}, {backend_connections, labels, Kind::gauge}, {backend_idle, labels, Kind::gauge},
                                {backend_waiting, labels, Kind::gauge}, {ejections, labels}, {backend_stale, labels, Kind::gauge}};
    metrics.reserve(wanted);
    opened = wanted[0].cell();
    connections = wanted[1].cell();
    idle = wanted[2].cell();
    waiting = wanted[3].cell();
    ejected = wanted[4].cell();
    stale = wanted[5].cell();
  }

  Metrics& metrics;
  std::string labels;
  std::string name;
  Metrics::Cell opened, connections, idle, waiting, ejected, stale;
  std::array<Metrics::Cell, Failure::kinds> errors;
  std::array<Metrics::Cell, Failure::kinds> oddities;
};

PeerMetrics::PeerMetrics(core::Metrics& metrics, std::string_view endpoint) : series_(std::make_unique<Series>(metrics, endpoint)) {}

PeerMetrics::~PeerMetrics() = default;

void PeerMetrics::opened() { series_->metrics.add(series_->opened); }

void PeerMetrics::failed(Failure::Kind kind) {
  Metrics::Cell& cell = series_->errors[static_cast<size_t>(kind)];
  if (cell.index == 0) cell = series_->metrics.counter(backend_errors, core::metric_labels({{"backend", series_->name}, {"reason", failure_name(kind)}}));
  series_->metrics.add(cell);
}

void PeerMetrics::odd(Failure::Kind kind) {
  Metrics::Cell& cell = series_->oddities[static_cast<size_t>(kind)];
  if (cell.index == 0) cell = series_->metrics.counter(backend_oddities, core::metric_labels({{"backend", series_->name}, {"reason", failure_name(kind)}}));
  series_->metrics.add(cell);
}

void PeerMetrics::ejected() { series_->metrics.add(series_->ejected); }

void PeerMetrics::levels(size_t connections, size_t idle, size_t waiting, size_t stale) {
  series_->metrics.set(series_->connections, static_cast<int64_t>(connections));
  series_->metrics.set(series_->idle, static_cast<int64_t>(idle));
  series_->metrics.set(series_->waiting, static_cast<int64_t>(waiting));
  series_->metrics.set(series_->stale, static_cast<int64_t>(stale));
}

// ---------------------------------------------------------------- the worker

struct ServerMetrics::Series {
  explicit Series(Metrics& m) : metrics(m) {
    for (const Family& family : families) {
      if (family.kind == Kind::histogram) metrics.describe(family.name, family.kind, family.help, buckets);
      else metrics.describe(family.name, family.kind, family.help);
    }
    accepted = metrics.counter(accepted_total);
    active = metrics.gauge(active_connections);
    shed = metrics.counter(shed_total);
    retry = metrics.counter(retries);
    stored = metrics.counter(stored_total);
    bytes_stored = metrics.counter(stored_bytes);
    not_stored = metrics.counter(not_stored_total);
    tunnels_opened = metrics.counter(tunnels);
    tunnels_active = metrics.gauge(active_tunnels);
    alone = metrics.gauge(judged_alone);
    fields_dropped = metrics.counter(dropped_fields);
    received = metrics.counter(received_bytes);
    sent = metrics.counter(sent_bytes);
    for (size_t i = 0; i < ended.size(); ++i) {
      ended[i] = metrics.counter(exchanges, core::metric_labels({{"end", ending_name(static_cast<Ending>(i))}}));
    }
    for (size_t i = 0; i < refused.size(); ++i) {
      refused[i] = metrics.counter(refused_total, core::metric_labels({{"reason", refusal_name(static_cast<Refusal>(i))}}));
    }
  }

  // Counters of one family that differ in one label, made when they are first needed.
  struct Reasons {
    std::string_view family, label;
    std::vector<std::pair<std::string, Metrics::Cell>> cells;
  };
  static constexpr size_t max_reasons = 64;

  void count(Reasons& reasons, std::string_view reason) {
    for (const auto& [known, cell] : reasons.cells) {
      if (known == reason) return metrics.add(cell);
    }
    if (reasons.cells.size() == max_reasons) reason = "other";
    reasons.cells.emplace_back(reason, metrics.counter(reasons.family, core::metric_labels({{reasons.label, reason}})));
    metrics.add(reasons.cells.back().second);
  }

  Metrics& metrics;
  Metrics::Cell accepted, active, shed, retry, stored, bytes_stored, not_stored, tunnels_opened, tunnels_active, received, sent, apart, alone, fields_dropped;
  std::array<Metrics::Cell, endings> ended;
  std::array<Metrics::Cell, static_cast<size_t>(Refusal::memory) + 1> refused;
  Reasons parse_error{parse_errors, "reason", {}};
  Reasons failed_handshakes{handshake_failures, "reason", {}};
  Reasons abuse{abuses, "kind", {}};
  Reasons refused_stream{streams_refused, "reason", {}};
  Reasons limited{limited_total, "outcome", {}};
  Reasons cached{cached_total, "outcome", {}};
  std::map<std::pair<std::string_view, bool>, Metrics::Cell> handshake;  // versions are static texts
};

ServerMetrics::ServerMetrics(core::Metrics& metrics) : series_(std::make_unique<Series>(metrics)) {}

ServerMetrics::~ServerMetrics() = default;

void ServerMetrics::accepted() {
  series_->metrics.add(series_->accepted);
  series_->metrics.add(series_->active);
}

void ServerMetrics::closed() { series_->metrics.sub(series_->active); }

void ServerMetrics::refused(Refusal reason) { series_->metrics.add(series_->refused[static_cast<size_t>(reason)]); }

void ServerMetrics::shed() { series_->metrics.add(series_->shed); }

void ServerMetrics::exchange(size_t ending) { series_->metrics.add(series_->ended[ending]); }

void ServerMetrics::parse_error(std::string_view code) { series_->count(series_->parse_error, code); }

void ServerMetrics::fields_dropped(size_t n) { series_->metrics.add(series_->fields_dropped, n); }

void ServerMetrics::handshake(std::string_view version, bool resumed) {
  Metrics::Cell& cell = series_->handshake[{version, resumed}];
  if (cell.index == 0) cell = series_->metrics.counter(handshakes, core::metric_labels({{"version", version}, {"resumed", resumed ? "true" : "false"}}));
  series_->metrics.add(cell);
}

void ServerMetrics::handshake_failed(std::string_view reason) { series_->count(series_->failed_handshakes, reason.empty() ? "closed" : reason); }

void ServerMetrics::limited_apart() {
  if (series_->apart.index == 0) series_->apart = series_->metrics.counter(limited_apart_total);
  series_->metrics.add(series_->apart);
}

void ServerMetrics::limited(std::string_view outcome) { series_->count(series_->limited, outcome); }

void ServerMetrics::cached(std::string_view outcome) { series_->count(series_->cached, outcome); }

void ServerMetrics::response_stored(uint64_t bytes) {
  series_->metrics.add(series_->stored);
  series_->metrics.add(series_->bytes_stored, bytes);
}

void ServerMetrics::response_not_stored() { series_->metrics.add(series_->not_stored); }

void ServerMetrics::abuse(std::string_view kind) { series_->count(series_->abuse, kind); }

void ServerMetrics::stream_refused(std::string_view reason) { series_->count(series_->refused_stream, reason); }

void ServerMetrics::retry() { series_->metrics.add(series_->retry); }

void ServerMetrics::tunnel_opened() {
  series_->metrics.add(series_->tunnels_opened);
  series_->metrics.add(series_->tunnels_active);
}

void ServerMetrics::judges_alone(size_t backends) { series_->metrics.set(series_->alone, static_cast<int64_t>(backends)); }

void ServerMetrics::tunnel_closed() { series_->metrics.sub(series_->tunnels_active); }

void ServerMetrics::received(uint64_t bytes) { series_->metrics.add(series_->received, bytes); }

void ServerMetrics::sent(uint64_t bytes) { series_->metrics.add(series_->sent, bytes); }


core::Metrics& ServerMetrics::registry() { return series_->metrics; }

}  // namespace goma::http
