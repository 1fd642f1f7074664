// SPDX-License-Identifier: Apache-2.0
//
// Canonical paths (goma-config 6.1, attack cases B27-B31), rewriting (7.3), authorities (attack case A15), queries.
#include "http/uri.h"

#include <algorithm>

#include "check.h"

using namespace goma;

namespace {

core::ChunkPool pool;

void paths_become_canonical() {
  struct Row {
    std::string_view raw, encoded, decoded;
  };
  constexpr Row rows[] = {
      {"/a//b", "/a/b", "/a/b"},  // the table of 6.1
      {"/a/./b", "/a/b", "/a/b"},
      {"/a/c/../b", "/a/b", "/a/b"},
      {"/a//b//", "/a/b/", "/a/b/"},
      {"//", "/", "/"},
      {"", "/", "/"},
      {"/files/report%2ev1.json", "/files/report%2ev1.json", "/files/report.v1.json"},
      {"/files/a%20b", "/files/a%20b", "/files/a b"},
      {"/", "/", "/"},
      {"*", "*", "*"},
      {"/a/..", "/", "/"},
      {"/a/b/..", "/a/", "/a/"},
      {"/a/.", "/a/", "/a/"},
      {"/..", "/", "/"},
      {"/../../a", "/a", "/a"},
      {"/x/../../a/", "/a/", "/a/"},
      {"/...", "/...", "/..."},
      {"/.a/..b/c.", "/.a/..b/c.", "/.a/..b/c."},
      {"//admin", "/admin", "/admin"},
      {"/%61dmin", "/%61dmin", "/admin"},
      {"/%61/../%62", "/%62", "/b"},
      {"/a%2Fb", "/a%2Fb", "/a%2Fb"},  // an encoded slash separates nothing
      {"/a%2fb", "/a%2fb", "/a%2Fb"},
      {"/x/%252e%252e%252fadmin", "/x/%252e%252e%252fadmin", "/x/%2e%2e%2fadmin"},  // decoded once
      {"/a%3fb%23c%3Bd%25", "/a%3fb%23c%3Bd%25", "/a?b#c;d%"},
      {"/;/admin", "/;/admin", "/;/admin"},
      {"/a;b=c/d", "/a;b=c/d", "/a;b=c/d"},
      {"/a..;/b", "/a..;/b", "/a..;/b"},
      {"/caf%C3%A9/%e9", "/caf%C3%A9/%e9", "/caf\xC3\xA9/\xE9"},
      {"/a'(){}\"<>|^`[]", "/a'()%7B%7D%22%3C%3E%7C%5E%60%5B%5D", "/a'(){}\"<>|^`[]"},  // RFC 3986 3.3
      {"/a%5cb/%5C", "/a%5cb/%5C", "/a\\b/\\"},  // neither does an encoded backslash
  };
  for (const Row& row : rows) {
    core::Arena arena(pool);
    const http::CanonicalPath path = http::canonical_path(row.raw, arena);
    CHECK(path.ok);
    CHECK_EQ(path.encoded, row.encoded);
    CHECK_EQ(path.decoded, row.decoded);
    CHECK_EQ(path.changed, row.raw != row.encoded);
    const http::CanonicalPath again = http::canonical_path(path.encoded, arena);
    CHECK(again.ok && !again.changed);
    CHECK_EQ(again.decoded, path.decoded);
  }
}

void ambiguous_paths_are_refused() {
  constexpr std::string_view rows[] = {
      "/x/..%2fy", "/x/..%2Fy", "/x/..%5cy", "/x/%2e%2e/y", "/x/%2E%2E/y",  // the table of 6.1
      "/x/%2e./y", "/x/.%2e/y", "/x/%2e/y", "/%2e", "/x/%2e%2e%2fy", "/x%2f..%2fy", "/x%2f../y", "/x%2f.", "/x/.%2fy",
      "/x/..;/y", "/..;x/y", "/x/.;/y", "/x/%2e%2e;/y", "/x/..%3b/y", "/x%2f..;a=b%2fy",
      "/x/..%5c", "/x%5c../y", "/x/.%5Cy", "/x%2f..%5cy", "/x%5c..;a%2fy", "/a\\b", "/a%00b", "/a%0d%0ab", "/a%1f", "/a%7f", "/a%c0%afb", "/a%e0%80%afb", "/a%C0%AE", "/a%f0%80%80%af",
      "/a%f8%80%80%80%af", "/a%", "/a%4", "/a%zz", "/%%", "/a b", "/a#b", "/a?b", "/a\xC3\xA9", "/\x7F", "a", "a/b", "**", "http://a/",
  };
  for (const std::string_view raw : rows) {
    core::Arena arena(pool);
    if (http::canonical_path(raw, arena).ok) throw test::Failure{fmt::format("{} was accepted", raw), __FILE__, __LINE__};
  }
  core::Arena arena(pool);
  for (int c = 0; c < 256; ++c) {
    if (c > 0x20 && c < 0x7F) continue;
    CHECK(!http::canonical_path(fmt::format("/a{}b", static_cast<char>(c)), arena).ok);
  }
}

void clean_paths_are_not_copied() {
  core::Arena arena(pool);
  constexpr std::string_view raw = "/api/v1/things/17;v=2";
  const http::CanonicalPath path = http::canonical_path(raw, arena);
  CHECK(path.encoded.data() == raw.data() && path.decoded.data() == raw.data());
  CHECK_EQ(arena.used(), 0);
}

std::string readings(std::string_view raw, http::EncodedSlash slash = http::EncodedSlash::keep) {
  core::Arena arena(pool);
  const http::CanonicalPath path = http::canonical_path(raw, arena, slash);
  if (!path.ok) return std::string(path.fault);
  std::string all(path.decoded);
  for (const std::string_view reading : path.others) all += " " + std::string(reading);
  return all;
}

void a_path_has_readings() {
  struct Row {
    std::string_view raw, readings, decoded;
  };
  constexpr Row rows[] = {
      {"/a/b", "/a/b", "/a/b"},
      {"/a%2Fb", "/a%2Fb /a/b", "/a/b"},
      {"/a/%2fb", "/a/%2Fb /a//b /a/b", "/a/b"},
      {"/%2Fa", "/%2Fa //a /a", "/a"},
      {"/a%2f%2F", "/a%2F%2F /a// /a/", "/a/"},
      {"/a%5cb", "/a\\b /a/b", "/a/b"},
      {"/a%5C/b", "/a\\/b /a//b /a/b", "/a/b"},
      {"/a%2Fb%5Cc", "/a%2Fb\\c /a/b\\c /a%2Fb/c /a/b/c", "/a/b/c"},
      {"/a%2F%5Cc", "/a%2F\\c /a/\\c /a%2F/c /a//c /a/c", "/a/c"},
      {"/a%252Fb", "/a%2Fb", "/a%2Fb"},  // decoded once
      {"/a%255Cb", "/a%5Cb", "/a%5Cb"},
      {"/a%20b;c%2Fd", "/a b;c%2Fd /a b;c/d", "/a b;c/d"},
      {"*", "*", "*"},
      {"/a%2f..", "bad-path", "bad-path"},
      {"/a%5c..%2fb", "bad-path", "bad-path"},
  };
  for (const Row& row : rows) {
    CHECK_EQ(readings(row.raw), row.readings);
    CHECK_EQ(readings(row.raw, http::EncodedSlash::decode), row.decoded);
    const bool plain = row.readings == row.decoded;
    CHECK_EQ(readings(row.raw, http::EncodedSlash::refuse), plain ? row.readings : "encoded-slash");
  }
  core::Arena arena(pool);
  const http::CanonicalPath path = http::canonical_path("/a%20b%2F%2fc/", arena, http::EncodedSlash::decode);
  CHECK(path.changed && path.encoded == "/a%20b/c/");
  const http::CanonicalPath kept = http::canonical_path("/a%2Fb", arena);
  CHECK(kept.any([](std::string_view r) { return r == "/a/b"; }) && !kept.all([](std::string_view r) { return r == "/a/b"; }));
  core::Arena other(pool);
  const http::CanonicalPath copy = http::copy_path(kept, other);
  CHECK(copy.ok && copy.encoded == kept.encoded && copy.encoded.data() != kept.encoded.data());
  CHECK(copy.all([](std::string_view r) { return r.starts_with("/a"); }) && copy.others.size() == 1);
}

// Whatever is accepted has no dot segment and no empty segment, and no reading of it has a dot segment either: not even
// for backends that cut parameters.
void random_paths_are_refused_or_clean() {
  std::mt19937_64 random(test::seed());
  constexpr std::string_view pieces[] = {"/", "/", ".", "..", "%2e", "%2F", "%5c", "a", ";", "%3b", "//", "%25", "x%20", "|"};
  for (int round = 0; round < 50000; ++round) {
    core::Arena arena(pool);
    std::string raw = "/";
    for (size_t n = random() % 8; n > 0; --n) raw += pieces[random() % std::size(pieces)];
    const http::CanonicalPath path = http::canonical_path(raw, arena);
    if (!path.ok) continue;
    CHECK(path.encoded.front() == '/');
    CHECK(path.encoded.find("//") == std::string_view::npos);
    CHECK(std::all_of(path.encoded.begin(), path.encoded.end(), http::is_uri_char));
    const auto is_plain = [](std::string_view reading) {
      const std::string closed = std::string(reading) + "/";
      for (const char* bad : {"/../", "/./", "/..;", "/.;"}) {
        if (closed.find(bad) != std::string::npos) return false;
      }
      return true;
    };
    CHECK(path.all(is_plain));
    CHECK(!http::canonical_path(path.encoded, arena).changed);
    const http::CanonicalPath decoded = http::canonical_path(raw, arena, http::EncodedSlash::decode);
    CHECK(decoded.ok && decoded.others.empty() && path.any([&](std::string_view r) { return r == decoded.decoded; }));
  }
}

void joins_with_one_slash() {
  core::Arena arena(pool);
  CHECK_EQ(http::join_paths("/base", "/a/b", arena), "/base/a/b");
  CHECK_EQ(http::join_paths("/base/", "/a/", arena), "/base/a/");
  CHECK_EQ(http::join_paths("/base", "a", arena), "/base/a");
  CHECK_EQ(http::join_paths("/base", "/", arena), "/base/");
  CHECK_EQ(http::join_paths("/", "/a", arena), "/a");
  CHECK_EQ(http::join_paths("", "/a", arena), "/a");
  CHECK_EQ(http::join_paths("/base", "", arena), "/base");
}

void rewrites_prefixes() {
  struct Row {
    std::string_view prefix, rewrite, path, want;
  };
  constexpr Row rows[] = {
      {"/cart", "/", "/cart", "/"},  // the table of 7.3
      {"/cart", "/", "/cart/a/b", "/a/b"},
      {"/cart", "/v2", "/cart/a/", "/v2/a/"},
      {"/cart", "/v2", "/cart", "/v2"},
      {"/cart", "/", "/cart/", "/"},
      {"/cart", "/v2", "/cart/", "/v2/"},
      {"/cart", "/v2/", "/cart", "/v2"},
      {"/cart", "/v2/", "/cart/x", "/v2/x"},
      {"/cart", "v2", "/cart/x", "/v2/x"},
      {"/cart", "/v2//w/../y", "/cart/x", "/v2/y/x"},
      {"/cart", "/v2", "/other", "/other"},
      {"/cart", "/v2", "/cartoon", "/v2/oon"},  // a plain prefix, not a segment
      {"/", "/v2", "/a/b", "/v2/a/b"},
      {"/", "/v2", "/", "/v2"},
      {"/cart", "/v2", "/%63art/a%20b%2Fc", "/v2/a%20b%2Fc"},  // matched decoded, the rest as sent
      {"/a b", "/", "/a%20b/c", "/c"},
      {"/cart/{id}", "/v2", "/cart/7", "/cart/7"},
      {"/cart", "/v2", "/cart;x=1/a", "/v2/;x=1/a"},
  };
  for (const Row& row : rows) {
    core::Arena arena(pool);
    const http::CanonicalPath path = http::canonical_path(row.path, arena);
    CHECK(path.ok);
    CHECK_EQ(http::rewrite_prefix(row.prefix, row.rewrite, path, arena), row.want);
  }
}

void queries() {
  std::string all;
  for (const http::Parameter& p : http::Query("a=1&&b&c=x=y&=&a=2;d")) all += fmt::format("[{}|{}|{}]", p.name, p.value, p.has_value);
  CHECK_EQ(all, "[a|1|true][b||false][c|x=y|true][||true][a|2;d|true]");
  for (const http::Parameter& p : http::Query("&&")) CHECK(p.has_value && false);
  for (const http::Parameter& p : http::Query("")) CHECK(p.has_value && false);
}

void encodes() {
  core::Arena arena(pool);
  CHECK_EQ(http::percent_encode("/a b/\r\n%\xC3\xA9:@~", arena), "/a%20b/%0D%0A%25%C3%A9:@~");
  CHECK_EQ(http::percent_encode("a/b?c#d", arena, false), "a%2Fb%3Fc%23d");
  const std::string_view clean = "/a%2Fb?c=%zz;d&e=/?:@!$'()*+,~";
  CHECK(http::encode_strays(clean, arena).data() == clean.data());
  CHECK_EQ(http::encode_strays("a\"<>^`{|}[]\\ #\xC3\xA9%z", arena), "a%22%3C%3E%5E%60%7B%7C%7D%5B%5D%5C%20%23%C3%A9%z");
}

}  // namespace

GOMA_TESTS(paths_become_canonical, ambiguous_paths_are_refused, clean_paths_are_not_copied, a_path_has_readings, random_paths_are_refused_or_clean,
           joins_with_one_slash, rewrites_prefixes, queries, encodes)
