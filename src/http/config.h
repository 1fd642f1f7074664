// SPDX-License-Identifier: Apache-2.0
//
// Goma's configuration as plain structs. The member initialisers are the defaults, the tables in config_tables.cc
// name the keys, and config_load.cc reads, merges and checks. Times are whole seconds unless the type is Duration.
//
// The invariant: a Config that load_config returned is complete and consistent - every middleware a route names
// exists, every name is unique, every target is a URL - so building a site from it looks nothing up in vain.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/describe.h"
#include "core/problem.h"
#include "core/redis_settings.h"
#include "core/schema.h"
#include "core/source.h"
#include "core/yaml.h"

namespace goma::http {

struct ProxyProtocolConf {
  std::vector<core::PlacedText> trusted;  // IP, CIDR or "unix:"; whoever connects from there begins with a PROXY header
};

struct EntryPointConf {
  core::PlacedText address{"[::]:8080", {}};  // IP:port, :port or unix:path
  bool h2c = false;                           // HTTP/2 without TLS, by its preface
  ProxyProtocolConf proxy_protocol;
};

struct SecureEntryPointConf {
  core::PlacedText address{"[::]:8443", {}};
  bool http2 = true;
  ProxyProtocolConf proxy_protocol;
  const core::yaml::Node* node = nullptr;
};

// TLS connections for some server names, and where they go.
struct SniConf {
  std::vector<core::PlacedText> hosts;
  std::vector<core::PlacedText> targets;
  core::Place place;
};

// One port of passThrough and where it leads.
struct ForwardConf {
  std::string protocol = "tcp";            // tcp udp tcp/udp
  int port = 0;
  core::PlacedText address;                // an IP address; empty = all
  core::PlacedText target;                 // host:port
  std::vector<core::PlacedText> targets;   // more of them
  core::Duration connect_timeout = core::Duration::from_seconds(10);
  std::optional<core::Duration> idle_timeout;  // absent: none with TCP, 5 minutes with UDP
  std::optional<int> max_connections;      // per worker; absent: 0 with TCP, 1024 with UDP
  int proxy_protocol = 0;                  // version of the header a target is sent
  std::vector<SniConf> sni;
  core::Place place;
  const core::yaml::Node* node = nullptr;
};

struct PassThroughConf {
  std::vector<ForwardConf> forwards;
};

struct EntryPointsConf {
  EntryPointConf web;
  SecureEntryPointConf web_secure;
  PassThroughConf pass_through;
};

// A certificate with its chain, and its key: each a path, PEM, or base64 of PEM.
struct KeyPairConf {
  core::PlacedText cert;
  core::PlacedText key;
  core::PlacedText ocsp;  // a file with a response in DER; empty = none is shown
  const core::yaml::Node* node = nullptr;
};

struct ClientAuthConf {
  core::PlacedText client_ca;  // path, PEM or base64 of PEM; empty = clients are not asked
  bool required = false;
  const core::yaml::Node* node = nullptr;
};

struct TlsConf {
  core::PlacedText certs_dir{"/etc/goma/certs", {}};
  std::vector<KeyPairConf> certificates;
  std::vector<KeyPairConf> keys;  // old spelling; replaces certificates when there are any
  KeyPairConf default_pair;
  ClientAuthConf client_auth;
  std::string min_version = "1.2";
  core::PlacedText ciphers;  // of TLS 1.2, as OpenSSL writes them; empty = Mozilla's intermediate profile
  core::PlacedText curves;
  bool ocsp_stapling = false;
  const core::yaml::Node* node = nullptr;
};

struct RouteTlsConf {
  KeyPairConf certificate;
  core::PlacedText provider;
  ClientAuthConf client_auth;  // of the route's hosts
  const core::yaml::Node* node = nullptr;
};

struct TimeoutsConf {
  int read = 60;    // a request's arrival, first to last byte; 0 = none
  int write = 60;   // without progress while a response is written; 0 = none
  int idle = 60;    // a kept-alive connection between requests; 0 = none
  int header = 10;  // a request's head
  int body = 60;    // without progress while a request body arrives; used when read is 0 too
  int tunnel = 0;   // a WebSocket or other upgraded connection without a byte either way; 0 = none
  int worker = 5;   // silence of a worker or the manager, after which it is replaced; 0 = none
  int drain = 30;   // grace for long exchanges on a graceful stop; 0 = none, below 0 = no end to it
};

struct LogConf {
  std::string level = "error";   // trace debug info warn error off
  std::string format = "text";   // text json
  core::PlacedText file_path;    // "" = standard output
  int max_age_days = 7;
  int max_backups = 3;
  int max_size_mb = 100;
  std::string access = "auto";   // auto on off; auto = when the level is info or lower
  std::string access_format = "goma";  // goma combined
};

struct DnsCacheConf {
  int ttl = 300;
  bool clear_on_reload = false;
  std::vector<core::PlacedText> resolver;  // ip[:port]
};

struct TransportConf {
  bool insecure_skip_verify = false;
  bool disable_compression = false;
  int max_idle_conns = 512;
  int max_idle_conns_per_host = 256;
  int max_conns_per_host = 256;
  int tls_handshake_timeout = 0;
  int response_header_timeout = 0;
  int idle_conn_timeout = 90;
  bool force_attempt_http2 = true;
};

struct PassiveHealthConf {
  bool enabled = true;
  int max_fails = 2;
  core::Duration eject_for = core::Duration::from_seconds(10);
};

struct Http2Conf {
  int max_concurrent_streams = 100;
  int stream_window = 256 * 1024;      // request body bytes that may be on their way, per stream
  int connection_window = 256 * 1024;  // and per connection
};

struct NetworkingConf {
  DnsCacheConf dns_cache;
  TransportConf transport;
  PassiveHealthConf passive_health_check;
  Http2Conf http2;
  int max_connections = 0;          // client connections per worker; 0 = from the descriptor limit
  int max_connections_per_address = 0;  // per worker and client address; 0 = no limit
  int min_rate = 240;               // bytes per second a client must keep; 0 = none
  int max_header_bytes = 65536;     // of a request head, line included
  int max_headers = 100;
  int max_request_line = 16384;
  int backend_max_header_bytes = 2 << 20;  // of a response head
  int backend_max_headers = 10'000;
  bool backend_strict = false;      // responses with oddities are refused
  int queue = 1024;                 // requests waiting for a connection, per backend
  int queue_timeout = 5;
  int connect_timeout = 5;
  int retries = 1;
  std::string encoded_slash = "keep";  // keep refuse decode
};

struct ProxyConf {
  bool enabled = false;
  std::vector<core::PlacedText> trusted_proxies;  // IP, CIDR or "unix:"
  std::vector<std::string> ip_headers{"X-Forwarded-For", "X-Real-IP"};
};

struct MonitoringMiddlewareConf {
  std::vector<core::PlacedText> metrics;
  std::vector<core::PlacedText> route_health_check;
};

struct MonitoringConf {
  bool enable_metrics = false;
  std::string metrics_path = "/metrics";
  core::PlacedText host;
  core::Duration visitor_ttl = core::Duration::from_seconds(300);
  bool enable_readiness = true;
  bool enable_liveness = true;
  bool enable_route_health_check = false;
  bool include_route_health_errors = false;
  MonitoringMiddlewareConf middleware;
};

struct ExtraConfigConf {
  core::PlacedText directory;  // empty = none
  bool watch = false;
};

struct DefaultsConf {
  std::vector<core::PlacedText> middlewares;
};

struct BackendConf {
  core::PlacedText endpoint;
  int weight = 0;
  core::Place place;
};

struct BackendTlsConf {
  bool insecure_skip_verify = false;
  core::PlacedText root_cas;              // file, PEM or base64 of PEM; empty: the machine's
  core::PlacedText client_cert, client_key;
  core::PlacedText server_name;
};

struct RouteSecurityConf {
  bool forward_host_headers = true;
  BackendTlsConf tls;
};

struct RouteConf {
  core::PlacedText name;
  core::PlacedText path;
  std::vector<core::PlacedText> hosts;    // blank items dropped
  std::vector<core::PlacedText> methods;  // empty = all
  std::string rewrite;
  core::PlacedText target;                // ignored when backends is not empty
  std::vector<BackendConf> backends;
  int priority = 0;
  bool enabled = true;
  std::string backend_protocol = "auto";  // auto http1 h2c
  RouteSecurityConf security;
  std::vector<core::PlacedText> middlewares;  // gateway defaults already in front
  RouteTlsConf tls;
  bool disable_metrics = false;
  std::optional<bool> disable_host_forwarding;  // old spellings; folded into security by load_config
  std::optional<bool> insecure_skip_verify;
  core::Place place;                      // of the route's mapping
  const core::yaml::Node* node = nullptr;
};

struct MiddlewareConf {
  core::PlacedText name;
  core::PlacedText type;
  std::vector<core::PlacedText> paths;
  const core::yaml::Node* rule = nullptr;  // null when absent; owned by the Config
  core::Place place;
  const core::yaml::Node* node = nullptr;
};

struct RedisTlsConf {
  std::optional<bool> enabled;            // absent: when any other key says something
  core::PlacedText ca;                    // file, PEM or base64 of PEM; empty: the machine's
  core::PlacedText client_cert, client_key;
  core::PlacedText server_name;
  bool insecure_skip_verify = false;
  std::string min_version = "1.2", max_version = "1.3";
  core::Place place;
};

// gateway.redis as it was read; after load_config what it means is in `addresses`, `mode` and our own keys.
struct RedisConf {
  std::optional<std::string> mode;
  std::optional<core::PlacedText> addr;
  std::vector<core::PlacedText> addrs;
  std::optional<core::PlacedText> master_name, username;
  core::PlacedText password, sentinel_password;
  std::optional<core::PlacedText> sentinel_username;
  int db = 0;
  core::PlacedText timeout = {"50ms", {}};
  core::Duration connect_timeout = core::Duration::from_seconds(1);
  int max_in_flight = 4096;
  bool flush_on_startup = false, flush_cluster = false;
  core::PlacedText name, key_prefix;
  RedisTlsConf tls;
  // What Tyk's programs write; folded into the keys above by fold_redis.
  std::optional<core::PlacedText> type, host;
  std::optional<int> port;
  const core::yaml::Node* hosts = nullptr;  // a map host: port, or a list of addresses
  std::optional<bool> enable_cluster, use_ssl, ssl_insecure_skip_verify;
  std::optional<core::PlacedText> ca_file, cert_file, key_file, tls_min_version, tls_max_version;
  std::optional<int64_t> max_idle, max_active, max_decompressed_size;  // from here on without effect
  std::optional<bool> compress_api_definitions, compress_policies;
  const core::yaml::Node* iam_auth = nullptr;
  core::Place place;
  const core::yaml::Node* node = nullptr;

