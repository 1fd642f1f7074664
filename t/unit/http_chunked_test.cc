// SPDX-License-Identifier: Apache-2.0
//
// Chunked bodies (RFC 9112 7.1, attack cases A04, A08-A10, A25): what comes out never depends on how the input was cut.
#include "http/chunked.h"

#include "check.h"
#include "http/h1_writer.h"

using namespace goma;
using http::ChunkDecoder;
using Status = ChunkDecoder::Status;

namespace {

core::ChunkPool pool;

struct Outcome {
  Status status = Status::need_more;
  std::string body;
  std::string trailers;
  size_t left = 0;  // bytes behind the end
  bool operator==(const Outcome&) const = default;
};

// Feeds the input in pieces of `step` bytes.
Outcome decode(std::string_view input, size_t step) {
  core::Arena arena(pool);
  ChunkDecoder decoder;
  Outcome outcome;
  size_t from = 0;
  while (from < input.size() && outcome.status == Status::need_more) {
    const std::string piece(input.substr(from, step));  // a copy that goes away
    const char* at = piece.data();
    std::string_view data;
    while ((outcome.status = decoder.decode(at, piece.data() + piece.size(), data, arena)) == Status::data) outcome.body += data;
    from += static_cast<size_t>(at - piece.data());
  }
  outcome.left = outcome.status == Status::end ? input.size() - from : 0;
  if (outcome.status == Status::end && decoder.trailers() != nullptr) {
    for (const http::Header& h : *decoder.trailers()) outcome.trailers += fmt::format("{}={};", h.name, h.value);
  }
  return outcome;
}

// The outcome, the same for all ways of cutting.
Outcome decode(std::string_view input) {
  const Outcome whole = decode(input, input.size() + 1);
  for (const size_t step : {1, 2, 3, 5, 7}) {
    if (!(decode(input, step) == whole)) throw test::Failure{fmt::format("differs in pieces of {}: {}", step, input.substr(0, 60)), __FILE__, __LINE__};
  }
  return whole;
}

void bodies() {
  struct Row {
    std::string_view input, body;
    size_t left;
  };
  constexpr Row rows[] = {
      {"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
      {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world", 5},
      {"0\r\n\r\n", "", 0},
      {"000\r\n\r\n", "", 0},
      {"0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", 0},
      {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", 0},
      {"5;name\r\nhello\r\n0;last=\"a;\\\"b\"\r\n\r\n", "hello", 0},
      {"5;a=b;c=\"\xE9\t\" ; d\r\nhello\r\n0\r\n\r\n", "hello", 0},
      {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0},
  };
  for (const Row& row : rows) {
    const Outcome outcome = decode(row.input);
    CHECK(outcome.status == Status::end);
    CHECK_EQ(outcome.body, row.body);
    CHECK_EQ(outcome.left, row.left);
  }
}

void what_is_not_chunked_is_refused() {
  using namespace std::string_literals;
  const std::string rows[] = {
      "0x5\r\nhello", "+5\r\nhello", "-5\r\nhello", "5_0\r\n", " 5\r\nhello", "5 \r\nhello", "5\t\r\nhello", "\r\nhello", "g\r\n", "5 ;a\r\n",  // A08
      "10000000000000001\r\nx", "8000000000000000\r\nx", "ffffffffffffffff\r\nx", "00000000000000005\r\nhello",                            // A04
      "5;\r\nhello", "5;a;\r\nhello", "5; \r\n", "5;=b\r\n", "5;a=b\nhello", "5;a\rb\r\n", "5;a=\0b\r\n"s, "5;a=\"\n\"\r\n", "5;a=\"\\\r\n",  // A09
      "5\nhello", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n", "5\r\nhellox\r\n", "0\r\n\n", "0\r\r\n", "0\r\nA: b\n\r\n", "5\r\r\n",        // A10
      "0\r\nA : b\r\n\r\n", "0\r\nA: b\r\n c\r\n\r\n", "0\r\n: b\r\n\r\n", "0\r\nA\r\n\r\n", "0\r\nA: b\x01\r\n\r\n", "0\r\n A: b\r\n\r\n", "0\r\nA: b\rc\r\n\r\n",
      "5;x=" + std::string(65536, 'y') + "\r\n",
  };
  for (const std::string& row : rows) {
    const Outcome outcome = decode(row);
    if (outcome.status != Status::bad) throw test::Failure{fmt::format("accepted: {}", row.substr(0, 60)), __FILE__, __LINE__};
  }
}

void bad_stays_bad() {
  core::Arena arena(pool);
  ChunkDecoder decoder;
  std::string_view data;
  const std::string_view wrong = "z\r\n";
  const char* at = wrong.data();
  CHECK(decoder.decode(at, wrong.data() + wrong.size(), data, arena) == Status::bad);
  const std::string_view good = "0\r\n\r\n";
  at = good.data();
  CHECK(decoder.decode(at, good.data() + good.size(), data, arena) == Status::bad);
  decoder.reset();
  CHECK(decoder.decode(at, good.data() + good.size(), data, arena) == Status::end);
}

void extensions_are_counted_over_the_message() {
  std::string input;
  for (int i = 0; i < 50; ++i) input += "1;" + std::string(70, 'e') + "\r\nx\r\n";
  CHECK(decode(input + "0\r\n\r\n").status == Status::end);
  for (int i = 0; i < 50; ++i) input += "1;" + std::string(70, 'e') + "\r\nx\r\n";
  CHECK(decode(input + "0\r\n\r\n").status == Status::bad);
}

void trailers_pass_when_they_may() {
  const Outcome outcome = decode("1\r\nx\r\n0\r\nX-Sum: 42\r\nETag: \"a\"\r\ngrpc-status:0  \r\n\r\nrest");
  CHECK(outcome.status == Status::end);
  CHECK_EQ(outcome.trailers, "X-Sum=42;ETag=\"a\";grpc-status=0;");
  CHECK_EQ(outcome.left, 4);
  CHECK(decode("0\r\n\r\n").trailers.empty());
}

void dangerous_trailers_are_dropped() {  // A25
  std::string input = "0\r\n";
  for (const char* name : {"Content-Length", "host", "Authorization", "X-Forwarded-For", "Cookie", "Connection", "Transfer-Encoding", "Set-Cookie",
                           "X-Forwarded-Anything", "x-real-name", "X_Forwarded_For", "Content-Type", "Trailer", "TE"}) {
    input += fmt::format("{}: 1\r\n", name);
  }
  CHECK_EQ(decode(input + "\r\n").trailers, "");
  CHECK_EQ(decode(input + "Good: 1\r\n\r\n").trailers, "Good=1;");
}

void trailers_are_bounded() {
  CHECK(decode("0\r\nA: " + std::string(8000, 'b') + "\r\n\r\n").status == Status::end);
  CHECK(decode("0\r\nA: " + std::string(9000, 'b') + "\r\n\r\n").status == Status::bad);
  CHECK(decode("0\r\nA: " + std::string(9000, 'b')).status == Status::bad);
  std::string many = "0\r\n";
  for (size_t i = 0; i <= ChunkDecoder::max_trailers; ++i) many += fmt::format("T{}: v\r\n", i);
  CHECK(decode(many + "\r\n").status == Status::bad);
}

void what_was_written_is_read() {
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 200; ++round) {
    std::string body, input;
    for (size_t n = random() % 5; n > 0; --n) {
      const std::string piece(1 + random() % 300, static_cast<char>(random()));
      char line[18];
      input.append(line, http::write_chunk_head(line, piece.size())).append(piece).append("\r\n");
      body += piece;
    }
    const Outcome outcome = decode(input + "0\r\n\r\nX");
    CHECK(outcome.status == Status::end);
    CHECK_EQ(outcome.body, body);
    CHECK_EQ(outcome.left, 1);
    CHECK(decode(input + "0\r\n\r").status == Status::need_more);
  }
}

}  // namespace

GOMA_TESTS(bodies, what_is_not_chunked_is_refused, bad_stays_bad, extensions_are_counted_over_the_message, trailers_pass_when_they_may,
           dangerous_trailers_are_dropped, trailers_are_bounded, what_was_written_is_read)
