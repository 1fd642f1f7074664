// SPDX-License-Identifier: Apache-2.0
//
// Sizes and extensions go through a state machine byte by byte; data and trailer lines in pieces. Stricter than the
// grammar in one thing: no blank may follow the digits of a size (attack case A08).
#include "http/chunked.h"

#include <algorithm>
#include <cstring>

#include "core/scan.h"
#include "core/text.h"
#include "http/h1_parser.h"

namespace goma::http {

namespace {

constexpr uint8_t max_digits = 16;

// The value of a hexadecimal digit, or -1.
int digit_of(char c) {
  if (core::is_digit(c)) return c - '0';
  const char l = core::lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

}  // namespace

ChunkDecoder::Status ChunkDecoder::fail() {
  state_ = State::failed;
  return Status::bad;
}

ChunkDecoder::Status ChunkDecoder::decode(const char*& at, const char* end, std::string_view& data, core::Arena& arena) {
  while (true) {
    if (state_ == State::done) return Status::end;
    if (state_ == State::failed) return Status::bad;
    if (at == end) return Status::need_more;
    if (state_ == State::trailer) return take_trailers(at, end, arena);
    if (state_ == State::data) {
      data = {at, static_cast<size_t>(std::min<uint64_t>(left_, static_cast<uint64_t>(end - at)))};
      at += data.size();
      left_ -= data.size();
      if (left_ == 0) state_ = State::data_cr;
      return Status::data;
    }
    if (!step(*at)) return fail();
    ++at;
  }
}

// One byte between two pieces of data. False: it may not be there.
bool ChunkDecoder::step(char byte) {
  switch (state_) {
    case State::data_cr: state_ = State::data_lf; return byte == '\r';
    case State::data_lf: state_ = State::size_start; return byte == '\n';
    case State::size_start:
      left_ = 0;
      digits_ = 0;
      state_ = State::size;
      return digit_of(byte) >= 0 && step_size(byte);
    case State::size: return step_size(byte);
    case State::size_lf: state_ = left_ == 0 ? State::trailer : State::data; return byte == '\n';
    default: return ++extension_bytes_ <= max_extension_bytes && step_extension(byte);
  }
}

// chunk-size = 1*HEXDIG, here at most 16 and below 2^63.
bool ChunkDecoder::step_size(char byte) {
  const int digit = digit_of(byte);
  if (digit >= 0) {
    left_ = left_ << 4 | static_cast<uint64_t>(digit);
    return ++digits_ <= max_digits;
  }
  if (left_ > uint64_t{INT64_MAX}) return false;
  if (byte == '\r') state_ = State::size_lf;
  else if (byte == ';') state_ = State::extension_start;
  else return false;
  return true;
}

// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ); dropped, so only its end matters.
bool ChunkDecoder::step_extension(char byte) {
  if (state_ == State::quoted_pair || state_ == State::quoted) {
    const bool escaped = state_ == State::quoted_pair;
    state_ = !escaped && byte == '"' ? State::extension : !escaped && byte == '\\' ? State::quoted_pair : State::quoted;
    return !core::is_control(byte);
  }
  if (state_ == State::extension_start) {
    if (byte == ' ' || byte == '\t') return true;
    state_ = State::extension;
    return is_token_char(byte);
  }
  if (byte == '\r') state_ = State::size_lf;
  else if (byte == ';') state_ = State::extension_start;
  else if (byte == '"') state_ = State::quoted;
  else return !core::is_control(byte);
  return true;
}

// ---------------------------------------------------------------- trailers

// Lines up to the empty one (RFC 9112 7.1.2).
ChunkDecoder::Status ChunkDecoder::take_trailers(const char*& at, const char* end, core::Arena& arena) {
  while (at != end) {
    const auto* lf = static_cast<const char*>(std::memchr(at, '\n', static_cast<size_t>(end - at)));
    const char* const stop = lf != nullptr ? lf + 1 : end;
    if (!keep_line(at, stop, arena)) return fail();
    at = stop;
    if (lf == nullptr) return Status::need_more;
    if (line_size_ == 2 && line_[0] == '\r') {
      state_ = State::done;
      return Status::end;
    }
    if (!add_trailer(arena)) return fail();
    line_size_ = 0;
  }
  return Status::need_more;
}

// A line may arrive in pieces, so it is put together in the arena.
bool ChunkDecoder::keep_line(const char* from, const char* to, core::Arena& arena) {
  const auto n = static_cast<size_t>(to - from);
  if (n > max_trailer_bytes - trailer_bytes_) return false;
  trailer_bytes_ += static_cast<uint32_t>(n);
  if (line_size_ + n > line_capacity_) {
    line_capacity_ = std::max<uint32_t>(64, 2 * (line_size_ + static_cast<uint32_t>(n)));
    auto* larger = static_cast<char*>(arena.allocate(line_capacity_, 1));
    if (line_size_ != 0) std::memcpy(larger, line_, line_size_);
    line_ = larger;
  }
  std::memcpy(line_ + line_size_, from, n);
  // What is no line yet may still be refused early: nothing but the CR of its end is a control byte.
  const char* const fresh = line_ + line_size_ - (line_size_ != 0 ? 1 : 0);
  line_size_ += static_cast<uint32_t>(n);
  const char* const end = line_ + line_size_;
  const char* const odd = core::find_control(fresh, end);
  return odd == end || (*odd == '\r' && (odd + 1 == end || (odd[1] == '\n' && odd + 2 == end)));
}

bool ChunkDecoder::add_trailer(core::Arena& arena) {
  Header field{};
  bool has_underscore = false;
  ParseError error;
  if (!parse_field({line_, line_size_ - 2}, field, has_underscore, error)) return false;
  if (has_underscore || !passes_in_trailers(field.id, field.name)) return true;
  if (trailers_ == nullptr) trailers_ = arena.make<Headers>(arena);
  if (trailers_->size() == max_trailers) return false;
  trailers_->add(field.id, field.name, field.value);
  line_ = nullptr;  // its text is in use now
  line_capacity_ = 0;
  return true;
}

}  // namespace goma::http
