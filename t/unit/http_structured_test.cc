// SPDX-License-Identifier: Apache-2.0
//
// Dictionaries of structured fields: what is one, what is none, and what their members are.
#include "http/structured.h"

#include <string>

#include "check.h"

namespace {

using Kind = goma::http::DictionaryMember::Kind;
using goma::http::parse_dictionary;

// "name:kind text" of every member; "none": it is no dictionary.
std::string members(std::string_view text) {
  const auto parsed = parse_dictionary(text);
  if (!parsed) return "none";
  constexpr std::string_view kinds[] = {"yes", "no", "integer", "string", "other"};
  std::string out;
  for (const auto& m : *parsed) {
    out.append(out.empty() ? "" : ", ").append(m.name).append(":").append(kinds[static_cast<size_t>(m.kind)]);
    if (!m.text.empty()) out.append(" ").append(m.text);
  }
  return out;
}

void what_is_one() {
  CHECK_EQ(members(""), "");
  CHECK_EQ(members("a"), "a:yes");
  CHECK_EQ(members("  a , b=?0,c=?1 "), "a:yes, b:no, c:yes");
  CHECK_EQ(members("max-age=60;x;y=\"z\", no-store"), "max-age:integer 60, no-store:yes");
  CHECK_EQ(members("a=-5, b=1.5, c=x/y:z, d=:YQ==:, e=(1 2;p \"s\");q"), "a:integer -5, b:other, c:other, d:other, e:other");
  CHECK_EQ(members(R"(a="b, \"c\" \\")"), R"(a:string b, \"c\" \\)");
  CHECK_EQ(members("*a_b-c.d=()"), "*a_b-c.d:other");
  CHECK_EQ(members("a=1, b, a=2"), "b:yes, a:integer 2");
  CHECK_EQ(members("a=1\t,\tb"), "a:integer 1, b:yes");
  CHECK_EQ(members("a=999999999999999, b=-0"), "a:integer 999999999999999, b:integer -0");
}

void what_is_none() {
  for (const char* text : {"A=1", "a b", "a,", "a,,b", ",a", "a=", "a= 1", "a =1", "1", "a=1000000000000000", "a=1.", "a=1.2345", "a=1234567890123.1", "a=-", "a=?2", "a=?", "a=\"b", "a=\"\\x\"", "a=\"\\", "a=:YQ", "a=:Y!:", "a=(1", "a=(1,2)",
                           "a=(1\"b\")", "a;A", "a;b=", "a=@1", "a=\x80", "\ta", "a=\"\x01\"", "a;"}) {
    CHECK_EQ(members(text), "none");
  }
}

}  // namespace

GOMA_TESTS(what_is_one, what_is_none)
