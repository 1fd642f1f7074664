// SPDX-License-Identifier: Apache-2.0
//
// Every kind of abuse is found one past its allowance, however the bytes are cut; honest traffic never is.
#include "http/h2_guard.h"

#include <string>

#include "check.h"

using goma::http::H2Guard;

namespace {

const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(int type, int flags, uint32_t stream, const std::string& payload = "") {
  const size_t n = payload.size();
  std::string out;
  for (const size_t byte : {n >> 16, n >> 8, n}) out.push_back(static_cast<char>(byte));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  for (const uint32_t byte : {stream >> 24, stream >> 16, stream >> 8, stream}) out.push_back(static_cast<char>(byte));
  return out + payload;
}

std::string times(int n, const std::string& text) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

H2Guard opened(H2Guard::Limits limits = {}) {
  H2Guard guard(limits, 0);
  CHECK_EQ(guard.feed(preface.data(), preface.size(), 0), "");
  return guard;
}

std::string_view feed(H2Guard& guard, const std::string& bytes, int64_t now_ms = 0) {
  return guard.feed(bytes.data(), bytes.size(), now_ms);
}

const std::string data = frame(0, 0, 1, "x");
const std::string headers = frame(1, 4, 1, "\x82\x84\x86");
const std::string priority = frame(2, 0, 1, "12345");
const std::string reset = frame(3, 0, 1, std::string(4, '\0'));
const std::string settings = frame(4, 0, 0);
const std::string ping = frame(6, 0, 0, "12345678");
const std::string goaway = frame(7, 0, 0, "12345678");
const std::string window = frame(8, 0, 1, std::string("\0\0\0\1", 4));
const std::string priority_update = frame(16, 0, 0, "1234u=1");

// As many as allowed pass, one more does not, and time makes room again.
void holds_to(H2Guard::Kind kind, const std::string& one) {
  const H2Guard::Allowance& allowance = H2Guard::allowances[kind];
  H2Guard guard = opened();
  CHECK_EQ(feed(guard, times(allowance.burst, one)), "");
  CHECK_EQ(feed(guard, times(allowance.per_second, one), 1000), "");
  CHECK_EQ(feed(guard, one, 1999), allowance.name);
  CHECK_EQ(feed(guard, data, 100'000), allowance.name);  // for good

  H2Guard rested = opened();
  CHECK_EQ(feed(rested, times(allowance.burst, one)), "");
  CHECK_EQ(feed(rested, times(allowance.burst, one), 1'000'000), "");  // the burst comes back, not more
  CHECK_EQ(feed(rested, one, 1'000'000), allowance.name);
}

void every_kind_has_its_allowance() {
  holds_to(H2Guard::rapid_reset, reset);
  holds_to(H2Guard::settings, settings);
  holds_to(H2Guard::ping, ping);
  holds_to(H2Guard::goaway, goaway);
  holds_to(H2Guard::priority, priority);
  holds_to(H2Guard::priority, priority_update);
  holds_to(H2Guard::empty_data, frame(0, 0, 1));
  holds_to(H2Guard::empty_data, frame(0, 8, 1, std::string("\3\0\0\0", 4)));  // padding is not data
  holds_to(H2Guard::empty_data, frame(0, 8, 1, std::string(1, '\0')));
  holds_to(H2Guard::unknown_frame, frame(99, 0, 0, "what"));
  holds_to(H2Guard::window_update, window);
}

void sent_resets_and_refused_heads_count() {
  H2Guard guard = opened();
  for (int i = 0; i < 100; ++i) guard.reset_sent(1);
  CHECK_EQ(guard.abuse(), "");
  guard.reset_sent(1);
  CHECK_EQ(guard.abuse(), "server-reset");
  CHECK_EQ(feed(guard, data), "server-reset");

  H2Guard heads = opened();
  for (int i = 0; i < 20; ++i) heads.head_refused();
  CHECK_EQ(feed(heads, data), "");
  heads.head_refused();
  CHECK_EQ(feed(heads, data), "header-bytes");
}

void resets_count_by_their_code() {
  H2Guard guard = opened();
  for (int i = 0; i < 1000; ++i) guard.reset_sent(2);  // INTERNAL_ERROR is ours
  for (int i = 0; i < 500; ++i) guard.reset_sent(7);
  CHECK_EQ(guard.abuse(), "");
  guard.reset_sent(7);
  CHECK_EQ(guard.abuse(), "refused-stream");
}

void heads_may_inflate_if_they_are_answered() {
  H2Guard guard = opened();
  CHECK_EQ(guard.head_decoded(800, 100), 0u);
  CHECK_EQ(guard.head_decoded(800 + 3 * 1024, 100), 3u);
  for (int i = 0; i < 10'000; ++i) guard.request_done(guard.head_decoded(61'440, 100));
  CHECK_EQ(guard.abuse(), "");
  int passed = 0;
  while (passed < 1000 && guard.abuse().empty()) {
    guard.head_decoded(61'440, 100);
    ++passed;
  }
  CHECK(passed > 60 && passed < 80);
  CHECK_EQ(guard.abuse(), "decoded-bytes");
}

void all_streams_may_be_given_up_at_once() {
  H2Guard guard = opened({.streams = 250});
  CHECK_EQ(feed(guard, times(250, reset)), "");
  CHECK_EQ(feed(guard, reset), "rapid-reset");
}

void twenty_thousand_pairs_are_cut_early() {
  H2Guard guard = opened({.streams = 250});
  int passed = 0;
  while (passed < 20'000 && feed(guard, headers + reset, passed / 100).empty()) ++passed;
  CHECK(passed <= 300);
  CHECK_EQ(guard.abuse(), "rapid-reset");
}

void field_blocks_end_soon() {
  const std::string open = frame(1, 0, 1, "\x82");
  H2Guard many = opened();
  CHECK_EQ(feed(many, open + times(8, frame(9, 0, 1))), "");  // empty ones count
  CHECK_EQ(feed(many, frame(9, 0, 1)), "continuation");

  H2Guard again = opened();
  for (int i = 0; i < 1000; ++i) CHECK_EQ(feed(again, open + times(8, frame(9, 0, 1, "x"))), "");  // per block

  H2Guard large = opened();
  CHECK_EQ(feed(large, frame(1, 0, 1, std::string(16384, 'x')) + times(3, frame(9, 0, 1, std::string(16384, 'x')))), "");
  CHECK_EQ(feed(large, frame(9, 4, 1, "x")), "continuation");
}

void useful_work_earns() {
  H2Guard resets = opened();
  for (int i = 0; i < 5000; ++i) {
    resets.request_done(0);
    CHECK_EQ(feed(resets, headers + reset), "");
  }
  H2Guard pings = opened();  // gRPC measuring bandwidth
  for (int i = 0; i < 5000; ++i) {
    pings.data_sent(5, false);
    CHECK_EQ(feed(pings, ping), "");
  }
  H2Guard windows = opened();  // a thriftless reader
  for (int i = 0; i < 5000; ++i) {
    windows.data_sent(16384, true);
    CHECK_EQ(feed(windows, times(4, window)), "");
  }
  H2Guard late = opened();  // one who acknowledges a gigabyte at the end
  for (int i = 0; i < 65536; ++i) late.data_sent(16384, false);
  CHECK_EQ(feed(late, times(2 * 65536, window)), "");
  H2Guard tree = opened();
  for (int i = 0; i < 5000; ++i) CHECK_EQ(feed(tree, headers + priority + priority), "");
}

void byte_by_byte_windows_earn_nothing() {
  H2Guard guard = opened();
  int count = 0;
  while (count < 10'000 && feed(guard, window).empty()) {
    guard.data_sent(1, true);
    ++count;
  }
  CHECK(count <= 250);
  CHECK_EQ(guard.abuse(), "window-update");
}

void honest_data_passes() {
  H2Guard guard = opened();
  for (int i = 0; i < 10'000; ++i) {
    CHECK_EQ(feed(guard, headers + data + frame(0, 1, 1)), "");            // END_STREAM on an empty frame
    CHECK_EQ(feed(guard, frame(0, 8, 1, std::string("\2x\0\0", 4))), "");  // padded, but with a byte
  }
}

// The same frames in pieces of any size give the same verdict at the same frame.
void cuts_do_not_matter() {
  std::mt19937_64 random(goma::test::seed());
  const std::string kinds[] = {data, headers, reset, settings, ping, window, frame(0, 8, 1, std::string("\3\0\0\0", 4)),
                               frame(0, 8, 1, std::string("\2x\0\0", 4)), frame(0, 0, 1, std::string(300, 'x'))};
  for (int round = 0; round < 200; ++round) {
    std::string stream = preface;
    for (int i = 0; i < 1500; ++i) stream += kinds[random() % std::size(kinds)];
    H2Guard whole({}, 0);
    whole.feed(stream.data(), stream.size(), 0);
    H2Guard pieces({}, 0);
    for (size_t at = 0; at < stream.size();) {
      const size_t n = std::min<size_t>(1 + random() % 40, stream.size() - at);
      pieces.feed(stream.data() + at, n, 0);
      at += n;
    }
    CHECK_EQ(whole.abuse(), pieces.abuse());
    CHECK(!whole.abuse().empty());
  }
}

void remembers_streams_of_data() {
  H2Guard guard = opened();
  feed(guard, headers + frame(0, 0, 0x80000005, "x") + frame(0, 8, 7, std::string("\1x\0", 3)));
  CHECK_EQ(guard.data_frames(), 2u);
  CHECK_EQ(guard.data_streams()[0], 5);
  CHECK_EQ(guard.data_streams()[1], 7);
  CHECK_EQ(guard.data_streams()[2], 0);
}

void is_small() { CHECK(sizeof(H2Guard) <= 200); }

}  // namespace

GOMA_TESTS(every_kind_has_its_allowance, sent_resets_and_refused_heads_count, resets_count_by_their_code,
           heads_may_inflate_if_they_are_answered, all_streams_may_be_given_up_at_once,
           twenty_thousand_pairs_are_cut_early, field_blocks_end_soon, useful_work_earns, byte_by_byte_windows_earn_nothing,
           honest_data_passes, cuts_do_not_matter, remembers_streams_of_data, is_small)
