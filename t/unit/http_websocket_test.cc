// SPDX-License-Identifier: Apache-2.0
//
// Frames of a WebSocket: their boundaries however the bytes are cut, close frames, and which requests may open one.
#include "http/websocket.h"

#include <string>
#include <vector>

#include "check.h"
#include "core/arena.h"
#include "http/h1_parser.h"

using namespace goma;
using http::FrameTracker;

namespace {

std::string frame(int opcode, size_t length, bool masked) {
  std::string out(1, static_cast<char>(0x80 | opcode));
  const char mask = masked ? static_cast<char>(0x80) : 0;
  if (length < 126) {
    out += static_cast<char>(mask | static_cast<char>(length));
  } else {
    const int bytes = length < 65536 ? 2 : 8;
    out += static_cast<char>(mask | (bytes == 2 ? 126 : 127));
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(length >> (8 * i) & 0xff);
  }
  if (masked) out += "mask";
  return out + std::string(length, '\x88');
}

}  // namespace

static void a_boundary_is_where_a_frame_ends() {
  for (const size_t length : {0u, 1u, 125u, 126u, 127u, 65535u, 65536u}) {
    for (const bool masked : {false, true}) {
      const std::string text = frame(2, length, masked);
      FrameTracker whole;
      whole.pass(text);
      CHECK(whole.at_boundary());
      CHECK(!whole.closed());
      FrameTracker cut;
      for (size_t i = 0; i < text.size(); ++i) {
        CHECK_EQ(cut.at_boundary(), i == 0);
        cut.pass(std::string_view(text).substr(i, 1));
      }
      CHECK(cut.at_boundary());
    }
  }
}

static void any_cut_gives_the_same_boundaries() {
  const uint64_t seed = test::seed();
  std::mt19937_64 random(seed);
  std::string text;
  std::vector<bool> is_boundary(1, true);
  for (int i = 0; i < 200; ++i) {
    const size_t length = random() % 4 == 0 ? random() % 70'000 : random() % 140;
    text += frame(1, length, random() % 2 == 0);
    is_boundary.resize(text.size(), false);
    is_boundary.push_back(true);
  }
  FrameTracker tracker;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = std::string_view(text).substr(at);
    const std::string_view piece = rest.substr(0, random() % 3 == 0 ? random() % 5000 + 1 : random() % 20 + 1);
    const size_t until = tracker.until_boundary(piece);
    size_t expected = 0;
    while (expected < piece.size() && !is_boundary[at + expected]) ++expected;
    CHECK_EQ(until, expected);
    tracker.pass(piece);
    at += piece.size();
    CHECK_EQ(tracker.at_boundary(), bool(is_boundary[at]));
  }
}

static void a_close_frame_is_noticed_and_written() {
  char room[8];
  CHECK_EQ(http::write_close(room, http::close_service_restart), std::string_view("\x88\x02\x03\xf4", 4));
  FrameTracker tracker;
  tracker.pass({room, 4});
  CHECK(tracker.at_boundary() && tracker.closed());
  const std::string_view masked = http::write_masked_close(room, http::close_going_away, 0x12345678);
  CHECK_EQ(masked.size(), size_t{8});
  CHECK_EQ(masked.substr(0, 2), std::string_view("\x88\x82", 2));
  const int code = static_cast<unsigned char>(masked[6] ^ masked[2]) << 8 | static_cast<unsigned char>(masked[7] ^ masked[3]);
  CHECK_EQ(code, 1001);
  FrameTracker other;
  other.pass(masked);
  CHECK(other.at_boundary() && other.closed());
}

static void only_a_valid_request_may_upgrade() {
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const std::string good = key + "Sec-WebSocket-Version: 13\r\n";
  const std::vector<std::pair<std::string, bool>> cases = {
      {"GET / HTTP/1.1\r\nUpgrade: websocket\r\n" + good, true},
      {"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\n" + good, true},
      {"GET / HTTP/1.1\r\nUpgrade: foo, WEBSOCKET\r\n" + good, true},
      {"GET / HTTP/1.1\r\nUpgrade: echo\r\n", true},
      {"POST / HTTP/1.1\r\nUpgrade: websocket\r\n" + good, false},
      {"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", false},
      {"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n", false},
      {"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\n" + key, false},
      {"GET / HTTP/1.1\r\nUpgrade: websocket\r\n" + key, false},
      {"GET / HTTP/1.1\r\nUpgrade: h2c\r\n", false},
      {"GET / HTTP/1.1\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n" + good, false},
  };
  core::ChunkPool chunks;
  for (const auto& [text, may] : cases) {
    core::Arena arena(chunks);
    http::RequestHead head(arena);
    http::ParseError error;
    CHECK(http::parse_request(arena.copy(text + "Host: a\r\nConnection: Upgrade\r\n\r\n"), arena, http::Limits(), head, error));
    CHECK(head.upgrade);
    CHECK_EQ(http::may_upgrade(head), may);
  }
}

GOMA_TESTS(a_boundary_is_where_a_frame_ends, any_cut_gives_the_same_boundaries, a_close_frame_is_noticed_and_written, only_a_valid_request_may_upgrade)