  std::vector<core::RedisAddress> addresses;  // none: no Redis
  core::Duration deadline;                    // of a command
  bool uses_tls = false;
  std::map<std::string, std::string> moved;   // "tls.clientCa" -> "ca_file": whose value it has
};

struct SharedMemoryConf {
  core::Size limits{uint64_t{16} << 20};
};

struct GatewayConf {
  EntryPointsConf entry_points;
  TlsConf tls;
  TimeoutsConf timeouts;
  LogConf log;
  NetworkingConf networking;
  ProxyConf proxy;
  MonitoringConf monitoring;
  ExtraConfigConf extra_config;
  DefaultsConf defaults;
  RedisConf redis;
  SharedMemoryConf shared_memory;
  bool strict_slash = true;
  std::vector<RouteConf> routes;  // main file first, then extraConfig files in lexical order
  // Old spellings; folded into the sections above by load_config.
  std::optional<int> read_timeout, write_timeout, idle_timeout;
  std::optional<bool> enable_metrics;
  const core::yaml::Node* node = nullptr;
};

struct Config {
  std::string version;
  GatewayConf gateway;
  std::vector<MiddlewareConf> middlewares;
  const core::yaml::Node* node = nullptr;

  std::string path;                          // the main file, as it was asked for
  std::vector<std::unique_ptr<core::yaml::Document>> documents;  // what `rule` and `node` point into
  std::map<std::string, std::string> environment;  // "gateway.log.level" -> "GOMA_LOG_LEVEL": variables that won

