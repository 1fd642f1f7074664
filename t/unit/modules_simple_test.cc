// SPDX-License-Identifier: Apache-2.0
//
// The modules that never wait, each on a real exchange: what they do to requests and answers, and which
// configurations they refuse. A probe at the end of the chain answers with the request as it would be forwarded.
#include <algorithm>

#include "gateway_fixture.h"
#include "http/exchange.h"
#include "http/host_limits.h"
#include "modules/modules.h"

namespace {

using goma::http::Exchange;
using goma::http::Verdict;
using goma::test::Answer;
using goma::test::Gateway;

// Answers with the path, the query and the header as they are at this point of the chain.
class Probe final : public goma::http::Middleware {
 public:
  Verdict on_request(Exchange& x) const override {
    std::string text = std::string(x.path().encoded) + "|" + std::string(x.path().decoded) + "|" + std::string(x.query()) + "\n";
    for (const goma::http::Header& h : x.request().headers) text += std::string(h.name) + ": " + std::string(h.value) + "\n";
    for (const Exchange::LogField* f = x.log_fields(); f != nullptr; f = f->next) {
      text += "log " + std::string(f->key) + "=" + std::string(f->value) + "\n";
    }
    return x.reply_with(200, "text/plain", x.arena().copy(text));
  }
};

constexpr std::string_view probe_types[] = {"probe"};
const goma::http::ModuleInfo probe_module = {
    .name = "probe", .types = probe_types, .doc = "", .fields = {}, .make = [](goma::http::BuildContext&) -> std::unique_ptr<goma::http::Middleware> {
      return std::make_unique<Probe>();
    }};

Gateway::Modules modules() {
  Gateway::Modules all(goma::mod::all_modules().begin(), goma::mod::all_modules().end());
  all.push_back(&probe_module);
  return all;
}

// A route "/" that runs these middlewares, then the probe. Middlewares are named a, b, c ... in the order given.
std::string yaml(const std::vector<std::string>& middlewares, const std::string& route_keys = {}) {
  std::string names, definitions;
  for (size_t i = 0; i < middlewares.size(); ++i) {
    const std::string name(1, static_cast<char>('a' + i));
    names += name + ", ";
    definitions += "  - {name: " + name + ", " + middlewares[i] + "}\n";
  }
  return "version: 2\ngateway:\n  routes:\n    - {name: main, path: /, target: \"http://127.0.0.1:1\", middlewares: [" + names + "probe]" + route_keys +
         "}\nmiddlewares:\n" + definitions + "  - {name: probe, type: probe}\n";
}

struct World : Gateway {
  explicit World(const std::vector<std::string>& middlewares, const std::string& route_keys = {})
      : Gateway(yaml(middlewares, route_keys), modules()) {
    CHECK_EQ(problems.errors() == 0 ? std::string() : problems.render(), "");
    CHECK(built());
  }
};

// The code of the first error that this middleware's configuration makes; "" when it is accepted.
std::string refusal(const std::string& middleware) {
  Gateway gateway(yaml({middleware}), modules());
  for (const goma::core::Problem& problem : gateway.problems.list()) {
    if (problem.severity == goma::core::Severity::error) return problem.code;
  }
  return {};
}

bool has(const Answer& answer, std::string_view text) { return answer.body.find(text) != std::string::npos; }

// ---------------------------------------------------------------- the inventory

void every_module_is_described() {
  CHECK(goma::mod::all_modules().size() >= 7);
  for (const goma::http::ModuleInfo* module : goma::mod::all_modules()) {
    CHECK(!module->name.empty() && !module->types.empty() && !module->doc.empty() && module->make != nullptr);
  }
}

// ---------------------------------------------------------------- respond

void respond_answers_with_its_words() {
  World world({"type: respond, paths: [/fixed], rule: {status: 418, body: tea, contentType: text/tea, headers: {X-Pot: blue, Cache-Control: no-store}}"});
  const Answer answer = world.get("/fixed");
  CHECK_EQ(answer.status, 418);
  CHECK_EQ(answer.body, "tea");
  CHECK_EQ(answer.field("Content-Type"), "text/tea");
  CHECK_EQ(answer.field("X-Pot"), "blue");
  CHECK_EQ(answer.field("Cache-Control"), "no-store");
  CHECK_EQ(answer.field("Content-Length"), "3");
  CHECK_EQ(world.get("/other").status, 200);
}

void respond_knows_answers_without_body() {
  World world({"type: respond, rule: {status: 204}"});
  const Answer answer = world.get("/");
  CHECK_EQ(answer.status, 204);
  CHECK_EQ(answer.field("Content-Type"), "");
  CHECK_EQ(answer.field("Content-Length"), "");
  CHECK_EQ(refusal("type: respond, rule: {status: 204, body: x}"), "bad-value");
  CHECK_EQ(refusal("type: respond, rule: {status: 99}") != "", true);
}

void respond_refuses_dangerous_headers() {
  CHECK_EQ(refusal("type: respond, rule: {headers: {Content-Length: 5}}"), "bad-header");
  CHECK_EQ(refusal("type: respond, rule: {headers: {\"X y\": 5}}"), "bad-header");
  CHECK_EQ(refusal("type: respond, rule: {headers: {X: \"a\\r\\nb\"}}"), "bad-header");
  CHECK_EQ(refusal("type: respond, rule: {headers: {Content-Type: text/html}}"), "bad-value");
  CHECK_EQ(refusal("type: respond, rule: {contentType: \"a\\nb\"}"), "bad-value");
}

// ---------------------------------------------------------------- addPrefix

void add_prefix_joins_with_one_slash() {
  for (const char* prefix : {"/api", "/api/", "api", "api//"}) {
    World world({std::string("type: addPrefix, rule: {prefix: ") + prefix + "}"});
    CHECK(has(world.get("/users/a%20b?q=1"), "/api/users/a%20b|/api/users/a b|q=1\n"));
    CHECK(has(world.get("/"), "/api/|/api/|\n"));
  }
  World nothing({"type: addPrefix, rule: {prefix: /}"});
  CHECK(has(nothing.get("/users"), "/users|/users|\n"));
  CHECK_EQ(refusal("type: addPrefix, rule: {prefix: \"/a?b\"}"), "bad-value");
  CHECK_EQ(refusal("type: addPrefix, rule: {prefix: \"/a b\"}"), "bad-value");
  CHECK_EQ(refusal("type: addPrefix, rule: {}") != "", true);
}

// ---------------------------------------------------------------- requestHeaders

void request_headers_removes_then_sets() {
  World world({"type: requestHeaders, rule: {removeHeaders: [X-Debug, x-both], setHeaders: {X-Env: prod, Cookie: \"\", X-Both: new, Host: evil.test}}"});
  const Answer answer = world.get("/", "x-debug: 1\r\nX-Debug: 2\r\nCookie: a=b\r\nX-Env: dev\r\nx-env: test\r\nX-Both: old\r\nX-Keep: 1\r\n");
  CHECK(!has(answer, "debug"));
  CHECK(!has(answer, "Debug"));
  CHECK(!has(answer, "Cookie"));
  CHECK(has(answer, ": prod\n"));
  CHECK(!has(answer, ": dev\n") && !has(answer, ": test\n"));
  CHECK(has(answer, "new") && !has(answer, "old"));
  CHECK(has(answer, "X-Keep: 1\n"));
  CHECK(has(answer, "Host: a.test\n"));
  CHECK_EQ(world.problems.warnings(), 1);
}

void request_headers_refuses_framing() {
  CHECK_EQ(refusal("type: requestHeaders, rule: {setHeaders: {Transfer-Encoding: chunked}}"), "bad-header");
  CHECK_EQ(refusal("type: requestHeaders, rule: {removeHeaders: [Connection]}"), "bad-header");
  CHECK_EQ(refusal("type: requestHeaders, rule: {setHeaders: {X: \"a\\nb\"}}"), "bad-header");
}

// ---------------------------------------------------------------- responseHeaders

void response_headers_sets_and_removes() {
  World world({"type: responseHeaders, rule: {setHeaders: {X-Frame-Options: DENY, Content-Type: \"\", X-Route: \"{route.name} at {route.path}\", "
               "X-Mixed: \"v{gateway.version}!{route.target}{nothing}\", Proxied-By: \"\", Server: mine}}"});
  const Answer answer = world.get("/");
  CHECK_EQ(answer.field("X-Frame-Options"), "DENY");
  CHECK_EQ(answer.field("Content-Type"), "");
  CHECK_EQ(answer.field("X-Route"), "main at /");
  CHECK_EQ(answer.field("X-Mixed"), "v" GOMA_VERSION "!http://127.0.0.1:1{nothing}");
  CHECK_EQ(answer.field("Proxied-By"), "");
  CHECK_EQ(answer.field("Server"), "mine");
}

// However they are listed: the shortest first path is applied first, so the longest wins; equal ones in listed order.
void response_headers_stack_by_length_of_path() {
  std::vector<std::string> policies = {"type: responseHeaders, paths: [/longer/path], rule: {setHeaders: {X: long}}",
                                       "type: responseHeaders, paths: [/longer], rule: {setHeaders: {X: short}}",
                                       "type: responseHeaders, rule: {setHeaders: {X: all, Y: first}}"};
  for (int order = 0; order < 3; ++order) {
    std::rotate(policies.begin(), policies.begin() + 1, policies.end());
    World world(policies);
    CHECK_EQ(world.get("/longer/path/x").field("X"), "long");
    CHECK_EQ(world.get("/longer/x").field("X"), "short");
    CHECK_EQ(world.get("/x").field("X"), "all");
  }
  policies.push_back("type: responseHeaders, rule: {setHeaders: {Y: second}}");
  CHECK_EQ(World(policies).get("/x").field("Y"), "second");
}

void response_headers_dress_other_answers() {
  World world({"type: respond, rule: {status: 404}", "type: responseHeaders, rule: {setHeaders: {X: y}}"});
  const Answer answer = world.get("/");
  CHECK_EQ(answer.status, 404);
  CHECK_EQ(answer.field("X"), "y");
}

void response_headers_refuses_what_it_cannot_do() {
  CHECK_EQ(refusal("type: responseHeaders, rule: {setHeaders: {Trailer: x}}"), "bad-header");
  CHECK_EQ(refusal("type: responseHeaders, rule: {setHeaders: {X: \"a\\r\\nSet-Cookie: b\"}}"), "bad-header");
  CHECK_EQ(refusal("type: responseHeaders, rule: {cacheControl: no-store}"), "not-implemented");
  CHECK_EQ(refusal("type: responseHeaders, rule: {}"), "missing-key");
}

// ---------------------------------------------------------------- redirectScheme

void redirect_scheme_keeps_the_address() {
  World world({"type: redirectScheme, rule: {scheme: https, port: 8443}"});
  const Answer answer = world.get("/secure/a%20b?x=1&y=%2f");
  CHECK_EQ(answer.status, 302);
  CHECK_EQ(answer.field("Location"), "https://a.test:8443/secure/a%20b?x=1&y=%2f");
  CHECK_EQ(world.get("/.well-known/acme-challenge/token").status, 200);
}

void redirect_scheme_ports() {
  World standard({"type: redirectScheme, rule: {scheme: HTTPS, port: 443, permanent: true}"});
  const Answer answer = standard.ask("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n");
  CHECK_EQ(answer.status, 301);
  CHECK_EQ(answer.field("Location"), "https://[::1]/");
  World kept({"type: redirectScheme, rule: {scheme: https}"});
  CHECK_EQ(kept.ask("GET / HTTP/1.1\r\nHost: h:8080\r\n\r\n").field("Location"), "https://h:8080/");
  CHECK_EQ(kept.ask("GET / HTTP/1.0\r\n\r\n").status, 400);
  World same({"type: redirectScheme, rule: {scheme: http}"});
  CHECK_EQ(same.get("/").status, 200);
}

// ---------------------------------------------------------------- accessLog

void access_log_notes_what_the_client_sent() {
  World world({"type: accessLog, rule: {headers: [CF-IPCountry, Authorization, X-None], query: [debug, none], cookies: [lang]}",
               "type: requestHeaders, rule: {removeHeaders: [CF-IPCountry]}"});
  const Answer answer = world.get("/?x=1&debug=on&debug=off", "CF-IPCountry: DE\r\nAuthorization: Bearer secret\r\nCookie: a=b; lang=en; language=x\r\nCookie: lang=fr\r\n");
  CHECK(has(answer, "log cf-ipcountry=DE\nlog authorization=[REDACTED]\nlog debug=on\nlog lang=en\n"));
  CHECK_EQ(answer.body.find("log x-none"), std::string::npos);
}

void the_last_access_log_counts() {
  World world({"type: accessLog, rule: {query: [a]}", "type: accessLog, rule: {query: [b]}"});
  const Answer answer = world.get("/?a=1&b=2");
  CHECK(!has(answer, "log a=1") && has(answer, "log b=2"));
  CHECK_EQ(refusal("type: accessLog, rule: {}"), "missing-key");
}

// ---------------------------------------------------------------- rateLimit (decisions: t/rate_limit.t, core/limit_zone)

// A gateway with a zone, as a worker has it.
struct Limited : World {
  using World::World;
  goma::core::Slab slab = std::move(goma::core::Slab::create().value());
  goma::core::LimitZone zone = goma::core::LimitZone::open(slab, 65536).value();
  void open() { runtime.limit_zone = &zone; }
};

void a_limit_refuses_and_tells() {
  Limited world({"type: ratelimit, rule: {unit: hour, requestsPerUnit: 2, banAfter: 2}"});
  CHECK_EQ(world.get("/").status, 200);  // without a zone nothing is limited
  world.open();
  CHECK_EQ(world.get("/").field("X-RateLimit-Remaining"), "1");
  CHECK_EQ(world.get("/").field("RateLimit"), "\"a\";r=0;t=3600");
  const Answer refused = world.get("/");
  CHECK_EQ(refused.status, 429);
  CHECK_EQ(refused.field("Retry-After"), "1800");
  CHECK_EQ(world.get("/").status, 429);
  const Answer banned = world.get("/");
  CHECK_EQ(banned.status, 403);
  CHECK_EQ(banned.field("Retry-After"), "600");
  CHECK(has(banned, "temporarily banned"));
}

void the_policy_is_told() {
  Limited world({"type: rateLimit, rule: {requestsPerUnit: 5}"});
  world.open();
  CHECK_EQ(world.get("/").field("RateLimit-Policy"), "\"a\";q=5;w=1");
}

void wrong_limits_are_refused() {
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 5}"), "");
  CHECK_EQ(refusal("type: rateLimit, rule: {}"), "missing-key");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 0}"), "out-of-range");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 5, unit: minutes}"), "bad-value");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 5, banDuration: 0s}"), "bad-value");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 5, banDuration: 87600h}"), "");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 5, banDuration: 87601h}"), "bad-value");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 1, unit: day, burst: 1000000000}"), "bad-value");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 1000000000, burst: 1000000000}"), "");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 1000000000, burst: 1000000000, algorithm: fixedWindow}"), "bad-value");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 5, keyStrategy: {source: header}}"), "missing-key");
  CHECK_EQ(refusal("type: rateLimit, rule: {requestsPerUnit: 5, keyStrategy: {source: ip, ipv6Prefix: 129}}"), "out-of-range");
}

}  // namespace

GOMA_TESTS(every_module_is_described, respond_answers_with_its_words, respond_knows_answers_without_body, respond_refuses_dangerous_headers,
           add_prefix_joins_with_one_slash, request_headers_removes_then_sets, request_headers_refuses_framing, response_headers_sets_and_removes,
           response_headers_stack_by_length_of_path, response_headers_dress_other_answers, response_headers_refuses_what_it_cannot_do,
           redirect_scheme_keeps_the_address, redirect_scheme_ports, access_log_notes_what_the_client_sent, the_last_access_log_counts,
           a_limit_refuses_and_tells, the_policy_is_told, wrong_limits_are_refused)
