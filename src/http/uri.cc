// SPDX-License-Identifier: Apache-2.0
//
// A path is walked once by a table; only one that holds something remarkable is taken apart segment by segment.
#include "http/uri.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/text.h"

namespace goma::http {

namespace {

// ---------------------------------------------------------------- bytes

enum : uint8_t {
  plain = 0,
  slash = 1,
  special = 2,  // '%' or a byte that no path holds raw
  stray = 3,    // RFC 3986 3.3 lets nobody write it, but it means nothing to anybody either: it is percent-encoded
};

constexpr std::array<uint8_t, 256> make_path_bytes() {
  std::array<uint8_t, 256> bytes{};
  for (unsigned c = 0; c < 256; ++c) {
    bytes[c] = c <= 0x20 || c >= 0x7F ? special : is_uri_char(static_cast<char>(c)) ? plain : stray;
  }
  for (const char c : std::string_view("%\\#?")) bytes[static_cast<uint8_t>(c)] = special;
  bytes['/'] = slash;
  return bytes;
}

constexpr std::array<uint8_t, 256> path_bytes = make_path_bytes();

// ---------------------------------------------------------------- judging a segment

enum class Segment : uint8_t { bad, empty, dot, dot_dot, name };

// Two bytes that begin an overlong or out-of-range UTF-8 sequence: lax decoders make '/' and '.' of such.
bool is_overlong(int first, int second) {
  if (second < 0x80 || second > 0xBF) return false;
  return first == 0xC0 || first == 0xC1 || (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90) || first >= 0xF8;
}

// Watches for a part that is "." or ".." to somebody: parts end at encoded slashes and backslashes, and many servers cut
// them at ';'.
class DotWatch {
 public:
  void see(int c) {
    if (cut_) return;
    if (c == ';') cut_ = true;
    else if (c == '.') ++dots_;
    else other_ = true;
  }
  // The part is complete. True: it was a dot segment.
  bool end_part() {
    const bool dot_segment = !other_ && (dots_ == 1 || dots_ == 2);
    *this = DotWatch();
    return dot_segment;
  }

 private:
  int dots_ = 0;
  bool other_ = false;
  bool cut_ = false;
};

Segment judge_name(std::string_view segment) {
  DotWatch dots;
  int before = 0;
  for (size_t i = 0; i < segment.size(); ++i) {
    int c = static_cast<unsigned char>(segment[i]);
    const bool encoded = c == '%';
    if (encoded) {
      c = core::percent_byte(segment, i);
      i += 2;
      if (c < 0x20 || c == 0x7F || is_overlong(before, c)) return Segment::bad;
    } else if (path_bytes[static_cast<size_t>(c)] == special) {
      return Segment::bad;
    }
    before = c;
    if (c != '/' && c != '\\') dots.see(c);
    else if (dots.end_part()) return Segment::bad;
  }
  return dots.end_part() ? Segment::bad : Segment::name;
}

Segment judge(std::string_view segment) {
  if (segment.empty()) return Segment::empty;
  if (segment == ".") return Segment::dot;
  if (segment == "..") return Segment::dot_dot;
  return judge_name(segment);
}

// ---------------------------------------------------------------- building paths

constexpr std::array<bool, 256> make_stray_bytes() {
  std::array<bool, 256> bytes{};
  for (unsigned c = 0; c < 256; ++c) bytes[c] = !is_uri_char(static_cast<char>(c));
  return bytes;
}

constexpr std::array<bool, 256> stray_bytes = make_stray_bytes();

bool is_stray(char c) { return stray_bytes[static_cast<uint8_t>(c)]; }

size_t strays(std::string_view text) { return static_cast<size_t>(std::count_if(text.begin(), text.end(), is_stray)); }

char* put_encoded(char* out, char c) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  const auto byte = static_cast<uint8_t>(c);
  *out++ = '%';
  *out++ = digits[byte >> 4];
  *out++ = digits[byte & 15];
  return out;
}

char* put_without_strays(char* out, std::string_view text) {
  for (const char c : text) {
    if (!is_stray(c)) *out++ = c;
    else out = put_encoded(out, c);
  }
  return out;
}

// A path being put together from names. Always "" or "/a/b".
class PathBuilder {
 public:
  // Room for the names of this text.
  PathBuilder(core::Arena& arena, std::string_view raw) : strays_(strays(raw)), begin_(arena.array<char>(raw.size() + 2 * strays_ + 1)), out_(begin_) {}
  void push(std::string_view name) {
    *out_++ = '/';
    out_ = strays_ == 0 ? std::copy(name.begin(), name.end(), out_) : put_without_strays(out_, name);
  }
  void pop() {
    while (out_ != begin_ && *--out_ != '/') {
    }
  }
  std::string_view finish(bool trailing_slash) {
    if (trailing_slash || out_ == begin_) *out_++ = '/';
    return {begin_, static_cast<size_t>(out_ - begin_)};
  }

