// SPDX-License-Identifier: Apache-2.0
//
// core/regex: Go's meaning, three outcomes, and no way to make it slow.
#include "core/regex.h"

#include <chrono>

#include "check.h"

using goma::core::Regex;
using Outcome = Regex::Outcome;

namespace {

Regex made(std::string_view pattern, Regex::Options options = {}) {
  Regex regex;
  const auto failure = Regex::compile(pattern, options, regex);
  CHECK(!failure);
  return regex;
}

std::string replaced(std::string_view pattern, std::string_view subject, std::string_view with) {
  std::string out;
  CHECK(made(pattern).replace_all(subject, with, out) != Outcome::limit);
  return out;
}

void dollar_is_the_very_end() {
  CHECK(made("a$").match("a") == Outcome::match);
  CHECK(made("a$").match("a\n") == Outcome::no_match);
}

void a_leading_star_is_anything() {
  CHECK(made("*.php").match("/index.php") == Outcome::match);
  CHECK(made("^*").match("") == Outcome::match);
}

void options_anchor_and_fold() {
  CHECK(made("/admin", {true, true}).match("/ADMIN/x") == Outcome::match);
  CHECK(made("/admin", {true, true}).match("/x/admin") == Outcome::no_match);
}

void broken_utf8_does_not_fail() {
  CHECK(made("b").match("a\xff" "b") == Outcome::match);
  CHECK(made("^.*$").match("\xff\xfe") == Outcome::no_match);
}

void failures_have_reason_and_place() {
  Regex regex;
  const auto failure = Regex::compile("^/api/(v1", {}, regex);
  CHECK(failure.has_value());
  CHECK_EQ(failure->reason, "missing closing parenthesis");
  CHECK_EQ(failure->offset, 9);
  CHECK(!regex.compiled());
}

void groups_are_views() {
  std::vector<std::string_view> groups;
  CHECK(made("^/u/([0-9]+)(/x)?").match("/u/42/y", groups) == Outcome::match);
  CHECK_EQ(groups[1], "42");
  CHECK(made("z").match("a", groups) == Outcome::no_match);
  CHECK(groups.empty());
}

void replacing_is_gos() {
  CHECK_EQ(replaced("^/old/(.*)$", "/old/7", "/new/$1"), "/new/7");
  CHECK_EQ(replaced("(?P<n>a)", "xay", "<${n}>"), "x<a>y");
  CHECK_EQ(replaced("(a)", "xay", "$1x"), "xy");  // the longest name: "1x" is no group
  CHECK_EQ(replaced("a", "aa", "$$"), "$$");
  CHECK_EQ(replaced("a", "a", "${"), "${");
  CHECK_EQ(replaced("x*", "ab", "-"), "-a-b-");
  CHECK_EQ(replaced("a*", "baac", "-"), "-b-c-");
  CHECK_EQ(replaced("z", "abc", "-"), "abc");
}

void a_hostile_pattern_ends_at_the_limit() {
  const std::string subject(40, 'a');
  const auto begin = std::chrono::steady_clock::now();
  CHECK(made("^(a+)+$").match(subject + "b") == Outcome::limit);
  std::string out;
  CHECK(made("^(a+)+$").replace_all(subject + "b", "x", out) == Outcome::limit);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
}

}  // namespace

GOMA_TESTS(dollar_is_the_very_end, a_leading_star_is_anything, options_anchor_and_fold, broken_utf8_does_not_fail, failures_have_reason_and_place,
           groups_are_views, replacing_is_gos, a_hostile_pattern_ends_at_the_limit)
