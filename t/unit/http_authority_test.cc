// SPDX-License-Identifier: Apache-2.0
//
// Every spelling of a host has one form, or is refused.
#include "http/authority.h"

#include <fmt/format.h>

#include <string>

#include "check.h"
#include "core/arena.h"

namespace http = goma::http;
namespace core = goma::core;
namespace test = goma::test;

namespace {

struct Row {
  std::string_view sent;
  std::string_view form;  // empty: 400
};

constexpr Row rows[] = {
    // as they are
    {"a", "a"}, {"a.test", "a.test"}, {"a.test:80", "a.test:80"}, {"127.0.0.1:8080", "127.0.0.1:8080"}, {"xn--bcher-kva.example", "xn--bcher-kva.example"},
    {"a_b.test", "a_b.test"}, {"a~b!c$d&e'f(g)h*i+j;k=l", "a~b!c$d&e'f(g)h*i+j;k=l"}, {"-a-.test", "-a-.test"}, {"a:0", "a:0"},
    // case and the dot at the end
    {"A.Test", "a.test"}, {"a.test.", "a.test"}, {"A.TEST.:8080", "a.test:8080"},
    // empty labels
    {".", ""}, {"..", ""}, {".a", ""}, {"a..b", ""}, {"a..", ""}, {".a:80", ""}, {"a%2e%2eb", ""}, {"%2Ea", ""}, {"a.%2e", ""},
    // ports
    {"a:", "a"}, {"a:0080", "a:80"}, {"a:000080", "a:80"}, {"a:00", "a:0"}, {"a:65535", "a:65535"}, {"a:65536", ""}, {"a:99999", ""}, {"a:b", ""}, {"a:-1", ""},
    {"a:8:0", ""}, {":80", ""}, {":", ""}, {"a:80 ", ""}, {"a:4294967376", ""},
    // percent-encoded
    {"%61.test", "a.test"}, {"%41.test", "a.test"}, {"a%2etest", "a.test"}, {"a%5fb", "a_b"}, {"a%21", "a%21"}, {"a%2a", "a%2A"},
    {"a%", ""}, {"a%4", ""}, {"a%zz", ""}, {"a%00", ""}, {"a%0d%0ab", ""}, {"a%20b", ""}, {"a%2fb", ""}, {"a%5cb", ""}, {"u%40a", ""}, {"a%3a80", ""}, {"a%25b", ""},
    {"%5b::1%5d", ""}, {"a%7f", ""},
    // beyond ASCII: never raw
    {"m\xC3\xBCnchen.test", ""}, {"a\x80", ""}, {"m%C3%BCnchen.test", "xn--mnchen-3ya.test"}, {"M%C3%9CNCHEN.test", "xn--mnchen-3ya.test"}, {"a%e3%80%82b", "a.b"},
    {"a%ff", ""}, {"a%ef%bc%8fb", ""}, {"a%ef%bc%852e.test", ""}, {"%c4%af.a%2b", ""}, {"%c4%af%ef%bc%9a80", ""}, {"%c4%af.a+", "xn--9ea.a+"}, {"a%e3%80%82%e3%80%82b", ""},
    // IPv6
    {"[::1]", "[::1]"}, {"[::1]:443", "[::1]:443"}, {"[0:0::0001]:0443", "[::1]:443"}, {"[FE80::1:2]:8", "[fe80::1:2]:8"}, {"[::1]:", "[::1]"},
    {"[::1", ""}, {"[::1]x", ""}, {"[zz]", ""}, {"[]", ""}, {"[", ""}, {"[::1%25eth0]", ""}, {"[::1]:x", ""}, {"[1.2.3.4]", ""}, {"[v1.a]", ""}, {"::1", ""},
    // what is no host
    {"", ""}, {" ", ""}, {"a b", ""}, {"a\t", ""}, {"a/b", ""}, {"a?b", ""}, {"a#b", ""}, {"a\\b", ""}, {"u@a", ""}, {"a:80@evil", ""}, {"<a>", ""}, {"a|b", ""}, {"a.test,b.test", ""}, {"a%2cb", ""},
    {"a^b", ""}, {"a`b", ""}, {"{a}", ""}, {"\"a\"", ""},
};

std::string shown(std::string_view text) {
  core::ChunkPool pool;
  core::Arena arena(pool);
  return std::string(http::canonical_authority(text, arena));
}

void one_form_of_each() {
  for (const Row& row : rows) {
    if (shown(row.sent) != row.form) throw test::Failure{fmt::format("{} became {}, wanted {}", row.sent, shown(row.sent), row.form), __FILE__, __LINE__};
    if (!row.form.empty()) CHECK_EQ(shown(row.form), row.form);
  }
  CHECK_EQ(shown(std::string(255, 'a')), std::string(255, 'a'));
  CHECK_EQ(shown(std::string(255, 'A')), std::string(255, 'a'));
  for (const std::string& unit : {std::string("a"), std::string("A"), std::string("%61")}) {
    std::string text;
    for (int i = 0; i < 256; ++i) text += unit;
    CHECK_EQ(shown(text), "");
  }
}

void what_is_canonical_is_not_copied() {
  core::ChunkPool pool;
  core::Arena arena(pool);
  const std::string text = "a.test:8080", address = "[::1]:80";
  CHECK(http::canonical_authority(text, arena).data() == text.data());
  CHECK(http::canonical_authority(address, arena).data() == address.data());
}

void authorities_come_apart() {
  CHECK_EQ(http::split_host_port("a.test:80").host, "a.test");
  CHECK_EQ(http::split_host_port("a.test:80").port, "80");
  CHECK_EQ(http::split_host_port("a.test").port, "");
  CHECK_EQ(http::split_host_port("[::1]").host, "[::1]");
  CHECK_EQ(http::split_host_port("[::1]:8").port, "8");
  CHECK(http::same_authority("a.test:80", "a.test", "http"));
  CHECK(http::same_authority("a.test", "a.test:443", "https"));
  CHECK(!http::same_authority("a.test:443", "a.test", "http"));
  CHECK(!http::same_authority("a.test", "b.test", "http"));
}

}  // namespace

GOMA_TESTS(one_form_of_each, what_is_canonical_is_not_copied, authorities_come_apart)
