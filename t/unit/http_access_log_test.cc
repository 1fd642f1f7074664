// SPDX-License-Identifier: Apache-2.0
//
// The access log: formats byte for byte, and what strangers' texts may not do to a line.
#include "http/access_log.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gateway_fixture.h"
#include "http/log_line.h"

namespace {

using goma::http::AccessEntry;
using goma::http::AccessLog;
using goma::http::AccessLogSettings;
using goma::http::Config;
using goma::http::Exchange;
using goma::http::LogLine;
using Format = AccessLogSettings::Format;

template <class Write>
std::string written(Write write) {
  char room[64 * 1024];
  LogLine line(room, sizeof room);
  write(line);
  return {room, line.size()};
}

std::string json(std::string_view text) {
  return written([&](LogLine& line) { line.json(text); });
}
std::string slog(std::string_view text) {
  return written([&](LogLine& line) { line.slog(text); });
}
std::string combined(std::string_view text) {
  return written([&](LogLine& line) { line.combined(text); });
}
std::string duration(int64_t us) {
  return written([&](LogLine& line) { line.duration(us); });
}

void json_texts_stay_inside_their_quotes() {
  CHECK_EQ(json("plain text, longer than eight bytes"), "plain text, longer than eight bytes");
  CHECK_EQ(json("a\"b\\c"), "a\\\"b\\\\c");
  CHECK_EQ(json("line\r\nfeed\tand\x01\x7f"), "line\\r\\nfeed\\tand\\u0001\\u007f");
  CHECK_EQ(json(std::string_view("nul\0nul", 7)), "nul\\u0000nul");
  CHECK_EQ(json("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  CHECK_EQ(json("\xff\xc0\xaf\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd");
  CHECK_EQ(json("\xe2\x80\xa8|\xe2\x80\xa9|\xc2\x85"), "\\u2028|\\u2029|\\u0085");
  CHECK_EQ(json("cut \xe2\x82"), "cut \\ufffd\\ufffd");
}

void slog_values_are_quoted_when_they_must_be() {
  CHECK_EQ(slog("curl/8.5.0"), "curl/8.5.0");
  CHECK_EQ(slog("/a/longer/path/without/anything"), "/a/longer/path/without/anything");
  CHECK_EQ(slog(""), "\"\"");
  CHECK_EQ(slog("two words"), "\"two words\"");
  CHECK_EQ(slog("a=b"), "\"a=b\"");
  CHECK_EQ(slog("back\\slash"), "back\\slash");
  CHECK_EQ(slog("x\ntime=2026 level=INFO"), "\"x\\ntime=2026 level=INFO\"");
  CHECK_EQ(slog("q\"q"), "\"q\\\"q\"");
  CHECK_EQ(slog("\xff"), "\"\\xff\"");
  CHECK_EQ(slog("\xe2\x80\xa8"), "\"\\u2028\"");
}

void combined_texts_stay_inside_their_quotes() {
  CHECK_EQ(combined(""), "-");
  CHECK_EQ(combined("Mozilla/5.0 (X11; Linux)"), "Mozilla/5.0 (X11; Linux)");
  CHECK_EQ(combined("\" 200 -\n1.2.3.4"), "\\x22 200 -\\x0a1.2.3.4");
  CHECK_EQ(combined("\xc3\xbc\\"), "\\xc3\\xbc\\x5c");
}

void durations_are_written_as_goma_does() {
  CHECK_EQ(duration(0), "0ns");
  CHECK_EQ(duration(523), "523000ns");
  CHECK_EQ(duration(1000), "1.00ms");
  CHECK_EQ(duration(12'340), "12.34ms");
  CHECK_EQ(duration(1'230'000), "1.23s");
  CHECK_EQ(duration(90'000'000), "1.50m");
  CHECK_EQ(duration(7'200'000'000), "2.00h");
  CHECK_EQ(duration(-5), "0ns");
}

void a_line_never_outgrows_its_room() {
  const std::string hostile(100'000, '\x01');
  for (const size_t room : {LogLine::reserve + 1, LogLine::reserve + 100, AccessLog::max_line}) {
    std::vector<char> memory(room + 16, '#');
    LogLine line(memory.data(), room);
    for (int i = 0; i < 20; ++i) {
      line.json(hostile);
      line.slog(hostile);
      line.combined(hostile);
    }
    CHECK(line.size() <= room);
    CHECK_EQ(std::string(memory.end() - 16, memory.end()), std::string(16, '#'));
  }
}

// Random bytes, every style: printable, and decodable as a JSON string without a raw quote or control byte.
void random_texts_are_harmless() {
  std::mt19937_64 random(goma::test::seed());
  for (int round = 0; round < 20'000; ++round) {
    std::string text(random() % 40, ' ');
    for (char& c : text) c = static_cast<char>(random() % 3 == 0 ? random() % 256 : 'a' + random() % 26);
    for (const std::string& line : {json(text), slog(text), combined(text)}) {
      for (const char c : line) CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
    }
    const std::string inside = json(text);
    for (size_t i = 0; i < inside.size(); ++i) {
      CHECK(inside[i] != '"');
      if (inside[i] == '\\') ++i;
    }
  }
}

struct Log {
  goma::core::Loop loop;
  std::string out;
  int writes = 0;
  AccessLog log{loop, [this](std::string_view lines) {
                  out.append(lines);
                  ++writes;
                }};

  explicit Log(Format format, int lowest_status = 0) { log.configure(AccessLogSettings{format, lowest_status}); }
  std::string line(const AccessEntry& entry) {
    out.clear();
    log.write(entry);
    log.flush();
    return out;
  }
};

AccessEntry sample() {
  AccessEntry e;
  e.request_id = "0123456789abcdef0123456789abcdef";
  e.method = "GET";
  e.url = "/shop/a b";
  e.target = "/shop/a%20b?x=1";
  e.host = "shop.test";
  e.client_ip = "203.0.113.7";
  e.status = 200;
  e.duration_us = 1250;
  e.route = "shop";
  e.user_agent = "curl/8.5.0";
  e.backend = "http://127.0.0.1:9000";
  e.backend_status = 200;
  e.upstream_us = 911;
  e.bytes_in = 3;
  e.bytes_out = 512;
  e.end = "complete";
  return e;
}

// Everything behind the time, which is the clock's.
std::string after_time(const std::string& line, std::string_view next) {
  const size_t at = line.find(next);
  CHECK(at != std::string::npos);
  return line.substr(at);
}

void text_lines_have_gomas_keys_in_gomas_order() {
  Log log(Format::text);
  CHECK_EQ(after_time(log.line(sample()), " level="),
           " level=INFO msg=\"Proxied request\" request_id=0123456789abcdef0123456789abcdef method=GET url=\"/shop/a b\" http_version=HTTP/1.1 "
           "host=shop.test client_ip=203.0.113.7 referer=\"\" status=200 duration=1.25ms route=shop user_agent=curl/8.5.0 duration_ms=1.250 "
           "upstream_ms=0.911 upstream_addr=http://127.0.0.1:9000 upstream_status=200 retries=0 bytes_in=3 bytes_out=512 end=complete\n");
}

void json_lines_are_one_object() {
  Log log(Format::json);
  AccessEntry e = sample();
  e.status = 404;
  e.upstream_us = -1;
  Exchange::LogField second{"lang", "en\"", nullptr};
  const Exchange::LogField first{"k\"ey", "v", &second};
  e.fields = &first;
  const std::string line = log.line(e);
  CHECK_EQ(line.substr(0, 9), "{\"time\":\"");
  CHECK_EQ(after_time(line, ",\"level\""),
           ",\"level\":\"WARN\",\"msg\":\"Proxied request\",\"request_id\":\"0123456789abcdef0123456789abcdef\",\"method\":\"GET\",\"url\":\"/shop/a b\","
           "\"http_version\":\"HTTP/1.1\",\"host\":\"shop.test\",\"client_ip\":\"203.0.113.7\",\"referer\":\"\",\"status\":404,\"duration\":\"1.25ms\","
           "\"route\":\"shop\",\"user_agent\":\"curl/8.5.0\",\"k\\\"ey\":\"v\",\"lang\":\"en\\\"\",\"duration_ms\":1.250,\"bytes_in\":3,\"bytes_out\":512,"
           "\"end\":\"complete\"}\n");
}

void combined_lines_are_apaches() {
  Log log(Format::combined);
  AccessEntry e = sample();
  e.minor_version = 0;
  const std::string line = log.line(e);
  CHECK_EQ(line.substr(0, 17), "203.0.113.7 - - [");
  CHECK_EQ(line[17 + 2], '/');
  CHECK_EQ(line[17 + 26], ']');
  CHECK_EQ(after_time(line, "] "), "] \"GET /shop/a%20b?x=1 HTTP/1.0\" 200 512 \"-\" \"curl/8.5.0\"\n");
}

void the_time_has_milliseconds_and_a_zone() {
  Log log(Format::text);
  const std::string line = log.line(sample());
  CHECK_EQ(line.substr(0, 5), "time=");
  const std::string time = line.substr(5, 29);
  const std::string_view shape = "dddd-dd-ddTdd:dd:dd.ddd+dd:dd";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 'd') CHECK(time[i] >= '0' && time[i] <= '9');
    else CHECK(time[i] == shape[i] || (shape[i] == '+' && time[i] == '-'));
  }
}

void a_hostile_request_makes_one_line() {
  for (const Format format : {Format::text, Format::json, Format::combined}) {
    Log log(format);
    AccessEntry e = sample();
    const std::string hostile = std::string(30'000, '"') + "\r\ntime=x level=INFO msg=forged";
    e.method = e.url = e.target = e.host = e.referer = e.user_agent = e.request_id = hostile;
    std::vector<Exchange::LogField> fields(200, Exchange::LogField{hostile, hostile, nullptr});
    for (size_t i = 0; i + 1 < fields.size(); ++i) fields[i].next = &fields[i + 1];
    e.fields = fields.data();
    const std::string line = log.line(e);
    CHECK(line.size() <= AccessLog::max_line);
    CHECK_EQ(line.find('\n'), line.size() - 1);
    CHECK_EQ(line.find('\r'), std::string::npos);
    CHECK(format == Format::combined || line.find("end") != std::string::npos);
  }
}

void lines_leave_together() {
  Log log(Format::text);
  const AccessEntry e = sample();
  for (int i = 0; i < 1000; ++i) log.log.write(e);
  CHECK(log.writes >= 2 && log.writes < 20);
  log.log.flush();
  CHECK_EQ(std::count(log.out.begin(), log.out.end(), '\n'), 1000);
  CHECK_EQ(log.log.lines(), 1000);
}

void a_second_is_the_longest_wait() {
  Log log(Format::text);
  log.log.write(sample());
  CHECK_EQ(log.writes, 0);
  struct Stop {
    goma::core::Loop& loop;
    void run() { loop.stop(); }
  } stop{log.loop};
  goma::core::Timer timer;
  timer.bind<&Stop::run>(log.loop, &stop);
  timer.start(1200);
  log.loop.run();
  CHECK_EQ(log.writes, 1);
}

void nothing_below_the_lowest_status_is_logged() {
  Log log(Format::text, 400);
  AccessEntry e = sample();
  CHECK_EQ(log.line(e), "");
  e.status = 499;
  CHECK(log.line(e).find("level=WARN") != std::string::npos);
  e.status = 502;
  CHECK(log.line(e).find("level=ERROR") != std::string::npos);
}

// The level decides only when somebody chose it: here through the environment.
void auto_follows_a_chosen_level() {
  struct Row {
    const char* access;
    const char* level;
    bool chosen;
    int lowest;
  };
  constexpr Row rows[] = {
      {"auto", "error", false, 0}, {"auto", "error", true, 500},  {"auto", "warn", true, 400}, {"auto", "info", true, 0},
      {"auto", "debug", true, 0},  {"auto", "off", true, AccessLogSettings::none}, {"on", "off", true, 0}, {"off", "info", true, AccessLogSettings::none},
  };
  for (const Row& row : rows) {
    Config config;
    config.gateway.log.access = row.access;
    config.gateway.log.level = row.level;
    if (row.chosen) config.environment["gateway.log.level"] = "GOMA_LOG_LEVEL";
    CHECK_EQ(goma::http::access_log_settings(config).lowest_status, row.lowest);
  }
}

void the_format_follows_the_configuration() {
  Config config;
  CHECK(goma::http::access_log_settings(config).format == Format::text);
  config.gateway.log.format = "json";
  CHECK(goma::http::access_log_settings(config).format == Format::json);
  config.gateway.log.access_format = "combined";
  CHECK(goma::http::access_log_settings(config).format == Format::combined);
}

class Answers final : public goma::http::Middleware {
 public:
  goma::http::Verdict on_request(Exchange& x) const override {
    x.add_log_field("added", x.query());
    return x.reply_with(200, "text/plain", "0123456789");
  }
};
constexpr std::string_view answers_types[] = {"answers"};
const goma::http::ModuleInfo answers_module = {
    .name = "answers", .types = answers_types, .doc = "", .fields = {}, .make = [](goma::http::BuildContext&) -> std::unique_ptr<goma::http::Middleware> {
      return std::make_unique<Answers>();
    }};

// Served, unmatched, not understood, left by the client: the real exchange, one line each.
void every_exchange_makes_one_line() {
  Log log(Format::json);
  goma::test::Gateway gateway(R"(version: 2
gateway:
  routes:
    - {name: shop, path: /shop, target: "http://127.0.0.1:1", middlewares: [a]}
    - {name: dead, path: /dead, target: "http://127.0.0.1:1"}
middlewares:
  - {name: a, type: answers}
)", {&answers_module});
  CHECK(gateway.built());
  gateway.runtime.access_log = &log.log;
  uint64_t asked = 0;
  const auto line_of = [&](std::string_view request) {
    CHECK(gateway.ask(request).status != 0);
    ++asked;
    CHECK(gateway.run_until([&] { return log.log.lines() >= asked; }));
    log.out.clear();
    log.log.flush();
    CHECK_EQ(std::count(log.out.begin(), log.out.end(), '\n'), 1);
    return log.out;
  };
  const auto holds = [](const std::string& line, std::string_view text) { return line.find(text) != std::string::npos; };
  std::string line = line_of("GET /shop/a%20b?x=1 HTTP/1.1\r\nHost: a.test\r\nX-Request-ID: id-1\r\nUser-Agent: ua\r\nReferer: r\r\n\r\n");
  CHECK(holds(line, "\"request_id\":\"id-1\",\"method\":\"GET\",\"url\":\"/shop/a b\",\"http_version\":\"HTTP/1.1\",\"host\":\"a.test\""));
  CHECK(holds(line, "\"referer\":\"r\",\"status\":200,"));
  CHECK(holds(line, "\"route\":\"shop\",\"user_agent\":\"ua\",\"added\":\"x=1\","));
  CHECK(holds(line, "\"bytes_out\":10,\"end\":\"complete\"}"));
  line = line_of("GET /nothing HTTP/1.0\r\n\r\n");
  CHECK(holds(line, "\"msg\":\"Unrouted request\""));
  CHECK(holds(line, "\"http_version\":\"HTTP/1.0\",\"host\":\"\"") && holds(line, "\"status\":404,") && holds(line, "\"end\":\"no-route\"}"));
  line = line_of("GET /dead HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(holds(line, "\"status\":502,") && holds(line, "\"upstream_addr\":\"http://127.0.0.1:1\",\"upstream_status\":0,") &&
        holds(line, "\"end\":\"backend-connect\"}"));
  line = line_of("BAD\r\n\r\n");
  CHECK(holds(line, "\"status\":400,") && holds(line, "\"end\":\"bad-request\"}"));
}

}  // namespace

GOMA_TESTS(json_texts_stay_inside_their_quotes, slog_values_are_quoted_when_they_must_be, combined_texts_stay_inside_their_quotes,
           durations_are_written_as_goma_does, a_line_never_outgrows_its_room, random_texts_are_harmless, text_lines_have_gomas_keys_in_gomas_order,
           json_lines_are_one_object, combined_lines_are_apaches, the_time_has_milliseconds_and_a_zone, a_hostile_request_makes_one_line,
           lines_leave_together, a_second_is_the_longest_wait, nothing_below_the_lowest_status_is_logged, auto_follows_a_chosen_level,
           the_format_follows_the_configuration, every_exchange_makes_one_line)
