// SPDX-License-Identifier: Apache-2.0
//
// What a client may do on an HTTP/2 connection that costs us more than it costs the client (RFC 9113 10.5). Every
// received block passes here before the protocol engine sees it: the guard walks the frame headers, skips the
// payloads and counts frames by kind.
//
// The one idea: a kind of frame has an allowance, a burst that time fills up again, and useful work earns more. So a
// client that asks for much and takes what it asked for never meets a limit, however fast it is; one that makes us
// busy for nothing is out after the burst.
//
// Invariant: a fixed amount of state, no allocation, a few nanoseconds per frame, whatever arrives. Once a connection
// is found abusive it stays so.
//
// It does not judge the protocol: sizes, states and codes of errors are the engine's. It does not limit requests that
// are waited for; that is the concurrency limit's part.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace goma::http {

class H2Guard {
 public:
  enum Kind : unsigned char {
    rapid_reset,
    server_reset,
    refused_stream,
    head_bytes,
    decoded_bytes,
    settings,
    ping,
    goaway,
    priority,
    empty_data,
    unknown_frame,
    window_update,
    kinds,
  };

  // What a kind may cost.
  struct Allowance {
    std::string_view name;  // the word for logs and metrics
    int32_t burst;          // at once
    int32_t per_second;     // grows back, up to the burst
    int32_t most;           // what useful work may pile up; at least the burst
  };
  static constexpr int32_t unlimited_credit = 1 << 24;

  static constexpr std::array<Allowance, kinds> allowances = {{
      // RST_STREAM from the client (CVE-2023-44487). The burst is raised to the stream limit where that is higher: who
      // leaves a page gives up all that is in flight at once. A completed request earns one: proxies in front of us
      // cancel a share of what they send. 20,000 requests with their resets reach a backend at most burst times.
      {"rapid-reset", 100, 20, 1 << 10},
      // RST_STREAM that the client made us send (CVE-2025-8671). A completed request earns one: an early answer to an
      // upload ends with a reset (RFC 9113 8.1). Honest clients see a few, refused streams before our SETTINGS arrive.
      {"server-reset", 100, 20, 1 << 10},
      // Streams above the limits of the connection, refused unread. Honest clients begin some before our SETTINGS arrive,
      // and some more when their heads are large; they wait then.
      {"refused-stream", 500, 50, 1 << 10},
      // Heads over the limits: one may inflate to a thousand times its size. A page with a cookie that has
      // grown too large asks for some things before it gives up.
      {"header-bytes", 20, 1, 20},
      // KiB that heads had decoded beyond eight times what they had on the wire. Who sends a large cookie with every
      // request names it with a byte each time, and earns it all back with the response.
      {"decoded-bytes", 4096, 64, 4096},
      // SETTINGS must be acknowledged each. Clients send one, some a second one later.
      {"settings", 100, 10, 100},
      // PING must be answered each. Keep-alive sends one in some seconds, but gRPC measures the path with one per DATA
      // frame it received: a DATA frame or a response earns one.
      {"ping", 100, 10, unlimited_credit},
      // GOAWAY: a client says it twice.
      {"goaway", 10, 1, 10},
      // PRIORITY and PRIORITY_UPDATE. Old Firefox plants a tree of six first; browsers send one or two per request,
      // which a request earns.
      {"priority", 250, 10, unlimited_credit},
      // DATA without data and without END_STREAM, padding not counted as data. Some libraries emit one at a flush.
      {"empty-data", 100, 10, 100},
      // Types nobody knows must be ignored (RFC 9113 5.5), which makes them free to send. Chromium greases with a few.
      {"unknown-frame", 100, 10, 100},
      // WINDOW_UPDATE. The thriftless acknowledge every DATA frame twice, for the stream and the connection, and old Go
      // every 4 KiB; so a DATA frame earns four and a request two, but not a small frame that was all the window
      // allowed: windows that open byte by byte are the attack.
      {"window-update", 250, 20, unlimited_credit},
  }};
  // DATA frames cut short by the client's window earn only from this size on.
  static constexpr size_t fair_piece = 256;

  struct Limits {
    // CONTINUATION frames per field block, empty ones too (CVE-2024-27316). Clients fill frames of 16 KiB, so that a
    // block under the next limit needs four.
    uint32_t continuations = 8;
    // Of one field block as sent. To be raised above the limit for decoded heads, so that those are answered with 431.
    uint32_t block_bytes = 64 * 1024;
    // Concurrent streams: what may be reset at once.
    uint32_t streams = 100;
  };

  H2Guard(Limits limits, int64_t now_ms);

  // Counts what is in a block as received, beginning with the preface (RFC 9113 3.4). Returns the kind of abuse, or
  // empty: all is well. The text is static.
  std::string_view feed(const char* data, size_t n, int64_t now_ms);

  // We sent RST_STREAM with this code (RFC 9113 7). The next feed, or abuse(), tells.
  void reset_sent(uint32_t code);
  // A head was over the limits and was refused.
  void head_refused() { take(head_bytes); }
  // A head was decoded; returns the KiB that this is counted as.
  uint32_t head_decoded(size_t decoded, size_t on_the_wire);
  // A request got its whole response; inflated: the KiB that its heads were counted as.
  void request_done(uint32_t inflated);
  // We sent a DATA frame; short_of_window: the client's window allowed no more of what there was.
  void data_sent(size_t bytes, bool short_of_window);

  // DATA frames begun so far, modulo 2^32, and the streams of the last of them; 0: no stream.
  uint32_t data_frames() const { return data_frames_; }
  const std::array<int32_t, 4>& data_streams() const { return data_streams_; }

  // The kind of abuse seen so far, or empty.
  std::string_view abuse() const { return abuse_; }

 private:
  void refill(int64_t now_ms);
  void take(Kind kind, uint32_t times = 1);
  void earn(Kind kind, int32_t credit);
  size_t gather(const char* data, size_t n);
  size_t count_frame(const unsigned char* header);
  void count(const unsigned char* header, uint32_t length);
  void note_data(int32_t stream);
  void count_continuation(uint32_t length);
  int32_t burst(size_t kind) const;

  std::string_view abuse_;
  Limits limits_;
  int64_t refilled_ms_;
  std::array<int32_t, kinds> left_;
  uint32_t skip_;              // payload bytes (at first the preface) still to come
  uint32_t block_bytes_ = 0;   // of the field block under way
  uint32_t continuations_ = 0;
  uint32_t data_frames_ = 0;
  std::array<int32_t, 4> data_streams_ = {};
  unsigned char have_ = 0;     // bytes of header_ so far
  unsigned char header_[10];   // a frame header, and the pad length of a padded DATA frame
};

}  // namespace goma::http