  // Whether anything of HTTPS is configured, so that entryPoints.webSecure listens.
  bool serves_https() const;
  // The middleware of that name, or null.
  const MiddlewareConf* find_middleware(std::string_view name) const;
};

// Further rules over a configuration, for those who know the modules: types, and the rules of middlewares.
using CheckMore = std::function<void(const Config& config, core::Problems& problems)>;

// Reads the main file and extraConfig, merges, applies the environment, and checks everything that needs no module.
// `more` is called whenever the file could be parsed, with what could be read of it even if that has errors already, so
// that one run tells everything. Null when problems has errors.
std::unique_ptr<Config> load_config(core::Source& source, const std::string& path, core::Problems& problems, const CheckMore& more = {});

// Every middleware's type must be one of `implemented`; types that Goma knows are [not-implemented], others
// [unknown-type] with a suggestion.
void check_types(const Config& config, std::span<const std::string_view> implemented, core::Problems& problems);

// Reads a middleware's rule with its module's table (liberal: keys of any case). An absent rule is an empty one.
// False when it has errors.
bool read_rule(const MiddlewareConf& middleware, std::span<const core::Field> fields, void* into, core::Problems& problems);

// The merged configuration with defaults filled in, secrets masked, and the origin of every value (`goma -T`).
std::string effective_yaml(const Config& config);

// The starter file that `goma config init` writes: loads and serves as it is.
std::string config_init_text();

// The tables of the whole file, for core/describe; module rule tables are appended by the caller.
core::DescribeInput describe_input();

}  // namespace goma::http
