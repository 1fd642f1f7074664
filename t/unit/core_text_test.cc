// SPDX-License-Identifier: Apache-2.0
//
// core/text: numbers are strict, lists are forgiving, suggestions are near.
#include "core/text.h"

#include <vector>

#include "check.h"

using namespace goma::core;

namespace {

std::vector<std::string_view> parts(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (std::string_view part : split(text, separator)) out.push_back(part);
  return out;
}

void trims_both_ends() {
  CHECK_EQ(trim("  a b\t\r\n"), "a b");
  CHECK_EQ(trim(" \t "), "");
}

void splits_keep_empty_parts() {
  CHECK(parts("a,,b", ',') == (std::vector<std::string_view>{"a", "", "b"}));
  CHECK_EQ(parts("", ',').size(), 1);
  CHECK_EQ(parts(",", ',').size(), 2);
}

void numbers_are_the_whole_text() {
  CHECK_EQ(parse_u64("18446744073709551615").value_or(0), UINT64_MAX);
  for (const char* bad : {"", " 1", "1 ", "+1", "-1", "1x", "18446744073709551616"}) CHECK(!parse_u64(bad));
  CHECK_EQ(parse_i64("-9223372036854775808").value_or(0), INT64_MIN);
  CHECK(!parse_i64("9223372036854775808"));
}

void tokens_are_found_in_lists() {
  CHECK(contains_token("gzip, Chunked ", "chunked"));
  CHECK(!contains_token("xchunked", "chunked"));
  CHECK(!contains_token("", "chunked"));
}

void distance_counts_swaps_once() {
  CHECK_EQ(edit_distance("target", "targte"), 1);
  CHECK_EQ(edit_distance("Target", "target"), 0);
  CHECK_EQ(edit_distance("", "abc"), 3);
}

void suggestions_are_near_or_nothing() {
  constexpr std::string_view names[] = {"target", "path", "priority", "hosts"};
  CHECK_EQ(suggest("targt", names), "target");
  CHECK_EQ(suggest("pth", names), "path");
  CHECK_EQ(suggest("pa", names), "");  // two edits from a short name
  CHECK_EQ(suggest("colour", names), "");
}

void urls_come_apart() {
  const auto url = split_url("http://ann:pw@[::1]:9000/base?x");
  CHECK(url.has_value());
  CHECK_EQ(url->scheme, "http");
  CHECK_EQ(url->user, "ann:pw");
  CHECK_EQ(url->host, "::1");
  CHECK_EQ(url->port, "9000");
  CHECK_EQ(url->path, "/base?x");
  for (const char* bad : {"", "a.test", "http://", "http://:80", "http://a:0", "http://a:70000", "http://a b/", "://a", "http://[::1", "1http://a"}) CHECK(!split_url(bad));
}

void json_is_escaped() {
  CHECK_EQ(json_quote("a\"b\\\n\x01"), "\"a\\\"b\\\\\\n\\u0001\"");
  CHECK_EQ(json_quote("\xff\xc3\xa4"), "\"\xef\xbf\xbd\xc3\xa4\"");
}

void utf8_survives_a_round_trip() {
  const std::string text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82";
  std::string back;
  for (char32_t c : decode_utf8(text)) append_utf8(back, c);
  CHECK_EQ(back, text);
  CHECK_EQ(decode_utf8("\xe2\x82").size(), 2);      // a cut sequence: each byte replaced
  CHECK_EQ(decode_utf8("\xc0\xaf").size(), 2);      // overlong
  CHECK_EQ(decode_utf8("\xed\xa0\x80").size(), 3);  // a surrogate
}

}  // namespace

GOMA_TESTS(trims_both_ends, splits_keep_empty_parts, numbers_are_the_whole_text, tokens_are_found_in_lists, distance_counts_swaps_once,
           suggestions_are_near_or_nothing, urls_come_apart, json_is_escaped, utf8_survives_a_round_trip)
