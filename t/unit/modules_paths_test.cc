// SPDX-License-Identifier: Apache-2.0
//
// One path in many spellings (t/unit/path_spellings.inc): whatever looks at a path decides alike on all of them, be
// it the `paths` of a middleware in front of the path that came or of the one that is forwarded, or the choice of a route;
// and by prefix, regular expression or exactly. What is refused says why.
#include <sstream>

#include "gateway_fixture.h"
#include "http/exchange.h"
#include "modules/modules.h"

namespace {

using goma::test::Gateway;

constexpr std::string_view table =
#include "path_spellings.inc"
    ;

struct Row {
  std::string middleware, routes, refuse, decode, path;
};

std::vector<Row> rows() {
  std::vector<Row> out;
  std::istringstream lines{std::string(table)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Row row;
    if (line.starts_with('#') || !(words >> row.middleware >> row.routes >> row.refuse >> row.decode >> row.path)) continue;
    out.push_back(row);
  }
  CHECK(out.size() > 90);
  return out;
}

struct Case {
  std::string host, prefix;
  size_t route = 3;  // a column of Row::routes; 3: none, it is by middleware
};

// A host for every way to protect the path. What is guarded is answered with 403, what is open with 200.
std::string yaml(std::string_view encoded_slash, std::vector<Case>& cases) {
  std::string routes, middlewares = "  - {name: deny, type: respond, rule: {status: 403}}\n  - {name: open, type: respond, rule: {status: 200}}\n";
  const auto route = [&](const std::string& host, const std::string& path, const std::string& names, const std::string& more = {}) {
    static int number = 0;
    routes += fmt::format("    - {{name: r{}, path: \"{}\", hosts: [{}], target: \"http://127.0.0.1:1\", middlewares: [{}]{}}}\n", ++number, path, host, names, more);
  };
  size_t n = 0;
  for (const char* pattern : {"/private/admin", "^/pr[i]vate/adm.n", "^/private/admin/x$"}) {
    const std::string guard = fmt::format("guard{}", ++n);
    middlewares += fmt::format("  - {{name: {}, type: respond, paths: [\"{}\"], rule: {{status: 403}}}}\n", guard, pattern);
    route(fmt::format("m{}.test", n), "/", guard + ", open");
    cases.push_back({fmt::format("m{}.test", n), {}});
    route(fmt::format("w{}.test", n), "/shop", guard + ", open", ", rewrite: /");
    route(fmt::format("w{}.test", n), "/", "deny");
    cases.push_back({fmt::format("w{}.test", n), "/shop"});
  }
  n = 0;
  for (const char* path : {"/private", "/private/{name}", "/private/admin/x"}) {
    const std::string host = fmt::format("r{}.test", n);
    route(host, path, "deny");
    route(host, "/", "open");
    cases.push_back({host, {}, n++});
  }
  return fmt::format("version: 2\ngateway:\n  networking: {{encodedSlash: {}}}\n  routes:\n{}middlewares:\n{}", encoded_slash, routes, middlewares);
}

std::string outcome(char letter) { return letter == 'g' ? "403" : letter == 'r' ? "400" : "200"; }

void decide_alike(std::string_view encoded_slash, char (*wanted)(const Row&, const Case&)) {
  std::vector<Case> cases;
  const auto all = goma::mod::all_modules();
  Gateway gateway(yaml(encoded_slash, cases), {all.begin(), all.end()});
  CHECK_EQ(gateway.problems.errors() == 0 ? std::string() : gateway.problems.render(), "");
  std::string wrong;
  for (const Row& row : rows()) {
    for (const Case& c : cases) {
      const int status = gateway.ask(fmt::format("GET {}{} HTTP/1.1\r\nHost: {}\r\n\r\n", c.prefix, row.path, c.host)).status;
      if (std::to_string(status) != outcome(wanted(row, c))) wrong += fmt::format("\n{} at {}: {}, wanted {}", row.path, c.host, status, outcome(wanted(row, c)));
    }
  }
  CHECK_EQ(wrong, "");
}

void every_reading_is_guarded() {
  decide_alike("keep", [](const Row& row, const Case& c) { return c.route < 3 ? row.routes[c.route] : row.middleware[0]; });
}

void an_encoded_slash_may_be_refused() {
  decide_alike("refuse", [](const Row& row, const Case&) { return row.refuse[0]; });
}

void an_encoded_slash_may_be_a_slash() {
  decide_alike("decode", [](const Row& row, const Case&) { return row.decode[0]; });
}

// ---------------------------------------------------------------- what is refused, and what need not be

struct World : Gateway {
  explicit World(const std::string& routes, const std::string& middlewares)
      : Gateway("version: 2\ngateway:\n  routes:\n" + routes + "middlewares:\n" + middlewares, {goma::mod::all_modules().begin(), goma::mod::all_modules().end()}) {
    CHECK_EQ(problems.errors() == 0 ? std::string() : problems.render(), "");
  }
};

constexpr const char* answers = R"(
  - {name: one, type: respond, rule: {status: 201}}
  - {name: two, type: respond, rule: {status: 202}}
  - {name: some, type: respond, paths: [/a/b], rule: {status: 203}}
  - {name: limit, type: rateLimit, rule: {requestsPerUnit: 1000, unit: hour}}
  - {name: secure, type: redirectScheme, rule: {scheme: https}}
)";

