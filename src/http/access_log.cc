// SPDX-License-Identifier: Apache-2.0
//
// What stands in a line and in which order. The two keyed formats share one walk over the fields; only how a key and
// a text are written differs.
#include "http/access_log.h"

#include <cstring>
#include <string>

#include "core/log.h"
#include "core/secret.h"
#include "core/yaml.h"
#include "http/log_line.h"

namespace goma::http {

namespace {

using Format = AccessLogSettings::Format;

// key="value" or "key":"value": the two spellings of a field. Keys are literals: inlined, writing one is a few stores.
template <bool is_json>
class Keyed {
 public:
  explicit Keyed(LogLine& line) : line_(line) {}

  [[gnu::always_inline]] void text(std::string_view key, std::string_view value) {
    begin(key);
    put(value);
  }
  // The key comes from the configuration, and may be anything.
  void foreign(std::string_view key, std::string_view value) {
    line_.raw(is_json ? ",\"" : " ");
    is_json ? line_.json(key) : line_.slog(key);
    line_.raw(is_json ? "\":" : "=");
    put(value);
  }
  [[gnu::always_inline]] void number(std::string_view key, uint64_t value) {
    begin(key);
    line_.number(value);
  }
  [[gnu::always_inline]] void milliseconds(std::string_view key, int64_t microseconds) {
    begin(key);
    line_.thousandths(static_cast<uint64_t>(microseconds > 0 ? microseconds : 0));
  }
  void duration(std::string_view key, int64_t microseconds) {
    begin(key);
    quote();
    line_.duration(microseconds);
    quote();
  }
  // A text of ours that needs no escaping.
  [[gnu::always_inline]] void word(std::string_view key, std::string_view value) {
    begin(key);
    quote();
    line_.raw(value);
    quote();
  }

 private:
  [[gnu::always_inline]] void begin(std::string_view key) {
    line_.raw(is_json ? ",\"" : " ");
    line_.raw(key);
    line_.raw(is_json ? "\":" : "=");
  }
  void quote() {
    if (is_json) line_.raw('"');
  }
  void put(std::string_view value) {
    quote();
    is_json ? line_.json(value) : line_.slog(value);
    quote();
  }

