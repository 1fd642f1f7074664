// SPDX-License-Identifier: Apache-2.0
//
// Fields: numbers of names, order, duplicates, removing while walking, and that absence is answered without looking.
#include "http/headers.h"

#include "check.h"
#include "core/text.h"
#include "http/message.h"

using namespace goma;
using http::HeaderId;
using http::Headers;

namespace {

struct Fixture {
  core::ChunkPool pool;
  core::Arena arena{pool};
  Headers headers{arena};
  std::string text() const {
    std::string all;
    for (const http::Header& h : headers) all += fmt::format("{}={};", h.name, h.value);
    return all;
  }
};

struct Known {
  HeaderId id;
  const char* name;
  bool trailer;
};
constexpr Known known[] = {
#define GOMA_HEADER(id, name, trailer) {HeaderId::id, name, trailer},
#include "http/header_names.def"
#undef GOMA_HEADER
};

void every_known_name_has_its_number() {
  for (const Known& k : known) {
    std::string spelled = k.name;
    CHECK(http::header_id(spelled) == k.id);
    for (char& c : spelled) c = core::lower(c);
    CHECK(http::header_id(spelled) == k.id);
    for (char& c : spelled) c = static_cast<char>(std::toupper(c));
    CHECK(http::header_id(spelled) == k.id);
    CHECK_EQ(http::header_name(k.id), k.name);
    CHECK_EQ(http::allowed_in_trailers(k.id), k.trailer);
    CHECK(http::header_id(spelled + "!") == HeaderId::other);
    CHECK(http::header_id("!" + spelled.substr(1)) == HeaderId::other);
  }
}

void other_names_have_none() {
  for (const std::string_view name : {"", "x", "X-User", "Content_Length", "Hos", "Hostt", "H\xD3st"}) {
    CHECK(http::header_id(name) == HeaderId::other);
  }
  const std::string_view control_for_dash("Content\rLength", 14);  // differs from '-' in one bit
  CHECK(http::header_id(control_for_dash) == HeaderId::other);
}

void keeps_order_and_duplicates() {
  Fixture f;
  f.headers.add("B", "1");
  f.headers.add(HeaderId::host, "h");
  f.headers.add("b", "2");
  CHECK_EQ(f.text(), "B=1;Host=h;b=2;");
  CHECK_EQ(f.headers.size(), 3);
  CHECK_EQ(f.headers.find("B")->value, "1");
  CHECK_EQ(f.headers.find("HOST")->value, "h");
  CHECK_EQ(f.headers.get(HeaderId::host), "h");
  CHECK_EQ(f.headers.get(HeaderId::accept), "");
  CHECK(f.headers.find("c") == nullptr);
}

void set_replaces_all_by_one() {
  Fixture f;
  f.headers.add("X-A", "1");
  f.headers.add("Accept", "a");
  f.headers.add("x-a", "2");
  f.headers.add("accept", "b");
  f.headers.set("x-A", "3");
  f.headers.set(HeaderId::accept, "c");
  f.headers.set("New", "n");
  f.headers.set(HeaderId::date, "d");
  CHECK_EQ(f.text(), "X-A=3;Accept=c;New=n;Date=d;");
  CHECK_EQ(f.headers.size(), 4);
  CHECK_EQ(f.headers.count(HeaderId::accept), 1);
}

void removes_by_number_and_name() {
  Fixture f;
  f.headers.add("Cookie", "a");
  f.headers.add("X", "1");
  f.headers.add("cookie", "b");
  CHECK_EQ(f.headers.count(HeaderId::cookie), 2);
  CHECK_EQ(f.headers.remove("COOKIE"), 2);
  CHECK_EQ(f.headers.remove(HeaderId::cookie), 0);
  CHECK(f.headers.find(HeaderId::cookie) == nullptr);
  CHECK_EQ(f.headers.remove("Y"), 0);
  CHECK_EQ(f.headers.remove("x"), 1);
  CHECK_EQ(f.headers.size(), 0);
  CHECK_EQ(f.text(), "");
  f.headers.add(HeaderId::cookie, "c");
  CHECK_EQ(f.headers.get(HeaderId::cookie), "c");
}

void removes_while_walking() {
  Fixture f;
  for (const char* name : {"A", "B", "Connection", "C"}) f.headers.add(name, "v");
  std::string seen;
  for (const http::Header& h : f.headers) {
    seen += h.name;
    f.headers.remove("B");
  }
  CHECK_EQ(seen, "AConnectionC");
}

void grows_and_keeps_everything() {
  Fixture f;
  for (int i = 0; i < 300; ++i) f.headers.add(f.arena.copy(fmt::format("N{}", i)), f.arena.copy(fmt::format("{}", i)));
  CHECK_EQ(f.headers.size(), 300);
  for (int i = 0; i < 300; ++i) CHECK_EQ(f.headers.find(fmt::format("n{}", i))->value, fmt::format("{}", i));
}

void a_copy_is_another_list() {
  Fixture f;
  f.headers.add("A", "1");
  f.headers.add("B", "2");
  f.headers.remove("A");
  Headers other(f.arena);
  other = f.headers;
  other.add("C", "3");
  other.set("B", "4");
  CHECK_EQ(f.text(), "B=2;");
  CHECK_EQ(other.size(), 2);
  CHECK(other.find("A") == nullptr);
  Headers third = other;
  CHECK_EQ(third.find("C")->value, "3");
}

void take_leaves_the_other_empty() {
  Fixture f;
  Headers other(f.arena);
  other.add(HeaderId::host, "h");
  f.headers.add("A", "1");
  f.headers.take(other);
  CHECK_EQ(f.text(), "Host=h;");
  CHECK_EQ(other.size(), 0);
  CHECK(other.find(HeaderId::host) == nullptr);
  other.add("B", "2");
  CHECK_EQ(f.text(), "Host=h;");
}

void methods_and_reasons() {
  CHECK(http::method_id("GET") == http::Method::get);
  CHECK(http::method_id("get") == http::Method::other);
  CHECK(http::method_id("OTHER") == http::Method::other);
  CHECK_EQ(http::method_name(http::Method::delete_), "DELETE");
  CHECK(http::is_safe(http::Method::head) && !http::is_safe(http::Method::put));
  CHECK(http::is_idempotent(http::Method::put) && !http::is_idempotent(http::Method::post) && !http::is_idempotent(http::Method::other));
  CHECK_EQ(http::reason_phrase(404), "Not Found");
  CHECK_EQ(http::reason_phrase(299), "Unknown");
}

}  // namespace

GOMA_TESTS(every_known_name_has_its_number, other_names_have_none, keeps_order_and_duplicates, set_replaces_all_by_one,
           removes_by_number_and_name, removes_while_walking, grows_and_keeps_everything, a_copy_is_another_list,
           take_leaves_the_other_empty, methods_and_reasons)