 private:
  size_t strays_;
  char* begin_;
  char* out_;
};

// Resolves dots and repeated slashes of a path with a leading slash (RFC 3986 5.2.4). Empty: a segment is refused.
std::string_view resolve(std::string_view raw, core::Arena& arena) {
  PathBuilder out(arena, raw);
  bool trailing_slash = true;
  for (size_t at = 0; at < raw.size();) {
    const size_t stop = std::min(raw.find('/', at + 1), raw.size());
    const std::string_view segment = raw.substr(at + 1, stop - at - 1);
    const Segment kind = judge(segment);
    if (kind == Segment::bad) return {};
    if (kind == Segment::name) out.push(segment);
    if (kind == Segment::dot_dot) out.pop();
    trailing_slash = kind != Segment::name;
    at = stop;
  }
  return out.finish(trailing_slash);
}

// As written: everything decoded once, an encoded slash excepted.
std::string_view decode(std::string_view encoded, core::Arena& arena) {
  if (encoded.find('%') == std::string_view::npos) return encoded;
  char* const begin = arena.array<char>(encoded.size());
  return {begin, core::decode_path(encoded, begin)};
}

// Whether a path with a leading slash is its own canonical and decoded form.
bool is_clean(std::string_view raw) {
  for (size_t i = 0; i < raw.size(); ++i) {
    const uint8_t kind = path_bytes[static_cast<uint8_t>(raw[i])];
    if (kind == plain) continue;
    if (kind != slash) return false;
    if (i + 1 < raw.size() && (raw[i + 1] == '/' || raw[i + 1] == '.')) return false;
  }
  return true;
}

// ---------------------------------------------------------------- readings

// What is encoded and still separates to somebody.
enum : unsigned { encoded_slash = 1, encoded_backslash = 2 };

unsigned separator_at(std::string_view encoded, size_t at) {
  const int c = encoded[at] == '%' ? core::percent_byte(encoded, at) : 0;
  if (c == '/') return encoded_slash;
  return c == '\\' ? encoded_backslash : 0u;
}

unsigned separators(std::string_view encoded) {
  unsigned found = 0;
  for (size_t at = encoded.find('%'); at != std::string_view::npos; at = encoded.find('%', at + 1)) found |= separator_at(encoded, at);
  return found;
}

// Those of these kinds as slashes.
std::string_view separate(std::string_view encoded, unsigned kinds, core::Arena& arena) {
  char* const begin = arena.array<char>(encoded.size());
  char* out = begin;
  for (size_t i = 0; i < encoded.size(); ++i) {
    const bool separates = (separator_at(encoded, i) & kinds) != 0;
    *out++ = separates ? '/' : encoded[i];
    if (separates) i += 2;
  }
  return {begin, static_cast<size_t>(out - begin)};
}

std::string_view merge_slashes(std::string_view path, core::Arena& arena) {
  if (path.find("//") == std::string_view::npos) return path;
  char* const begin = arena.array<char>(path.size());
  return {begin, static_cast<size_t>(std::unique_copy(path.begin(), path.end(), begin, [](char a, char b) { return a == '/' && b == '/'; }) - begin)};
}

// What backends make of a path with these separators in it. Dot segments cannot come up: judge_name has refused them.
std::span<const std::string_view> other_readings(std::string_view encoded, unsigned present, core::Arena& arena) {
  constexpr size_t most = 6;
  auto* const readings = arena.array<std::string_view>(most);
  size_t count = 0;
  for (const unsigned kinds : {encoded_slash + 0u, encoded_backslash + 0u, encoded_slash | encoded_backslash}) {
    if ((kinds & ~present) != 0) continue;
    const std::string_view reading = decode(separate(encoded, kinds, arena), arena);
    const std::string_view merged = merge_slashes(reading, arena);
    readings[count++] = reading;
    if (merged.size() != reading.size()) readings[count++] = merged;
  }
  return {readings, count};
}

constexpr std::string_view bad_path = "bad-path";

CanonicalPath refused(std::string_view fault) {
  CanonicalPath path;
  path.fault = fault;
  return path;
}

}  // namespace

