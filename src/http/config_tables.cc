// SPDX-License-Identifier: Apache-2.0
//
// Every key of the file, once: name, member, kind, range, old spelling, variable, one line of documentation. The
// reader, the messages, the schema, the reference page and the manual all come from here.
//
// A key marked `addition` is goma's own; one made with reserved() is Goma's and refused by this version.
#include "http/config_tables.h"

#include <limits>

#include "http/config.h"

namespace goma::http {

using core::addition;
using core::as;
using core::deprecated;
using core::env;
using core::env_default;
using core::example;
using core::Field;
using core::field;
using core::formerly;
using core::formerly_inverted;
using core::Kind;
using core::one_of;
using core::one_of_ignoring_case;
using core::or_never;
using core::range;
using core::required;
using core::reserved;
using core::Section;
using core::section;
using core::section_of;
using core::short_for;
using core::turned_on_by;

namespace {

// What turns on a section that does nothing without it.
constexpr std::string_view by_enabled[] = {"enabled"}, by_path[] = {"path"}, by_database[] = {"database"}, by_provider[] = {"email", "address", "role"};

constexpr int64_t any_positive = std::numeric_limits<int>::max();
constexpr auto seconds = [](Field& f) { f.kind = Kind::seconds, f.min = 0, f.max = 31'536'000; };
constexpr auto count = range(0, any_positive);

constexpr Field proxy_protocol_fields[] = {
    field<&ProxyProtocolConf::trusted>("trusted", "Addresses and networks, or unix: for peers on Unix sockets, whose connections begin with a PROXY header (version 1 or 2); nobody else may send one.", as(Kind::cidr), addition, example("[\"10.0.0.0/8\"]")),
};
constexpr Section proxy_protocol_section = section_of<ProxyProtocolConf>("gateway.entryPoints.web.proxyProtocol", "Load balancers that tell the client's address in front of the connection.", proxy_protocol_fields);

constexpr Section secure_proxy_protocol_section = section_of<ProxyProtocolConf>("gateway.entryPoints.webSecure.proxyProtocol", "Load balancers that tell the client's address in front of the connection, before TLS.", proxy_protocol_fields);

constexpr Field web_fields[] = {
    field<&EntryPointConf::address>("address", "Where to listen: IP:port, :port for every address, or unix:path.", as(Kind::address), env("GOMA_ENTRYPOINT_WEB_ADDRESS"), example("\"0.0.0.0:80\"")),
    field<&EntryPointConf::h2c>("h2c", "Speak HTTP/2 without TLS with clients that begin with its preface, next to HTTP/1.1.", addition),
    section<&EntryPointConf::proxy_protocol>("proxyProtocol", "Load balancers that tell the client's address in front of the connection.", proxy_protocol_section, addition),
};
constexpr Section web_section = section_of<EntryPointConf>("gateway.entryPoints.web", "The listener for plain HTTP.", web_fields);

constexpr Field web_secure_fields[] = {
    field<&SecureEntryPointConf::address>("address", "Where to listen: IP:port, :port for every address, or unix:path. Nothing listens unless HTTPS is configured anywhere.", as(Kind::address), env("GOMA_ENTRYPOINT_WEB_SECURE_ADDRESS"), example("\"0.0.0.0:443\"")),
    field<&SecureEntryPointConf::http2>("http2", "Offer HTTP/2 to clients (ALPN).", addition),
    section<&SecureEntryPointConf::proxy_protocol>("proxyProtocol", "Load balancers that tell the client's address in front of the connection, before TLS.", secure_proxy_protocol_section, addition),
};
constexpr Section web_secure_section = section_of<SecureEntryPointConf>("gateway.entryPoints.webSecure", "The listener for HTTPS.", web_secure_fields);

constexpr std::string_view forward_words[] = {"tcp", "udp", "tcp/udp"};

constexpr Field sni_fields[] = {
    field<&SniConf::hosts>("hosts", "Server names: names, or *.example.com for everything below; * for every name.", required, as(Kind::host), addition, example("[\"*.example.com\"]")),
    field<&SniConf::targets>("targets", "Where their connections go; several take turns.", required, addition, example("[\"10.0.0.7:443\"]")),
};
constexpr Section sni_section = section_of<SniConf>("gateway.entryPoints.passThrough.forwards[].sni[]", "TLS connections for some server names.", sni_fields);

constexpr Field forward_fields[] = {
    field<&ForwardConf::protocol>("protocol", "What is forwarded: tcp, udp, or both on the same port.", required, one_of_ignoring_case(forward_words), example("tcp")),
    field<&ForwardConf::port>("port", "The port to listen on.", required, range(0, 65535), example("5432")),
    field<&ForwardConf::target>("target", "Host and port to forward to.", example("10.0.0.5:5432")),
    field<&ForwardConf::targets>("targets", "Several of them; connections take turns, and go on to the next one when connecting fails.", addition, example("[\"10.0.0.5:5432\", \"10.0.0.6:5432\"]")),
    field<&ForwardConf::address>("address", "The IP address to listen on; empty means all of the machine.", addition, example("127.0.0.1")),
    field<&ForwardConf::connect_timeout>("connectTimeout", "How long a target may take to accept a connection; 0 or never means as long as the system tries.", or_never(0), addition, example("10s")),
    field<&ForwardConf::idle_timeout>("idleTimeout", "How long nothing may move before a connection or session ends; 0 or never means that it does not. Default: 0 with TCP, 5m with UDP.", or_never(0), addition, example("1h")),
    field<&ForwardConf::max_connections>("maxConnections", "Connections or sessions per worker; 0 means what the descriptor limit allows. Default: 0 with TCP, 1024 with UDP.", count, addition, example("1000")),
    field<&ForwardConf::proxy_protocol>("proxyProtocol", "The version of the PROXY header that tells a TCP target the client's address; 0 means none.", range(0, 2), addition, example("2")),
    section<&ForwardConf::sni>("sni", "Targets by the server name of a TLS connection, which is not decrypted; all others go to target and targets, or are closed when there are none.", sni_section, addition),
};
constexpr Section forward_section = section_of<ForwardConf>("gateway.entryPoints.passThrough.forwards[]", "A TCP or UDP port that is forwarded as it is.", forward_fields);

constexpr Field pass_through_fields[] = {
    section<&PassThroughConf::forwards>("forwards", "The ports and where they lead.", forward_section),
};
constexpr Section pass_through_section = section_of<PassThroughConf>("gateway.entryPoints.passThrough", "TCP and UDP ports that are forwarded as they are.", pass_through_fields);

constexpr Field entry_point_fields[] = {
    section<&EntryPointsConf::web>("web", "The listener for plain HTTP.", web_section),
    section<&EntryPointsConf::web_secure>("webSecure", "The listener for HTTPS.", web_secure_section),
    section<&EntryPointsConf::pass_through>("passThrough", "TCP and UDP ports that are forwarded as they are.", pass_through_section),
};
constexpr Section entry_points_section = section_of<EntryPointsConf>("gateway.entryPoints", "Where goma listens.", entry_point_fields);

constexpr Field timeout_fields[] = {
    field<&TimeoutsConf::read>("read", "Seconds a request may take to arrive, from its first to its last byte; 0 or never means no limit.", seconds, or_never(0), env("GOMA_TIMEOUT_READ"), example("60")),
    field<&TimeoutsConf::write>("write", "Seconds without progress while a response is sent; 0 or never means no limit.", seconds, or_never(0), env("GOMA_TIMEOUT_WRITE"), example("60")),
    field<&TimeoutsConf::idle>("idle", "Seconds a kept-alive connection may wait for its next request; 0 or never means no limit.", seconds, or_never(0), env("GOMA_TIMEOUT_IDLE"), example("60")),
    field<&TimeoutsConf::header>("header", "Seconds for the head of a request; 0 or never means no limit.", seconds, or_never(0), addition, env("GOMA_TIMEOUT_READ_HEADER"), example("10")),
    field<&TimeoutsConf::body>("body", "Seconds without progress while a request body arrives, also when read is 0; 0 or never means that read holds alone.", seconds, or_never(0), addition, example("60")),
    field<&TimeoutsConf::tunnel>("tunnel", "Seconds a WebSocket or other upgraded connection may go without a byte in either direction; 0 or never means no limit.", seconds, or_never(0), addition, example("3600")),
    field<&TimeoutsConf::worker>("worker", "Seconds that a worker or the manager may be silent before it is replaced; 0 or never means that it is not.", seconds, or_never(0), addition, example("5")),
    field<&TimeoutsConf::drain>("drain", "Seconds that long exchanges are given on a graceful stop before they are asked to leave; 0 means that they are asked at once, never that they are not asked at all.", seconds, or_never(-1), addition, example("30")),
};
constexpr Section timeouts_section = section_of<TimeoutsConf>("gateway.timeouts", "How long a client may take.", timeout_fields);

constexpr std::string_view level_words[] = {"trace", "debug", "info", "warn", "error", "off"};
constexpr std::string_view format_words[] = {"text", "json"};
constexpr std::string_view access_words[] = {"auto", "on", "off"};
constexpr std::string_view access_format_words[] = {"goma", "combined"};

constexpr Field log_fields[] = {
    field<&LogConf::level>("level", "The least important kind of message that is written.", one_of_ignoring_case(level_words), env("GOMA_LOG_LEVEL")),
    field<&LogConf::format>("format", "Lines for people or JSON objects for programs.", one_of_ignoring_case(format_words), env_default("GOMA_LOG_FORMAT")),
    field<&LogConf::file_path>("filePath", "The log file; empty means standard output. A file is rotated by the three limits below.", env_default("GOMA_LOG_FILE"), example("/var/log/goma/goma.log")),
    field<&LogConf::max_age_days>("maxAgeDays", "Days a rotated log file is kept; 0 means for ever.", count, env_default("GOMA_LOG_MAX_AGE_DAYS")),
    field<&LogConf::max_backups>("maxBackups", "Rotated log files that are kept; 0 means all.", count, env_default("GOMA_LOG_MAX_BACKUPS")),
    field<&LogConf::max_size_mb>("maxSizeMB", "Megabytes after which a log file is rotated; 0 means never.", count, env_default("GOMA_LOG_MAX_SIZE_MB")),
    field<&LogConf::access>("access", "Whether requests are logged. auto: as level says, info and below all, warn from status 400 on, error from 500 on, off none; all of them when no level is written.", one_of(access_words), addition),
    field<&LogConf::access_format>("accessFormat", "The form of access lines: Goma's own, or the combined format of web servers.", one_of(access_format_words), addition),
};
constexpr Section log_section = section_of<LogConf>("gateway.log", "What is logged, how and where.", log_fields);

constexpr Field dns_cache_fields[] = {
    field<&DnsCacheConf::ttl>("ttl", "Seconds a resolved backend name is kept, 1 at least; then it is asked for again, and where it has moved its connections follow.", seconds),
    field<&DnsCacheConf::clear_on_reload>("clearOnReload", "Forget resolved names on every reload."),
    field<&DnsCacheConf::resolver>("resolver", "Name servers as IP or IP:port, tried in order; empty means the system's.", example("[\"10.0.0.2:53\"]")),
};
constexpr Section dns_cache_section = section_of<DnsCacheConf>("gateway.networking.dnsCache", "How names of backends are resolved and kept.", dns_cache_fields);

constexpr Field transport_fields[] = {
    field<&TransportConf::insecure_skip_verify>("insecureSkipVerify", "Accept any certificate from backends. For tests only."),
    field<&TransportConf::disable_compression>("disableCompression", "Has no effect: goma never asks backends for gzip on behalf of clients that did not."),
    field<&TransportConf::max_idle_conns>("maxIdleConns", "Idle backend connections that a worker keeps, over all backends.", count),
    field<&TransportConf::max_idle_conns_per_host>("maxIdleConnsPerHost", "Idle connections that a worker keeps per backend.", count),
    field<&TransportConf::max_conns_per_host>("maxConnsPerHost", "Connections of a worker per backend; more requests wait. 0 means no limit.", count),
    field<&TransportConf::tls_handshake_timeout>("tlsHandshakeTimeout", "Seconds for a TLS handshake with a backend; 0 means as long as for connecting.", seconds),
    field<&TransportConf::response_header_timeout>("responseHeaderTimeout", "Seconds a backend may take to begin its response; 0 or never means no limit.", seconds, or_never(0)),
    field<&TransportConf::idle_conn_timeout>("idleConnTimeout", "Seconds an idle backend connection is kept; 0 or never means that it is not closed for being idle.", seconds, or_never(0)),
    field<&TransportConf::force_attempt_http2>("forceAttemptHTTP2", "Offer HTTP/2 to backends reached over TLS."),
};
constexpr Section transport_section = section_of<TransportConf>("gateway.networking.transport", "Connections to backends.", transport_fields);

constexpr Field passive_health_fields[] = {
    field<&PassiveHealthConf::enabled>("enabled", "Leave out backends that keep failing, on routes with two or more."),
    field<&PassiveHealthConf::max_fails>("maxFails", "Failures in a row after which a backend is left out; at least 1.", range(std::numeric_limits<int>::min(), any_positive)),
    field<&PassiveHealthConf::eject_for>("ejectFor", "How long it is left out; 0s means that it is not.", example("10s")),
};
constexpr Section passive_health_section = section_of<PassiveHealthConf>("gateway.networking.passiveHealthCheck", "Judging backends by the traffic they answer.", passive_health_fields);

constexpr Field http2_fields[] = {
    field<&Http2Conf::max_concurrent_streams>("maxConcurrentStreams", "Requests a client may have under way on one connection.", range(1, 10'000), addition),
    field<&Http2Conf::stream_window>("streamWindow", "Bytes of a request body that a client may send ahead.", range(65'535, 16'777'216), addition),
    field<&Http2Conf::connection_window>("connectionWindow", "The same over all requests of a connection.", range(65'535, 67'108'864), addition),
};
constexpr Section http2_section = section_of<Http2Conf>("gateway.networking.http2", "HTTP/2 with clients.", http2_fields);

constexpr std::string_view encoded_slash_words[] = {"keep", "refuse", "decode"};

constexpr Field networking_fields[] = {
    section<&NetworkingConf::dns_cache>("dnsCache", "How names of backends are resolved and kept.", dns_cache_section),
    section<&NetworkingConf::transport>("transport", "Connections to backends.", transport_section),
    section<&NetworkingConf::passive_health_check>("passiveHealthCheck", "Judging backends by the traffic they answer.", passive_health_section),
    section<&NetworkingConf::http2>("http2", "HTTP/2 with clients.", http2_section),
    field<&NetworkingConf::max_connections>("maxConnections", "Client connections per worker; 0 means what the descriptor limit allows.", count, addition),
    field<&NetworkingConf::max_connections_per_address>("maxConnectionsPerAddress", "Connections per worker that one client address may have, IPv6 clients by their /64; trusted proxies are exempt. 0 means no limit.", count, addition),
    field<&NetworkingConf::min_rate>("minRate", "Bytes per second a client must keep while it sends a body or reads a response, after ten seconds; 0 means none.", count, addition),
    field<&NetworkingConf::max_header_bytes>("maxHeaderBytes", "Bytes of a request head; above it the answer is 431.", range(1024, 1'048'576), addition),
    field<&NetworkingConf::max_headers>("maxHeaders", "Header fields of a request; above it the answer is 431.", range(8, 10'000), addition),
    field<&NetworkingConf::max_request_line>("maxRequestLine", "Bytes of a request line; above it the answer is 414.", range(256, 1'048'576), addition),
    field<&NetworkingConf::backend_max_header_bytes>("backendMaxHeaderBytes", "Bytes of a response head from a backend; above it the answer is 502.", range(1024, 16'777'216), addition),
    field<&NetworkingConf::backend_max_headers>("backendMaxHeaders", "Header fields of a response from a backend; above it the answer is 502.", range(8, 100'000), addition),
    field<&NetworkingConf::backend_strict>("backendStrict", "Refuse responses of backends with lines that end in LF alone, an empty line before the status line, a repeated Content-Length, folded fields or a blank before a colon, which are accepted and counted otherwise.", addition),
    field<&NetworkingConf::queue>("queue", "Requests of a worker that may wait for a connection to one backend; above it the answer is 503.", count, addition),
    field<&NetworkingConf::queue_timeout>("queueTimeout", "Seconds a request waits for a connection, then the answer is 504; 0 means that it does not, but for one that is being made for it.", seconds, addition),
    field<&NetworkingConf::connect_timeout>("connectTimeout", "Seconds to connect to a backend.", seconds, range(1, 3600), addition),
    field<&NetworkingConf::encoded_slash>("encodedSlash", "An encoded slash or backslash in a path: goes to the backend as it is, and every rule holds for all that it may mean there (keep); is answered with 400 (refuse); or is a slash before anything looks at the path (decode).", one_of(encoded_slash_words), addition),
    field<&NetworkingConf::retries>("retries", "Further attempts for a request that is safe to repeat.", range(0, 10), addition),
};
constexpr Section networking_section = section_of<NetworkingConf>("gateway.networking", "Limits towards clients, and connections to backends.", networking_fields);

constexpr Field proxy_fields[] = {
    field<&ProxyConf::enabled>("enabled", "Believe the headers below when they come from a trusted proxy.", env("GOMA_PROXY_ENABLED")),
    field<&ProxyConf::trusted_proxies>("trustedProxies", "Addresses and networks of proxies in front of goma; unix: for those on Unix sockets.", as(Kind::cidr), env("GOMA_PROXY_TRUSTED_PROXIES"), example("[127.0.0.1, \"10.0.0.0/8\"]")),
    field<&ProxyConf::ip_headers>("ipHeaders", "Headers that may hold the client's address, tried in order.", env("GOMA_PROXY_IP_HEADERS")),
};
constexpr Section proxy_section = section_of<ProxyConf>("gateway.proxy", "Proxies in front of goma whose word about the client counts.", proxy_fields);

constexpr Field monitoring_middleware_fields[] = {
    field<&MonitoringMiddlewareConf::metrics>("metrics", "Names of middlewares in front of the metrics endpoint."),
    field<&MonitoringMiddlewareConf::route_health_check>("routeHealthCheck", "Names of middlewares in front of /healthz/routes."),
};
constexpr Section monitoring_middleware_section = section_of<MonitoringMiddlewareConf>("gateway.monitoring.middleware", "Middlewares in front of the built-in endpoints.", monitoring_middleware_fields);

constexpr Field monitoring_fields[] = {
    field<&MonitoringConf::enable_metrics>("enableMetrics", "Serve metrics for Prometheus.", env("GOMA_ENABLE_METRICS")),
    field<&MonitoringConf::metrics_path>("metricsPath", "Where metrics are served.", as(Kind::path)),
    field<&MonitoringConf::host>("host", "Serve metrics and route health for this host only.", as(Kind::host), example("ops.example.com")),
    field<&MonitoringConf::visitor_ttl>("visitorTTL", "The window of the visitors gauge, at least 30s.", example("5m")),
    field<&MonitoringConf::enable_readiness>("enableReadiness", "Answer /readyz.", env("GOMA_ENABLE_READINESS")),
    field<&MonitoringConf::enable_liveness>("enableLiveness", "Answer /healthz.", env("GOMA_ENABLE_LIVENESS")),
    field<&MonitoringConf::enable_route_health_check>("enableRouteHealthCheck", "Answer /healthz/routes."),
    field<&MonitoringConf::include_route_health_errors>("includeRouteHealthErrors", "Show error texts on /healthz/routes."),
    section<&MonitoringConf::middleware>("middleware", "Middlewares in front of the built-in endpoints.", monitoring_middleware_section),
};
constexpr Section monitoring_section = section_of<MonitoringConf>("gateway.monitoring", "Metrics and health endpoints.", monitoring_fields);

constexpr Field extra_config_fields[] = {
    field<&ExtraConfigConf::directory>("directory", "A directory whose *.yml and *.yaml files add routes and middlewares.", env("GOMA_EXTRA_CONFIG_DIR"), example("/etc/goma/extra")),
    field<&ExtraConfigConf::watch>("watch", "Reload when a file of the directory changes.", env("GOMA_EXTRA_CONFIG_WATCH")),
};
constexpr Section extra_config_section = section_of<ExtraConfigConf>("gateway.extraConfig", "More files with routes and middlewares.", extra_config_fields);

constexpr Field defaults_fields[] = {
    field<&DefaultsConf::middlewares>("middlewares", "Names of middlewares that every route gets, before its own."),
};
constexpr Section defaults_section = section_of<DefaultsConf>("gateway.defaults", "What every route starts with.", defaults_fields);

constexpr Field backend_fields[] = {
    field<&BackendConf::endpoint>("endpoint", "The URL of the backend; may carry a base path.", required, as(Kind::url)),
    field<&BackendConf::weight>("weight", "Its share of the requests; any weight above 0 on a route makes the choice weighted.", count),
    reserved("match", "Conditions that send a request to this backend."),
    reserved("exclusive", "Matching requests go to this backend only."),
    reserved("priority", "Which of several matching exclusive backends wins."),
};
constexpr Section backend_section = section_of<BackendConf>("gateway.routes[].backends[]", "One of several backends of a route.", backend_fields);

constexpr Field backend_tls_fields[] = {
    field<&BackendTlsConf::insecure_skip_verify>("insecureSkipVerify", "Accept any certificate from the backend. For tests only.", formerly("SkipVerification")),
    field<&BackendTlsConf::root_cas>("rootCAs", "The authorities that backends' certificates must come from: a file, PEM, or base64 of PEM; empty means the machine's.", example("/etc/goma/tls/backend-ca.pem")),
    field<&BackendTlsConf::client_cert>("clientCert", "The certificate shown to backends that ask for one, followed by its issuers: a file, PEM, or base64 of PEM.", example("/etc/goma/tls/client.crt")),
    field<&BackendTlsConf::client_key>("clientKey", "Its private key: a file, PEM, or base64 of PEM.", as(Kind::secret), example("/etc/goma/tls/client.key")),
    field<&BackendTlsConf::server_name>("serverName", "The name that is asked for (SNI) and that the certificate must be for; empty means the backend's host.", as(Kind::host), addition, example("backend.internal")),
};
constexpr Section backend_tls_section = section_of<BackendTlsConf>("gateway.routes[].security.tls", "TLS towards the backends of the route.", backend_tls_fields);

constexpr Field security_fields[] = {
    field<&RouteSecurityConf::forward_host_headers>("forwardHostHeaders", "Send the client's Host to the backend instead of the backend's own name."),
    reserved("enableExploitProtection", "Refuse requests that look like common exploits."),
    section<&RouteSecurityConf::tls>("tls", "TLS towards the backends of the route.", backend_tls_section),
};
constexpr Section security_section = section_of<RouteSecurityConf>("gateway.routes[].security", "What the backend sees, and what it is protected from.", security_fields);

constexpr std::string_view backend_protocol_words[] = {"auto", "http1", "h2c"};

constexpr std::string_view host_forwarding_names[] = {"disableHostFording"};  // of 0.1

constexpr Field route_fields[] = {
    field<&RouteConf::name>("name", "A unique name; used in logs and metrics.", required, example("api")),
    field<&RouteConf::path>("path", "The prefix this route serves, by whole segments; {name} stands for one segment.", required, as(Kind::path), example("/api")),
    field<&RouteConf::hosts>("hosts", "Hosts this route serves: names, *.example.com, {sub}.example.com; empty means any.", as(Kind::host), example("[api.example.com]")),
    field<&RouteConf::methods>("methods", "Methods this route serves, in capital letters; empty means all.", example("[GET, HEAD]")),
    field<&RouteConf::rewrite>("rewrite", "What the backend sees in place of path.", as(Kind::path), example("/")),
    field<&RouteConf::target>("target", "The URL of the only backend; ignored when backends are given.", as(Kind::url), formerly("destination"), example("http://127.0.0.1:9000")),
    section<&RouteConf::backends>("backends", "Several backends that share the requests.", backend_section, short_for("endpoint")),
    field<&RouteConf::priority>("priority", "Lower wins over higher when several routes match; negative comes before the default.", range(-1'000'000, 1'000'000)),
    field<&RouteConf::backend_protocol>("backendProtocol", "What backends are spoken to in: HTTP/2 over TLS where they agree to it, else HTTP/1.1 (auto); always HTTP/1.1 (http1); or HTTP/2 without TLS (h2c).", one_of(backend_protocol_words), addition),
    field<&RouteConf::enabled>("enabled", "A route that is not enabled does not exist.", formerly_inverted("disabled")),
    section<&RouteConf::security>("security", "What the backend sees, and what it is protected from.", security_section),
    field<&RouteConf::middlewares>("middlewares", "Names of middlewares, in the order they act."),
    field<&RouteConf::disable_metrics>("disableMetrics", "Count nothing for this route; it is still logged."),
    field<&RouteConf::disable_host_forwarding>("disableHostForwarding", "The opposite of security.forwardHostHeaders.", core::also(host_forwarding_names), deprecated("security.forwardHostHeaders")),
    reserved("healthCheck", "Active health checks of the backends.", turned_on_by(by_path)),
    reserved("maintenance", "Answer everything with a maintenance message.", turned_on_by(by_enabled)),
    section<&RouteConf::tls>("tls", "The certificate of the route's hosts.", route_tls_section),
    reserved("cors", "Cross-origin headers."),
    reserved("errorInterceptor", "Replaced error bodies.", turned_on_by(by_enabled)),
    field<&RouteConf::insecure_skip_verify>("insecureSkipVerify", "The same as security.tls.insecureSkipVerify.", deprecated("security.tls.insecureSkipVerify")),
    reserved("blockCommonExploits", "Refuse requests that look like common exploits."),
};

constexpr Field middleware_fields[] = {
    field<&MiddlewareConf::name>("name", "A unique name that routes refer to.", required, example("login")),
    field<&MiddlewareConf::type>("type", "What it does.", required, example("forwardAuth")),
    field<&MiddlewareConf::paths>("paths", "Paths of the route it acts on; empty means all of them.", example("[/admin]")),
    field<&MiddlewareConf::rule>("rule", "Settings of the type."),
};

}  // namespace

constexpr Section route_section = section_of<RouteConf>("gateway.routes[]", "Which requests go where.", route_fields, "route");
constexpr Section middleware_section = section_of<MiddlewareConf>("middlewares[]", "A named feature that routes use.", middleware_fields, "middleware");

namespace {

constexpr Field shared_memory_fields[] = {
    field<&SharedMemoryConf::limits>("limits", "For rate limits and quotas: 16 bytes for each client of each limit. It keeps its size until the next start.", core::range(1 << 20, int64_t{16} << 30), core::example("64Mi")),
};
constexpr Section shared_memory_section = section_of<SharedMemoryConf>("gateway.sharedMemory", "Memory that all workers of the host share.", shared_memory_fields);

constexpr Field gateway_fields[] = {
    section<&GatewayConf::entry_points>("entryPoints", "Where goma listens.", entry_points_section),
    section<&GatewayConf::timeouts>("timeouts", "How long a client may take.", timeouts_section),
    section<&GatewayConf::log>("log", "What is logged, how and where.", log_section),
    section<&GatewayConf::networking>("networking", "Limits towards clients, and connections to backends.", networking_section),
    section<&GatewayConf::proxy>("proxy", "Proxies in front of goma whose word about the client counts.", proxy_section),
    section<&GatewayConf::monitoring>("monitoring", "Metrics and health endpoints.", monitoring_section),
    field<&GatewayConf::strict_slash>("strictSlash", "Redirect to the other form of a path when only its trailing slash differs from one that exists."),
    reserved("debug", "More fields in access lines."),
    section<&GatewayConf::extra_config>("extraConfig", "More files with routes and middlewares.", extra_config_section),
    section<&GatewayConf::defaults>("defaults", "What every route starts with.", defaults_section),
    section<&GatewayConf::routes>("routes", "Which requests go where.", route_section),
    field<&GatewayConf::read_timeout>("readTimeout", "The same as timeouts.read.", seconds, deprecated("timeouts.read")),
    field<&GatewayConf::write_timeout>("writeTimeout", "The same as timeouts.write.", seconds, deprecated("timeouts.write")),
    field<&GatewayConf::idle_timeout>("idleTimeout", "The same as timeouts.idle.", seconds, deprecated("timeouts.idle")),
    field<&GatewayConf::enable_metrics>("enableMetrics", "The same as monitoring.enableMetrics.", deprecated("monitoring.enableMetrics")),
    section<&GatewayConf::tls>("tls", "Certificates of the HTTPS listener.", gateway_tls_section),
    section<&GatewayConf::redis>("redis", "State shared between hosts.", redis_section),
    section<&GatewayConf::shared_memory>("sharedMemory", "Memory that all workers of the host share.", shared_memory_section, core::addition),
    reserved("providers", "Routes from directories, HTTP or git.", turned_on_by(by_enabled)),
    reserved("reload", "An endpoint that reloads; gomactl reload does the same.", turned_on_by(by_enabled)),
    reserved("analytics", "A stream of requests in Redis.", turned_on_by(by_enabled)),
    reserved("geoip", "The database of countries.", turned_on_by(by_database)),
    reserved("cors", "Cross-origin headers."),
    reserved("errorInterceptor", "Replaced error bodies.", turned_on_by(by_enabled)),
};

}  // namespace

constexpr Section gateway_section = section_of<GatewayConf>("gateway", "The gateway and its routes.", gateway_fields);

namespace {

constexpr Field file_fields[] = {
    field<&Config::version>("version", "The format of the file; 2 today, and never checked.", example("2")),
    section<&Config::gateway>("gateway", "The gateway and its routes.", gateway_section),
    section<&Config::middlewares>("middlewares", "Named features that routes use.", middleware_section),
    reserved("certManager", "Certificates obtained automatically.", turned_on_by(by_provider)),
    reserved("certificateManager", "Certificates obtained automatically; an old spelling of certManager.", turned_on_by(by_provider)),
    reserved("plugins", "Features loaded at run time.", turned_on_by(by_path)),
};

constexpr Field extra_file_fields[] = {
    field<&ExtraFile::version>("version", "Never checked."),
    field<&ExtraFile::metadata>("metadata", "Anything; not looked at."),
    section<&ExtraFile::routes>("routes", "Routes added to gateway.routes.", route_section),
    section<&ExtraFile::middlewares>("middlewares", "Middlewares added to the main file's.", middleware_section),
};

}  // namespace

constexpr Section file_section = section_of<Config>("file", "The whole file.", file_fields);
constexpr Section extra_file_section = section_of<ExtraFile>("extra file", "A file of extraConfig.directory.", extra_file_fields);

}  // namespace goma::http