std::string route(const std::string& path, const std::string& more) {
  return "    - {name: \"" + path + "\", path: \"" + path + "\", target: \"http://127.0.0.1:1\", " + more + "}\n";
}

// Readings may lead to different routes when nothing is gained by that; the one that is written serves.
void routes_that_are_guarded_alike() {
  struct Pair {
    std::string of_root, of_ab;
    int status;
  };
  for (const Pair& c : {Pair{"middlewares: [limit, one]", "middlewares: [limit, one]", 201}, {"middlewares: [one]", "middlewares: [limit, one]", 400},
                        {"middlewares: [limit, one]", "middlewares: [one, limit]", 400}, {"middlewares: [one]", "middlewares: [two]", 400},
                        {"middlewares: [some, one]", "middlewares: [some, one]", 400}, {"middlewares: [one]", "middlewares: [one], methods: [GET]", 400},
                        {"middlewares: [one], methods: [GET]", "middlewares: [one], methods: [GET]", 201}}) {
    World world(route("/", c.of_root) + route("/a/b", c.of_ab), answers);
    CHECK_EQ(world.get("/a%2Fb").status, c.status);
  }
  World nowhere(route("/a%2fb", "middlewares: [one]") + route("/a/b/c", "middlewares: [two]"), answers);
  CHECK_EQ(nowhere.get("/a%2Fb/c").status, 404);
  World only(route("/{name}", "middlewares: [one]"), answers);
  CHECK_EQ(only.get("/a%2Fb/c").status, 201);
}

// Endpoints of the gateway stand for what a backend has at the same place.
void endpoints_are_like_nothing_else() {
  World world(route("/", "middlewares: [one]"), answers);
  CHECK_EQ(world.get("/readyz").status, 200);
  CHECK_EQ(world.get("/%2freadyz").status, 400);
  CHECK_EQ(world.get("/a%2freadyz").status, 201);
}

// What is exempt must be so however it is read.
void exemptions_want_every_reading() {
  World world(route("/", "middlewares: [secure, one]"), answers);
  CHECK_EQ(world.get("/.well-known/acme-challenge/token").status, 201);
  CHECK_EQ(world.get("/.well-known/acme-challenge/a%2Fb").status, 201);
  CHECK_EQ(world.get("/.well-known%2facme-challenge/token").status, 302);
  CHECK_EQ(world.get("/%2f.well-known/acme-challenge/token").status, 302);
}

}  // namespace

GOMA_TESTS(every_reading_is_guarded, an_encoded_slash_may_be_refused, an_encoded_slash_may_be_a_slash, routes_that_are_guarded_alike,
           endpoints_are_like_nothing_else, exemptions_want_every_reading)
