// SPDX-License-Identifier: Apache-2.0
//
// Entity tags, conditions of clients, what a 304 changes, and the names and values of variants.
#include "http/conditions.h"

#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "core/arena.h"
#include "http/vary.h"

namespace {

using goma::core::Arena;
using goma::core::ChunkPool;
using goma::http::HeaderId;
using goma::http::Headers;
using goma::http::matches_etag;

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Setting {
  ChunkPool pool;
  Arena arena{pool};
  Headers make(const Fields& fields) {
    Headers headers(arena);
    for (const auto& [name, value] : fields) headers.add(arena.copy(name), arena.copy(value));
    return headers;
  }
};

bool not_modified(const Fields& request, const Fields& stored) {
  Setting s;
  return goma::http::is_not_modified(s.make(request), s.make(stored), 784'111'777);
}

void entity_tags() {
  CHECK(matches_etag("\"a\"", "\"a\""));
  CHECK(matches_etag("W/\"a\"", "\"a\""));
  CHECK(matches_etag("\"a\"", "W/\"a\""));
  CHECK(matches_etag("\"x\", \"a\" , \"y\"", "\"a\""));
  CHECK(matches_etag(" * ", "\"a\""));
  CHECK(matches_etag(",,\"a\",,", "\"a\""));
  CHECK(matches_etag("\"x,\\\", \"a\"", "\"a\""));
  CHECK(!matches_etag("\"A\"", "\"a\""));
  CHECK(!matches_etag("\"x, a\"", "\"a\""));
  CHECK(!matches_etag("a", "\"a\""));
  CHECK(!matches_etag("", "\"a\""));
  CHECK(!matches_etag("\"\"", ""));
  CHECK(!matches_etag("\"a", "\"a\""));
}

void conditions() {
  const char* early = "Sun, 06 Nov 1994 08:49:36 GMT";
  const char* when = "Sun, 06 Nov 1994 08:49:37 GMT";
  CHECK(!not_modified({}, {{"ETag", "\"a\""}}));
  CHECK(not_modified({{"If-None-Match", "\"b\""}, {"If-None-Match", "\"a\""}}, {{"ETag", "\"a\""}}));
  CHECK(!not_modified({{"If-None-Match", "\"b\""}, {"If-Modified-Since", when}}, {{"ETag", "\"a\""}, {"Last-Modified", early}}));
  CHECK(not_modified({{"If-Modified-Since", when}}, {{"Last-Modified", when}}));
  CHECK(!not_modified({{"If-Modified-Since", early}}, {{"Last-Modified", when}}));
  CHECK(not_modified({{"If-Modified-Since", when}}, {{"Date", when}}));
  CHECK(!not_modified({{"If-Modified-Since", "yesterday"}}, {{"Last-Modified", when}}));
  CHECK(!not_modified({{"If-Modified-Since", when}}, {}));
}

void fields_and_304() {
  CHECK(goma::http::belongs_to_304(HeaderId::etag, "ETag") && goma::http::belongs_to_304(HeaderId::other, "content-location"));
  CHECK(!goma::http::belongs_to_304(HeaderId::content_type, "Content-Type") && !goma::http::belongs_to_304(HeaderId::other, "X-A"));
  CHECK(goma::http::outlives_304(HeaderId::content_encoding) && goma::http::outlives_304(HeaderId::set_cookie));
  CHECK(!goma::http::outlives_304(HeaderId::cache_control) && !goma::http::outlives_304(HeaderId::etag));
}

std::string names(const Fields& response, const std::vector<std::string>& ignored = {}, const std::vector<std::string>& known = {}) {
  Setting s;
  Headers into(s.arena);
  for (const std::string& name : known) into.add(name, {});
  goma::http::add_vary_names(s.arena, s.make(response), ignored, into);
  std::string text;
  for (const goma::http::Header& h : into) text.append(h.name).append(" ");
  return text;
}

void names_of_variants() {
  CHECK_EQ(names({}), "");
  CHECK_EQ(names({{"Vary", "X-B, accept-encoding"}, {"Vary", "x-b,, X-A "}}), "accept-encoding x-a x-b ");
  CHECK_EQ(names({{"Vary", "User-Agent, X-A"}}, {"user-agent"}), "x-a ");
  CHECK_EQ(names({{"Vary", "X-A"}}, {}, {"x-b"}), "x-a x-b ");
  Setting s;
  Headers counted(s.arena);
  for (const char* name : {"accept-encoding", "authorization", "cookie", "x-a"}) counted.add(name, {});
  CHECK_EQ(goma::http::counted_vary_names(counted), 1U);
}

std::string value(const Fields& request, std::string_view name) {
  Setting s;
  return std::string(goma::http::vary_value(s.arena, s.make(request), name));
}

void values_of_variants() {
  CHECK(value({}, "x-a") != value({{"X-A", ""}}, "x-a"));
  CHECK(value({{"X-A", "1"}, {"X-A", "2"}}, "x-a") == value({{"x-a", "1, 2"}}, "x-a"));
  CHECK(value({{"X-A", "a"}}, "x-a") != value({{"X-A", "A"}}, "x-a"));
  const auto coding = [](const char* text) { return value({{"Accept-Encoding", text}}, "accept-encoding"); };
  CHECK_EQ(coding("gzip, br"), coding("BR;q=0.5 , x-gzip"));
  CHECK(coding("gzip, br") != coding("br"));
  CHECK(coding("gzip;q=0, br") != coding("gzip, br"));
  CHECK(coding("gzip;q=0.0, br") != coding("gzip;q=0.001, br"));
  CHECK(coding("") == value({}, "accept-encoding"));
}

}  // namespace

GOMA_TESTS(entity_tags, conditions, fields_and_304, names_of_variants, values_of_variants)