  LogLine& line_;
};

// Fields that middlewares added, at most; what frames them counts against the line's reserve.
constexpr size_t max_fields = 64;

std::string_view level_of(int status) { return status >= 500 ? "ERROR" : status >= 400 ? "WARN" : "INFO"; }

std::string_view version_of(const AccessEntry& e) {
  if (e.major_version == 2) return "HTTP/2.0";
  return e.minor_version == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

template <bool is_json>
void write_fields(LogLine& line, const AccessEntry& e) {
  Keyed<is_json> out(line);
  out.text("request_id", e.request_id);
  out.text("method", e.method);
  out.text("url", e.url);
  out.word("http_version", version_of(e));
  out.text("host", e.host);
  out.text("client_ip", e.client_ip);
  out.text("referer", e.referer);
  out.number("status", static_cast<uint64_t>(e.status));
  out.duration("duration", e.duration_us);
  out.text("route", e.route);
  out.text("user_agent", e.user_agent);
  size_t left = max_fields;
  for (const Exchange::LogField* field = e.fields; field != nullptr && left > 0; field = field->next, --left) out.foreign(field->key, field->value);
  out.milliseconds("duration_ms", e.duration_us);
  if (e.upstream_us >= 0) {
    out.milliseconds("upstream_ms", e.upstream_us);
    out.text("upstream_addr", e.backend);
    out.number("upstream_status", static_cast<uint64_t>(e.backend_status));
    out.number("retries", static_cast<uint64_t>(e.retries));
    if (!e.failure.empty()) out.text("upstream_error", e.failure);
  }
  out.number("bytes_in", e.bytes_in);
  out.number("bytes_out", e.bytes_out);
  out.word("end", e.end);
}

// host - - [time] "request" status bytes "referer" "user agent"
void write_combined(LogLine& line, const AccessEntry& e, std::string_view time) {
  line.combined(e.client_ip);
  line.raw(" - - [");
  line.raw(time);
  line.raw("] \"");
  line.combined(e.method);
  line.raw(' ');
  line.combined(e.target);
  line.raw(' ');
  line.raw(version_of(e));
  line.raw("\" ");
  line.number(static_cast<uint64_t>(e.status));
  line.raw(' ');
  line.number(e.bytes_out);
  line.raw(" \"");
  line.combined(e.referer);
  line.raw("\" \"");
  line.combined(e.user_agent);
  line.raw('"');
}

// Three decimal digits, for milliseconds.
void write_millis(LogLine& line, long nanoseconds) {
  const auto ms = static_cast<unsigned>(nanoseconds / 1'000'000);
  line.raw(static_cast<char>('0' + ms / 100));
  line.raw(static_cast<char>('0' + ms / 10 % 10));
  line.raw(static_cast<char>('0' + ms % 10));
}

// Whether somebody chose the level: in the file, or by a variable that wins over it.
bool level_is_chosen(const Config& config) {
  if (config.environment.count("gateway.log.level") != 0) return true;
  const core::yaml::Node* log = config.gateway.node != nullptr ? config.gateway.node->ifind("log") : nullptr;
  const core::yaml::Node* level = log != nullptr ? log->ifind("level") : nullptr;
  return level != nullptr && !level->is_null() && !level->text.empty();
}

int lowest_status(const Config& config) {
  const LogConf& log = config.gateway.log;
  if (log.access == "on") return 0;
  if (log.access == "off") return AccessLogSettings::none;
  if (!level_is_chosen(config)) return 0;
  if (log.level == "off") return AccessLogSettings::none;
  if (log.level == "error") return 500;
  return log.level == "warn" ? 400 : 0;
}

std::string_view without_query(std::string_view target) { return target.substr(0, target.find('?')); }

// A URL of the client without the secrets in its parameters, as "?access_token=".
std::string_view without_secrets(Exchange& x, std::string_view url) {
  if (url.find('?') == std::string_view::npos || core::credentials_in(url).empty()) return url;
  return x.arena().copy(core::without_credentials(url));
}

}  // namespace

AccessLogSettings access_log_settings(const Config& config) {
  AccessLogSettings settings;
  settings.lowest_status = lowest_status(config);
  const LogConf& log = config.gateway.log;
  settings.format = log.access_format == "combined" ? Format::combined : log.format == "json" ? Format::json : Format::text;
  return settings;
}

AccessLog::AccessLog(core::Loop& loop)
    : AccessLog(loop, [](std::string_view lines) { core::log::write_lines(lines); }) {}

AccessLog::AccessLog(core::Loop& loop, Output output)
    : loop_(loop), output_(std::move(output)), buffer_(std::make_unique<char[]>(buffer_size)) {
  timer_.bind<&AccessLog::flush>(loop_, this);
}

void AccessLog::record(Exchange& x) {
  if (x.final_status() < settings_.lowest_status) return;
  const RequestHead& request = x.request();
  AccessEntry e;
  e.request_id = x.id();
  e.method = request.method_text;
  if (settings_.format == Format::combined) e.target = without_secrets(x, request.target);
  e.url = x.path().decoded.empty() ? without_query(request.target) : x.path().decoded;
  e.major_version = request.major_version;
  e.minor_version = request.minor_version;
  e.host = request.host;
  e.client_ip = x.client().ip;
  e.referer = without_secrets(x, request.headers.get(HeaderId::referer));
  e.status = x.final_status();
  e.duration_us = loop_.now_us() - x.started_us();
  e.route = x.route_name();
  e.user_agent = request.headers.get(HeaderId::user_agent);
  e.fields = x.log_fields();
  e.backend = x.trace.backend;
  e.backend_status = x.trace.backend_status;
  e.upstream_us = x.trace.backend.empty() ? -1 : x.trace.backend_us;
  e.retries = x.trace.retries;
  e.failure = x.trace.failure;
  e.bytes_in = x.request_bytes;
  e.bytes_out = x.response_bytes;
  e.end = ending_name(x.ending());
  write(e);
}

void AccessLog::write(const AccessEntry& entry) {
  if (entry.status < settings_.lowest_status) return;
  if (buffer_size - used_ < max_line) flush();
  if (loop_.wall().tv_sec != second_) refresh_time();
  LogLine line(buffer_.get() + used_, max_line);
  if (settings_.format == Format::combined) {
    write_combined(line, entry, combined_);
  } else {
    const bool is_json = settings_.format == Format::json;
    line.raw(is_json ? "{\"time\":\"" : "time=");
    line.raw(clock_);
    line.raw('.');
    write_millis(line, loop_.wall().tv_nsec);
    line.raw(zone_);
    line.raw(is_json ? "\",\"level\":\"" : " level=");
    line.raw(level_of(entry.status));
    line.raw(is_json ? "\",\"msg\":\"" : " msg=\"");
    line.raw(entry.route.empty() ? "Unrouted request" : "Proxied request");
    line.raw('"');
    is_json ? write_fields<true>(line, entry) : write_fields<false>(line, entry);
    if (is_json) line.raw('}');
  }
  line.raw('\n');
  used_ += line.size();
  ++lines_;
  if (!timer_.running()) timer_.start(1000);
}

void AccessLog::flush() {
  timer_.stop();
  if (used_ == 0) return;
  output_({buffer_.get(), used_});
  used_ = 0;
}

void AccessLog::refresh_time() {
  second_ = loop_.wall().tv_sec;
  tm local{};
  localtime_r(&second_, &local);
  strftime(clock_, sizeof clock_, "%Y-%m-%dT%H:%M:%S", &local);
  char zone[8];
  strftime(zone, sizeof zone, "%z", &local);
  std::memcpy(zone_, zone, 3);
  zone_[3] = ':';
  std::memcpy(zone_ + 4, zone + 3, 3);
  constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  char rest[24];
  strftime(rest, sizeof rest, "%Y:%H:%M:%S %z", &local);
  combined_[0] = static_cast<char>('0' + local.tm_mday / 10);
  combined_[1] = static_cast<char>('0' + local.tm_mday % 10);
  combined_[2] = '/';
  std::memcpy(combined_ + 3, months[local.tm_mon], 3);
  combined_[6] = '/';
  std::memcpy(combined_ + 7, rest, sizeof rest);
}

}  // namespace goma::http
