// SPDX-License-Identifier: Apache-2.0
//
// Chunked bodies: cut in two anywhere, or byte by byte, they come out as in one piece. The first byte says where to cut.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/chunked.h"

using namespace goma;
using http::ChunkDecoder;
using Status = ChunkDecoder::Status;

namespace {

struct Outcome {
  Status status = Status::need_more;
  std::string body;
  std::string trailers;
  size_t used = 0;
  bool operator==(const Outcome&) const = default;
};

void feed(ChunkDecoder& decoder, const std::string& piece, core::Arena& arena, Outcome& outcome) {
  if (outcome.status != Status::need_more) return;
  const char* at = piece.data();
  std::string_view data;
  while ((outcome.status = decoder.decode(at, piece.data() + piece.size(), data, arena)) == Status::data) outcome.body += data;
  if (outcome.status != Status::bad) outcome.used += static_cast<size_t>(at - piece.data());
}

Outcome finish(ChunkDecoder& decoder, Outcome outcome) {
  if (outcome.status != Status::end || decoder.trailers() == nullptr) return outcome;
  for (const http::Header& h : *decoder.trailers()) outcome.trailers.append(h.name).append("=").append(h.value).append(";");
  return outcome;
}

Outcome in_two(std::string_view bytes, size_t cut) {
  static core::ChunkPool pool;
  core::Arena arena(pool);
  ChunkDecoder decoder;
  Outcome outcome;
  feed(decoder, std::string(bytes.substr(0, cut)), arena, outcome);
  feed(decoder, std::string(bytes.substr(cut)), arena, outcome);
  Outcome result = finish(decoder, outcome);
  if (result.status == Status::bad) result.used = 0;
  return result;
}

Outcome in_bytes(std::string_view bytes) {
  static core::ChunkPool pool;
  core::Arena arena(pool);
  ChunkDecoder decoder;
  Outcome outcome;
  for (const char c : bytes) feed(decoder, std::string(1, c), arena, outcome);
  Outcome result = finish(decoder, outcome);
  if (result.status == Status::bad) result.used = 0;
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = in_two(bytes, bytes.size());
  if (!(in_two(bytes, data[0] * bytes.size() / 256) == whole)) std::abort();
  if (bytes.size() < 4096 && !(in_bytes(bytes) == whole)) std::abort();
  return 0;
}
