// SPDX-License-Identifier: Apache-2.0
//
// Taking a chunked body apart (RFC 9112 7.1): sizes and extensions go, data comes out as views into the input, in the
// pieces in which it arrived. Trailer fields are collected; those that could change the meaning of the message after
// the fact are dropped (RFC 9110 6.5.1).
//
//   size       hexadecimal digits             extension  behind a semicolon, up to CR
//   data       bytes of a chunk               data_end   the CRLF behind it
//   trailer    lines behind the last chunk    done       / failed: nothing more is taken
//
// The invariant: how the input is cut never changes what comes out. Sizes, extensions and trailers are bounded.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/arena.h"
#include "http/headers.h"

namespace goma::http {

class ChunkDecoder {
 public:
  enum class Status {
    data,       // `data` holds a piece; call again
    need_more,  // everything was taken, the body goes on
    end,        // the body is complete; what lies behind `at` belongs to the next message
    bad,        // not a chunked body; the connection is of no further use
  };

  static constexpr uint32_t max_extension_bytes = 4096;  // of one message
  static constexpr uint32_t max_trailer_bytes = 8192;
  static constexpr size_t max_trailers = 64;

  // Goes on at `at` and moves it behind what was taken. The arena holds trailers and must outlive them.
  Status decode(const char*& at, const char* end, std::string_view& data, core::Arena& arena);
  // The trailer fields that may be passed on, or null when there are none. Requires: end.
  const Headers* trailers() const { return trailers_; }
  void reset() { *this = ChunkDecoder(); }

 private:
  enum class State : uint8_t {
    size_start, size, size_lf, extension_start, extension, quoted, quoted_pair, data, data_cr, data_lf, trailer, done, failed,
  };

  bool step(char byte);
  bool step_size(char byte);
  bool step_extension(char byte);
  Status fail();
  Status take_trailers(const char*& at, const char* end, core::Arena& arena);
  bool keep_line(const char* from, const char* to, core::Arena& arena);
  bool add_trailer(core::Arena& arena);

  uint64_t left_ = 0;             // of the chunk's data; while in its size: what was read so far
  Headers* trailers_ = nullptr;
  char* line_ = nullptr;          // the trailer line being read, in the arena
  uint32_t line_size_ = 0;
  uint32_t line_capacity_ = 0;
  uint32_t extension_bytes_ = 0;
  uint32_t trailer_bytes_ = 0;
  uint8_t digits_ = 0;
  State state_ = State::size_start;
};

}  // namespace goma::http
