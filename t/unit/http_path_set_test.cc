// SPDX-License-Identifier: Apache-2.0
//
// The table of goma-config 9.3 and what must hold around it.
#include "http/path_set.h"

#include "check.h"

using goma::http::CanonicalPath;
using goma::http::PathSet;

namespace {

struct Set {
  goma::core::Problems problems;
  std::unique_ptr<PathSet> paths;

  Set(std::initializer_list<const char*> patterns, std::string_view route = "/", PathSet::Rules rules = {}) {
    std::vector<goma::core::PlacedText> placed;
    for (const char* pattern : patterns) placed.push_back({pattern, {}});
    paths = PathSet::compile(placed, route, rules, problems);
  }
  bool operator()(std::string_view path) const { return paths->matches(CanonicalPath{true, false, path, path, {}, {}}); }
};

struct Row {
  const char* pattern;
  const char* path;
  bool expected;
  const char* route = "/other";
};

void check_rows(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    const std::string shown = fmt::format("{} on {} for {}: ", row.pattern, row.route, row.path);
    CHECK_EQ(shown + (Set({row.pattern}, row.route)(row.path) ? "yes" : "no"), shown + (row.expected ? "yes" : "no"));
  }
}

void goma_table() {
  check_rows({{"/admin", "/admin/x", true},
              {"/admin", "/x/admin", false},
              {"/admin", "/x/admin", true, "/x"},
              {"/admin", "/ADMIN", true},
              {"/admin", "/ADMIN/x", true},
              {"^/api/v[0-9]+/t.*", "/api/v2/tmp", true},
              {"/api/*", "/api", true},
              {"*.php", "/index.php", true},
              {"/api/**", "/api/x", false},
              {"*", "/anything", true},
              {".*\\.php$", "/index.php", true}});
}

void nearly_everything_is_a_prefix() {
  check_rows({{"/admin", "/administrator", true}, {"/admin/*", "/administrator", true}, {"/", "/x", true},
              {"/*", "/x", true},                 {"/.*", "/x", true},                  {"/admin", "/adm", false},
              {"/a|/b", "/x/b", true},  // '^' binds to the first alternative only, as in Goma
              {"/v1.0", "/v1.0/x", true},         {"/v[", "/v[", true},                 {"/v[", "/v[/x", false},
              {"/a(b/*", "/a(bc", true},          {"/a(b/*", "/x/a(bc", true, "/x"},    {"/a(b", "/A(B", true}});
}

void the_route_path_goes_in_front() {
  check_rows({{"/private", "/shop/private/x", true, "/shop"}, {"private", "/shop/private", true, "/shop"},
              {"private", "/private", false, "/shop"},        {"/private$", "/t/7/private", true, "/t/{tenant}"},
              {"/private", "/t/7/private", true, "/t/{tenant}"}, {"/private", "/t/7/8/private", false, "/t/{tenant}"},
              {"/x$", "/v1.0/x", true, "/v1.0"},              {"/x$", "/v100/x", false, "/v1.0"},
              {"/x", "/x", true, "/"},                        {"//x", "/shop/x", true, "/shop"}});
  CHECK(!Set({"/private"}, "/shop", {.base = PathSet::Base::alone})("/shop/private"));
  CHECK(Set({"/private"}, "/shop", {.base = PathSet::Base::alone})("/private"));
}

void no_patterns_make_no_set() { CHECK(Set({}).paths == nullptr); }

void any_pattern_suffices() {
  const Set set({"/a", "/b$", "/c["});
  for (const char* path : {"/a/x", "/b", "/c["}) CHECK(set(path));
  for (const char* path : {"/b/x", "/c", "/"}) CHECK(!set(path));
}

void a_broken_pattern_is_warned_about() {
  const Set set({"/a(b"});
  CHECK_EQ(set.problems.warnings(), 1);
  CHECK_EQ(set.problems.list()[0].code, "literal-path");
  CHECK_EQ(Set({"/a", "/a.*", "*"}).problems.warnings(), 0);
}

void parameters_do_not_hide_a_path() {
  const Set set({"/admin/users$"});
  for (const char* path : {"/admin/users", "/admin;x/users", "/admin/users;y=1", "/;/admin/;z/users"}) CHECK(set(path));
  CHECK(!set("/admin;x"));
}

void a_costly_pattern_counts_as_a_match() {
  const Set set({"/(a+)+$"});
  CHECK(!set("/aaab"));
  CHECK(set("/" + std::string(8000, 'a') + "b"));
}

void broken_text_is_not_an_error() { CHECK(Set({"/caf.*"})("/caf\xff/x")); }

// One form of a path that matches is enough for what protects; a favour wants all of them.
void forms_that_disagree() {
  const std::string_view others[] = {"/a//b", "/a/b"};
  const CanonicalPath path{true, true, "/a/%2Fb", "/a/%2Fb", others, {}};
  constexpr PathSet::Rules favour{.doubt = PathSet::Doubt::fails};
  for (const char* pattern : {"/a/b", "/a/%2Fb", "/a//b", "^/a/b$"}) {
    CHECK(Set({pattern}).paths->matches(path));
    CHECK(!Set({pattern}, "/", favour).paths->matches(path));
  }
  CHECK(Set({"/a"}, "/", favour).paths->matches(path));
  CHECK(!Set({"/b"}).paths->matches(path));
  CHECK(Set({"/a$"})("/a;x") && !Set({"/a$"}, "/", favour)("/a;x") && Set({"/a"}, "/", favour)("/a;x"));
  CHECK(!Set({"/(a+)+$"}, "/", favour)("/" + std::string(8000, 'a') + "b"));  // too costly to judge
  CHECK(Set({"/a"}).paths->matches(CanonicalPath()) && !Set({"/a"}, "/", favour).paths->matches(CanonicalPath()));
}

}  // namespace

GOMA_TESTS(goma_table, nearly_everything_is_a_prefix, the_route_path_goes_in_front, no_patterns_make_no_set, any_pattern_suffices,
           a_broken_pattern_is_warned_about, parameters_do_not_hide_a_path, a_costly_pattern_counts_as_a_match, broken_text_is_not_an_error,
           forms_that_disagree)
