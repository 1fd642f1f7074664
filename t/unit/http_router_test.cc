// SPDX-License-Identifier: Apache-2.0
//
// The router against the tables of goma-config 6, and against a plain matcher that tries every pattern and sorts.
#include "http/router.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>

#include "core/text.h"
#include "http/route.h"
#include "http/upstream.h"

#include "check.h"

using goma::http::Route;
using goma::http::Router;

namespace {

// A router with the routes it points to.
struct Table {
  std::deque<Route> routes;
  goma::core::Problems problems;
  Router router;

  Table& add(std::string name, const std::string& path, const std::vector<std::string>& hosts = {}, int priority = 0) {
    std::vector<goma::core::PlacedText> placed;
    for (const std::string& host : hosts) placed.push_back({host, {}});
    router.add(&make(std::move(name)), priority, path, placed);
    return *this;
  }
  Table& builtin(std::string name, const std::string& path, bool below = false, const std::string& host = {}) {
    router.add_builtin(&make(std::move(name)), path, below, host);
    return *this;
  }
  Route& make(std::string name) {
    Route& route = routes.emplace_back();
    route.name = std::move(name);
    return route;
  }
  Table& compile(bool strict_slash = true) {
    router.compile(problems, strict_slash);
    return *this;
  }
  std::string find(std::string_view host, std::string_view path, std::string_view method = "GET") const {
    const Router::Match match = router.find(host, path, method);
    return match.route == nullptr ? "-" : match.route->name;
  }
};

void precedence_of_the_fixture() {
  Table t;
  t.add("any", "/").add("api", "/api", {"a.test"}).add("v1", "/api/v1/", {"A.TEST"}).add("wild", "/api", {"*.a.test"});
  t.add("pinned", "/api/blue", {}, -5).add("blue-deep", "/api/blue/deep/er").add("tenant", "/t/{tenant}/files").add("ro", "/ro");
  t.compile();
  CHECK_EQ(t.find("a.test", "/api/v1/x"), "v1");
  CHECK_EQ(t.find("a.test", "/api/x"), "api");
  CHECK_EQ(t.find("b.a.test", "/api/x"), "wild");
  CHECK_EQ(t.find("other.test", "/"), "any");
  CHECK_EQ(t.find("other.test", "/api/x"), "any");
  CHECK_EQ(t.find("a.test", "/api/blue/x"), "pinned");
  CHECK_EQ(t.find("a.test", "/api/blue/deep/er/x"), "pinned");
  CHECK_EQ(t.find("a.test", "/t/7/files/x"), "tenant");
  CHECK_EQ(t.find("a.test", "/t/7/other"), "any");
  CHECK_EQ(t.find("a.test", "/ro", "DELETE"), "ro");
  CHECK(t.problems.empty());
}

void paths_are_bounded_by_segments() {
  Table t;
  t.add("api", "/api").add("bare", "bare/").compile();
  for (const char* path : {"/api", "/api/", "/api/x", "/api/x/y/"}) CHECK_EQ(t.find("h", path), "api");
  for (const char* path : {"/apiary", "/API", "/ap", "/", "/x/api", "", "*"}) CHECK_EQ(t.find("h", path), "-");
  CHECK_EQ(t.find("h", "/bare/x"), "bare");
}

void parameters_take_one_segment() {
  Table t;
  t.add("one", "/u/{id}/p").add("me", "/u/me").add("rest", "/files/{path...}").compile();
  CHECK_EQ(t.find("h", "/u/7/p"), "one");
  CHECK_EQ(t.find("h", "/u/7/p/x"), "one");
  CHECK_EQ(t.find("h", "/u/7"), "-");
  CHECK_EQ(t.find("h", "/u/me/p"), "me");  // literal before {param}, although the other pattern is longer
  CHECK_EQ(t.find("h", "/files/a/b"), "rest");
  CHECK_EQ(t.find("h", "/files"), "-");
}

void specificity_falls_through_hosts() {
  Table t;
  t.add("deep", "/a/b/c", {"x.test"}).add("param", "/a/{p}/c", {"y.test"}).add("short", "/a").compile();
  CHECK_EQ(t.find("x.test", "/a/b/c"), "deep");
  CHECK_EQ(t.find("y.test", "/a/b/c"), "param");
  CHECK_EQ(t.find("z.test", "/a/b/c"), "short");
}

void priority_goes_first() {
  Table t;
  t.add("root", "/", {}, -1).add("api", "/api").add("late", "/late", {}, 3).compile();
  CHECK_EQ(t.find("h", "/api"), "root");
  CHECK_EQ(t.find("h", "/late"), "root");
  Table shared;  // routes of one pattern share the lowest priority among them
  shared.add("a", "/p/q", {"a.test"}, 5).add("b", "/p/q", {"b.test"}, -5).add("p", "/p", {}, 0).compile();
  CHECK_EQ(shared.find("a.test", "/p/q"), "a");
  CHECK_EQ(shared.find("c.test", "/p/q"), "p");
}

void host_patterns() {
  Table t;
  t.add("port", "/", {"api.example.com:8443"}).add("whole", "/", {"api.example.com"}).add("one", "/", {"{sub}.example.com"});
  t.add("many", "/", {"*.example.com"}).add("deeper", "/", {"{x...}.b.example.com"}).add("any", "/", {"*"}).add("v6", "/", {"[::1]"}).compile();
  CHECK(t.problems.empty());
  const std::map<std::string, std::string> expected{
      {"api.example.com:8443", "port"}, {"API.Example.COM.:8443", "port"}, {"api.example.com:80", "whole"}, {"api.example.com", "whole"},
      {"api.example.com.", "whole"},    {"x.example.com", "one"},          {"x.example.com:9", "one"},      {"x.y.example.com", "many"},
      {"y.b.example.com", "deeper"},    {"z.y.b.example.com", "deeper"},   {"example.com", "any"},          {".example.com", "any"},
      {"notexample.com", "any"},        {"", "any"},                       {"[::1]:80", "v6"},              {"[::1]", "v6"},
      {"[::2]", "any"},                 {std::string(4000, 'a') + ".example.com", "any"}};
  for (const auto& [host, name] : expected) CHECK_EQ(host + " " + t.find(host, "/x"), host + " " + name);
}

void any_host_spellings_are_one() {
  Table t;
  t.add("first", "/a").add("second", "/a", {"*"}).add("third", "/a", {"{h...}"}).compile();
  CHECK_EQ(t.problems.warnings(), 2);
  CHECK_EQ(t.find("h", "/a"), "first");
}

void duplicates_keep_the_first() {
  Table t;
  t.add("one", "/a", {"x.test", "y.test"}).add("two", "/a/", {"Y.test", "z.test"}).add("three", "/a", {"z.test"}).compile();
  CHECK_EQ(t.problems.warnings(), 1);
  CHECK(t.problems.list()[0].message.find("\"two\"") != std::string::npos);
  CHECK(t.problems.list()[0].message.find("\"one\"") != std::string::npos);
  CHECK_EQ(t.find("y.test", "/a"), "one");
  CHECK_EQ(t.find("z.test", "/a"), "three");
  CHECK_EQ(t.router.size(), 2);
  Table parameters;  // names of parameters make no difference
  parameters.add("one", "/{a}/x").add("two", "/{b}/x").compile();
  CHECK_EQ(parameters.problems.warnings(), 1);
}

void built_in_endpoints() {
  Table t;
  t.add("root", "/").builtin("ready", "/readyz").builtin("metrics", "/metrics", true, "ops.test").compile();
  CHECK_EQ(t.find("h", "/readyz"), "ready");
  CHECK_EQ(t.find("h", "/readyz", "HEAD"), "ready");
  CHECK_EQ(t.find("h", "/readyz", "POST"), "root");
  CHECK_EQ(t.find("h", "/readyz/x"), "root");
  CHECK_EQ(t.find("ops.test", "/metrics"), "metrics");
  CHECK_EQ(t.find("ops.test", "/metrics/x"), "metrics");
  CHECK_EQ(t.find("h", "/metrics"), "root");
  Table own;
  own.add("mine", "/readyz").builtin("ready", "/readyz").compile();
  CHECK_EQ(own.find("h", "/readyz"), "ready");
  CHECK_EQ(own.find("h", "/readyz", "POST"), "mine");
  CHECK_EQ(own.problems.warnings(), 0);
  Table first;
  first.builtin("ready", "/readyz").add("mine", "/", {}, -1).compile();
  CHECK_EQ(first.find("h", "/readyz"), "mine");
}

void wrong_method_and_trailing_slash() {
  Table t;
  t.builtin("ready", "/readyz").compile();
  const Router::Match wrong = t.router.find("h", "/readyz", "POST");
  CHECK(wrong.route == nullptr && wrong.method_mismatch);
  CHECK_EQ(wrong.allow, "GET, HEAD");
  CHECK_EQ(t.router.find("h", "/readyz/", "GET").redirect, "/readyz");
  CHECK_EQ(t.router.find("h", "/readyz/x", "GET").redirect, "");
  CHECK_EQ(t.router.find("h", "/", "GET").redirect, "");
  Table lax;
  lax.builtin("ready", "/readyz").compile(false);
  CHECK_EQ(lax.router.find("h", "/readyz/", "GET").redirect, "");
}

void path_parameters_do_not_hide_a_prefix() {
  Table t;
  t.add("root", "/").add("admin", "/admin").add("semi", "/a;b").add("deep", "/x/{p}/y").compile();
  for (const char* path : {"/admin", "/admin;x", "/admin;x=1;y", "/admin;/z", "/;/admin", "/;a/;b/admin;c/d"}) CHECK_EQ(t.find("h", path), "admin");
  CHECK_EQ(t.find("h", "/a;b"), "semi");
  CHECK_EQ(t.find("h", "/a;c"), "root");
  CHECK_EQ(t.find("h", "/x/1;2/y;3"), "deep");
  CHECK_EQ(t.find("h", "/x/;2/y"), "root");  // an empty segment is no parameter
}

void asterisk_is_for_the_root() {
  Table t;
  t.add("root", "/", {"a.test"}).add("param", "/{x}").compile();
  CHECK_EQ(t.find("a.test", "*", "OPTIONS"), "root");
  CHECK_EQ(t.find("b.test", "*", "OPTIONS"), "-");
}

void an_empty_table_finds_nothing() {
  Table t;
  t.compile();
  CHECK_EQ(t.find("h", "/x"), "-");
  CHECK_EQ(t.find("", "*"), "-");
}

// ---------------------------------------------------------------- the plain matcher

using Parts = std::vector<std::string>;

Parts parts_of(std::string_view path) {
  Parts out;
  for (std::string_view part : goma::core::split(path, '/')) {
    if (!part.empty()) out.emplace_back(part);
  }
  return out;
}

struct Plain {
  std::string name;
  Parts path;
  std::vector<std::string> hosts;
  int priority;
};

bool parameter(const std::string& part) { return part.front() == '{'; }

// The same for all patterns that match the same paths.
std::string shape(const Plain& route) {
  std::string out;
  for (const std::string& part : route.path) out += "/" + (parameter(part) ? std::string("{}") : part);
  return out;
}

// Ranks position by position: literal 0, parameter 1, end 2, below 3; nothing when it does not match.
std::optional<std::vector<int>> ranks(const Plain& route, const Parts& path, bool trailing) {
  if (route.path.size() > path.size()) return std::nullopt;
  std::vector<int> out;
  for (size_t i = 0; i < route.path.size(); ++i) {
    if (!parameter(route.path[i]) && route.path[i] != path[i]) return std::nullopt;
    out.push_back(parameter(route.path[i]) ? 1 : 0);
  }
  out.push_back(route.path.size() == path.size() && !trailing ? 2 : 3);
  return out;
}

// How well one of the hosts serves: rank, then the longer suffix.
std::optional<std::pair<int, int>> host_rank(const std::vector<std::string>& patterns, const std::string& host) {
  if (patterns.empty()) return std::pair(5, 0);
  std::optional<std::pair<int, int>> best;
  const std::string name = host.substr(0, host.find(':'));
  for (const std::string& pattern : patterns) {
    std::pair<int, int> rank{9, 0};
    const std::string suffix = pattern.substr(std::min(pattern.find('.'), pattern.size()));
    const bool under = name.size() > suffix.size() && name.ends_with(suffix);
    const std::string extra = under ? name.substr(0, name.size() - suffix.size()) : "";
    if (pattern == host && host.find(':') != std::string::npos) rank = {1, 0};
    else if (pattern == name) rank = {2, 0};
    else if (pattern.starts_with("{s}.") && under && extra.find('.') == std::string::npos) rank = {3, -static_cast<int>(suffix.size())};
    else if (pattern.starts_with("*.") && under) rank = {4, -static_cast<int>(suffix.size())};
    if (rank.first < 9 && (!best || rank < *best)) best = rank;
  }
  return best;
}

bool overlap(const Plain& a, const Plain& b) {
  if (shape(a) != shape(b)) return false;
  if (a.hosts.empty() || b.hosts.empty()) return a.hosts.empty() && b.hosts.empty();
  return std::any_of(a.hosts.begin(), a.hosts.end(), [&](const std::string& h) { return std::find(b.hosts.begin(), b.hosts.end(), h) != b.hosts.end(); });
}

std::vector<Plain> registered(std::vector<Plain> routes) {
  std::stable_sort(routes.begin(), routes.end(), [](const Plain& a, const Plain& b) { return a.priority < b.priority; });
  std::vector<Plain> kept;
  for (const Plain& route : routes) {
    if (std::none_of(kept.begin(), kept.end(), [&](const Plain& k) { return overlap(k, route); })) kept.push_back(route);
  }
  std::map<std::string, int> lowest;
  for (const Plain& route : kept) lowest.try_emplace(shape(route), route.priority);  // sorted: the first is the lowest
  for (Plain& route : kept) route.priority = lowest[shape(route)];
  return kept;
}

std::string plain_find(const std::vector<Plain>& routes, const std::string& host, const std::string& path) {
  const Parts parts = parts_of(path);
  const bool trailing = path.size() > 1 && path.ends_with('/');
  std::string best = "-";
  std::tuple<int, std::vector<int>, std::pair<int, int>> best_key;
  for (const Plain& route : routes) {
    const auto rank = ranks(route, parts, trailing);
    const auto served = host_rank(route.hosts, host);
    if (!rank || !served) continue;
    const std::tuple key(route.priority, *rank, *served);
    if (best == "-" || key < best_key) {
      best = route.name;
      best_key = key;
    }
  }
  return best;
}

void agrees_with_the_plain_matcher() {
  std::mt19937_64 random(goma::test::seed());
  const auto pick = [&](const std::vector<std::string>& from) { return from[random() % from.size()]; };
  const std::vector<std::string> segments{"a", "b", "c", "{p}", "{q}", "aa"};
  const std::vector<std::string> patterns{"x.t", "y.t", "x.t:81", "*.t", "{s}.t", "*.x.t", "{s}.x.t", "a.x.t"};
  const std::vector<std::string> hosts{"x.t", "x.t:81", "x.t:82", "y.t", "a.x.t", "b.x.t", "b.a.x.t", "t", "z.t:81", "other"};
  for (int round = 0; round < 300; ++round) {
    Table t;
    std::vector<Plain> plain;
    const size_t count = 1 + random() % 25;
    for (size_t i = 0; i < count; ++i) {
      Plain route{std::to_string(i), {}, {}, 0};
      for (size_t n = random() % 4; n > 0; --n) route.path.push_back(pick(segments));
      for (size_t n = random() % 3; n > 0; --n) route.hosts.push_back(pick(patterns));
      if (random() % 4 == 0) route.priority = static_cast<int>(random() % 5) - 2;
      std::string path;
      for (const std::string& part : route.path) path += "/" + part;
      t.add(route.name, path.empty() ? "/" : path, route.hosts, route.priority);
      plain.push_back(route);
    }
    t.compile();
    const std::vector<Plain> kept = registered(plain);
    for (int request = 0; request < 60; ++request) {
      std::string path;
      for (size_t n = random() % 5; n > 0; --n) path += "/" + pick({"a", "b", "c", "aa", "zz"});
      if (path.empty() || random() % 5 == 0) path += "/";
      const std::string host = pick(hosts);
      CHECK_EQ(host + path + " " + t.find(host, path), host + path + " " + plain_find(kept, host, path));
    }
  }
}

// ---------------------------------------------------------------- the price of many routes

uint32_t probes(const Table& t, std::string_view host, std::string_view path) {
  const Router::Match match = t.router.find(host, path, "GET");
  CHECK(match.route != nullptr);
  return match.probes;
}

void many_routes_cost_what_few_cost() {
  const auto by_path = [](Table& t, int n) {
    for (int i = 0; i < n; ++i) t.add(std::to_string(i), "/service" + std::to_string(i));
  };
  const auto by_host = [](Table& t, int n) {
    for (int i = 0; i < n; ++i) t.add(std::to_string(i), "/", {"h" + std::to_string(i) + ".test"});
  };
  const auto mixed = [](Table& t, int n) {
    for (int i = 0; i < n; ++i) t.add(std::to_string(i), "/api/v" + std::to_string(i / 3), {"h" + std::to_string(i) + ".test", "*.w" + std::to_string(i) + ".test"});
  };
  const auto compare = [](auto fill, std::string_view host, std::string_view path) {
    Table few, many;
    fill(few, 10);
    fill(many, 10'000);
    few.compile();
    many.compile();
    CHECK_EQ(many.router.size(), 10'000);
    CHECK_EQ(probes(few, host, path), probes(many, host, path));
    CHECK(probes(many, host, path) <= 20);
  };
  compare(by_path, "any.test", "/service7/x/y");
  compare(by_host, "h7.test", "/x");
  compare(mixed, "h7.test", "/api/v2/x");
  compare(mixed, "a.b.w7.test:80", "/api/v2/x");
}

}  // namespace

GOMA_TESTS(precedence_of_the_fixture, paths_are_bounded_by_segments, parameters_take_one_segment, specificity_falls_through_hosts,
           priority_goes_first, host_patterns, any_host_spellings_are_one, duplicates_keep_the_first, built_in_endpoints,
           wrong_method_and_trailing_slash, path_parameters_do_not_hide_a_prefix, asterisk_is_for_the_root, an_empty_table_finds_nothing,
           agrees_with_the_plain_matcher, many_routes_cost_what_few_cost)