CanonicalPath canonical_path(std::string_view raw, core::Arena& arena, EncodedSlash slash) {
  if (raw.empty()) return {true, true, "/", "/", {}, {}};
  if (raw == "*") return {true, false, raw, raw, {}, {}};
  if (raw.front() != '/') return refused(bad_path);
  if (is_clean(raw)) return {true, false, raw, raw, {}, {}};
  CanonicalPath path;
  path.encoded = resolve(raw, arena);
  if (path.encoded.empty()) return refused(bad_path);
  const unsigned present = separators(path.encoded);
  if (present != 0 && slash == EncodedSlash::refuse) return refused("encoded-slash");
  if (present != 0 && slash == EncodedSlash::decode) path.encoded = merge_slashes(separate(path.encoded, present, arena), arena);
  path.ok = true;
  path.changed = path.encoded != raw;
  path.decoded = decode(path.encoded, arena);
  if (present != 0 && slash == EncodedSlash::keep) path.others = other_readings(path.encoded, present, arena);
  return path;
}

CanonicalPath copy_path(const CanonicalPath& path, core::Arena& arena) {
  CanonicalPath copy = path;
  copy.encoded = arena.copy(path.encoded);
  copy.decoded = arena.copy(path.decoded);
  auto* const others = arena.array<std::string_view>(path.others.size());
  std::transform(path.others.begin(), path.others.end(), others, [&](std::string_view reading) { return arena.copy(reading); });
  copy.others = {others, path.others.size()};
  return copy;
}

std::string_view join_paths(std::string_view base, std::string_view path, core::Arena& arena) {
  if (base.empty()) return path;
  if (path.empty()) return base;
  while (!base.empty() && base.back() == '/') base.remove_suffix(1);
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  return arena.join(base, "/", path);
}

// ---------------------------------------------------------------- rewrite

namespace {

// How many bytes of the encoded text decode to the first n bytes of the decoded one; npos when n splits a byte.
size_t encoded_length(std::string_view encoded, size_t n) {
  size_t at = 0;
  size_t decoded = 0;
  while (decoded < n && at < encoded.size()) {
    if (encoded[at] == '%') {
      decoded += core::percent_byte(encoded, at) == '/' ? 3 : 1;
      at += 3;
    } else {
      ++decoded;
      ++at;
    }
  }
  return decoded == n ? at : std::string_view::npos;
}

}  // namespace

std::string_view rewrite_prefix(std::string_view prefix, std::string_view rewrite, const CanonicalPath& path, core::Arena& arena) {
  if (path.decoded.substr(0, prefix.size()) != prefix) return path.encoded;
  const size_t cut = encoded_length(path.encoded, prefix.size());
  if (cut == std::string_view::npos) return path.encoded;
  const std::string_view rest = path.encoded.substr(cut);
  const std::string_view joined = arena.join("/", rewrite, "/", rest);
  const std::string_view cleaned = resolve(joined, arena);
  if (cleaned.empty()) return path.encoded;
  const bool wants_slash = path.encoded.size() > 1 && path.encoded.back() == '/';
  if (cleaned.size() > 1 && cleaned.back() == '/' && !wants_slash) return cleaned.substr(0, cleaned.size() - 1);
  return wants_slash && cleaned.back() != '/' ? arena.join(cleaned, "/") : cleaned;
}

// ---------------------------------------------------------------- queries and encoding

void Query::Iterator::advance() {
  std::string_view pair;
  while (pair.empty()) {
    if (rest_.empty()) {
      done_ = true;
      return;
    }
    const size_t end = std::min(rest_.find('&'), rest_.size());
    pair = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
  }
  const size_t equals = std::min(pair.find('='), pair.size());
  now_ = {pair.substr(0, equals), equals == pair.size() ? std::string_view() : pair.substr(equals + 1), equals != pair.size()};
}

std::string_view percent_encode(std::string_view text, core::Arena& arena, bool keep_slash) {
  constexpr std::string_view allowed = "-._~!$&'()*+,;=:@";  // RFC 3986 3.3: pchar
  char* const begin = arena.array<char>(text.size() * 3);
  char* out = begin;
  for (const char c : text) {
    const bool stays = core::is_alpha(c) || core::is_digit(c) || allowed.find(c) != std::string_view::npos || (c == '/' && keep_slash);
    if (stays) *out++ = c;
    else out = put_encoded(out, c);
  }
  return {begin, static_cast<size_t>(out - begin)};
}

std::string_view encode_strays(std::string_view text, core::Arena& arena) {
  const size_t count = strays(text);
  if (count == 0) return text;
  char* const begin = arena.array<char>(text.size() + 2 * count);
  return {begin, static_cast<size_t>(put_without_strays(begin, text) - begin)};
}

}  // namespace goma::http
