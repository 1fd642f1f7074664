// SPDX-License-Identifier: Apache-2.0
//
// The bodies of core/text.h: plain loops over bytes, nothing that allocates unless the answer is a string.
#include "core/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

namespace goma::core {

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

bool iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

bool istarts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

bool icontains(std::string_view text, std::string_view part) {
  const auto found = std::search(text.begin(), text.end(), part.begin(), part.end(), [](char x, char y) { return lower(x) == lower(y); });
  return part.empty() || found != text.end();
}

namespace {

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<uint64_t> parse_u64(std::string_view text) { return parse_number<uint64_t>(text); }
std::optional<int64_t> parse_i64(std::string_view text) { return parse_number<int64_t>(text); }

void split::Iterator::measure() { length_ = std::min(rest_.find(separator_), rest_.size()); }

split::Iterator& split::Iterator::operator++() {
  if (length_ == rest_.size()) {
    done_ = true;
    return *this;
  }
  rest_.remove_prefix(length_ + 1);
  measure();
  return *this;
}

bool contains_token(std::string_view list, std::string_view token) {
  for (std::string_view item : split(list, ',')) {
    if (iequals(trim(item), token)) return true;
  }
  return false;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  // Three rows are enough: a swap looks back two.
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) now[j] = std::min(now[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

std::string_view suggest(std::string_view name, std::span<const std::string_view> candidates) {
  constexpr size_t longest = 256;  // nobody's typo; keeps the cost bounded
  if (name.size() > longest) return {};
  size_t best = name.size() < 5 ? 2 : 3;
  std::string_view nearest;
  for (std::string_view candidate : candidates) {
    const size_t gap = candidate.size() > name.size() ? candidate.size() - name.size() : name.size() - candidate.size();
    if (gap >= best || candidate.size() > longest) continue;
    const size_t distance = edit_distance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

namespace {

constexpr char32_t replacement_character = 0xFFFD;

// Bytes of the sequence that a lead byte announces, 0 when it announces none.
size_t utf8_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  return lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
}

// Takes one character off the front.
char32_t take_utf8(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t n = utf8_length(lead);
  char32_t value = n <= 1 ? lead : lead & (0xFFU >> (n + 1));
  bool valid = n > 0 && text.size() >= n;
  for (size_t i = 1; valid && i < n; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    valid = (next & 0xC0U) == 0x80;
    value = value << 6 | (next & 0x3FU);
  }
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  valid = valid && value >= least[n] && value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF);
  text.remove_prefix(valid ? n : 1);
  return valid ? value : replacement_character;
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  while (!text.empty()) out.push_back(take_utf8(text));
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  const auto tail = [&out](char32_t bits) { out.push_back(static_cast<char>(0x80U | (bits & 0x3FU))); };
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0U | c >> 6));
    tail(c);
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0U | c >> 12));
    tail(c >> 6);
    tail(c);
  } else {
    out.push_back(static_cast<char>(0xF0U | c >> 18));
    tail(c >> 12);
    tail(c >> 6);
    tail(c);
  }
}

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char32_t c = take_utf8(text);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      append_utf8(out, c);
    }
  }
  out.push_back('"');
  return out;
}

namespace {

bool has_control_or_space(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
}

// Takes host and port out of an authority; false when it cannot be one.
bool split_authority(std::string_view authority, UrlParts& parts) {
  if (!authority.empty() && authority.front() == '[') {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return false;
    parts.host = authority.substr(1, close - 1);
    authority.remove_prefix(close + 1);
    if (!authority.empty() && authority.front() != ':') return false;
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    parts.host = authority.substr(0, colon);
    authority.remove_prefix(colon);
  }
  if (parts.host.empty()) return false;
  if (authority.empty()) return true;
  parts.port = authority.substr(1);
  const auto number = parse_u64(parts.port);
  return number && *number >= 1 && *number <= 65535;
}

}  // namespace

namespace {

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

}  // namespace

int percent_byte(std::string_view text, size_t at) {
  if (text.size() - at < 3 || text[at] != '%') return -1;
  const int high = hex_value(text[at + 1]);
  const int low = hex_value(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}

size_t decode_path(std::string_view encoded, char* into) {
  char* out = into;
  for (size_t i = 0; i < encoded.size(); ++i) {
    const int c = encoded[i] == '%' ? percent_byte(encoded, i) : -1;
    if (c < 0) {
      *out++ = encoded[i];
      continue;
    }
    i += 2;
    if (c == '/') out = std::copy_n("%2F", 3, out);
    else *out++ = static_cast<char>(c);
  }
  return static_cast<size_t>(out - into);
}

std::optional<UrlParts> split_url(std::string_view url) {
  const size_t mark = url.find("://");
  if (mark == std::string_view::npos || mark == 0 || has_control_or_space(url)) return std::nullopt;
  UrlParts parts;
  parts.scheme = url.substr(0, mark);
  const bool letters = std::all_of(parts.scheme.begin(), parts.scheme.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.'; });
  if (!letters || !is_alpha(parts.scheme.front())) return std::nullopt;
  std::string_view rest = url.substr(mark + 3);
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  parts.path = rest.substr(end);
  const size_t at = authority.rfind('@');
  if (at != std::string_view::npos) {
    parts.user = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  if (!split_authority(authority, parts)) return std::nullopt;
  return parts;
}

}  // namespace goma::core
