// SPDX-License-Identifier: Apache-2.0
//
// One pass tells whether anything must be written anew; nearly nothing ever must.
#include "http/authority.h"

#include <arpa/inet.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "core/idn.h"
#include "core/text.h"

namespace goma::http {

namespace {

enum : uint8_t {
  refused = 0,
  plain = 1,
  dot = 2,
  spelling = 4,  // a capital letter or '%': to be written anew
};

// RFC 3986 2.2. Without the comma: it is what somebody on the way makes of two Host fields (RFC 9110 5.3), and those are refused.
constexpr std::string_view sub_delims = "!$&'()*+;=";

constexpr std::array<uint8_t, 256> make_name_bytes() {
  std::array<uint8_t, 256> bytes{};
  for (unsigned c = 'a'; c <= 'z'; ++c) bytes[c] = plain;
  for (unsigned c = '0'; c <= '9'; ++c) bytes[c] = plain;
  for (const char c : std::string_view("-_~")) bytes[static_cast<uint8_t>(c)] = plain;
  for (const char c : sub_delims) bytes[static_cast<uint8_t>(c)] = plain;
  for (unsigned c = 'A'; c <= 'Z'; ++c) bytes[c] = spelling;
  bytes['.'] = dot;
  bytes['%'] = spelling;
  return bytes;
}

constexpr std::array<uint8_t, 256> name_bytes = make_name_bytes();
constexpr size_t longest_name = 255;

// What follows the host: nothing, or a colon and digits. The port without what says nothing.
std::optional<std::string_view> read_port(std::string_view rest) {
  if (rest.empty()) return rest;
  if (rest.front() != ':') return std::nullopt;
  rest.remove_prefix(1);
  unsigned number = 0;
  for (const char c : rest) {
    if (!core::is_digit(c)) return std::nullopt;
    number = number * 10 + static_cast<unsigned>(c - '0');
    if (number > 65535) return std::nullopt;
  }
  while (rest.size() > 1 && rest.front() == '0') rest.remove_prefix(1);
  return rest;
}

std::string_view written(std::string_view host, std::string_view port, core::Arena& arena) {
  return port.empty() ? arena.copy(host) : arena.join(host, ":", port);
}

std::string_view canonical_address(std::string_view authority, core::Arena& arena) {
  const size_t close = authority.find(']');
  char text[INET6_ADDRSTRLEN];
  if (close == std::string_view::npos || close < 2 || close - 1 >= sizeof text) return {};
  std::memcpy(text, authority.data() + 1, close - 1);
  text[close - 1] = '\0';
  in6_addr binary;
  const std::optional<std::string_view> port = read_port(authority.substr(close + 1));
  if (!port || ::inet_pton(AF_INET6, text, &binary) != 1) return {};
  ::inet_ntop(AF_INET6, &binary, text, sizeof text);
  const bool same = authority.substr(1, close - 1) == text && authority.size() == close + 1 + (port->empty() ? 0 : port->size() + 1);
  return same ? authority : written(arena.join("[", text, "]"), *port, arena);
}

int hex_value(char c) {
  if (core::is_digit(c)) return c - '0';
  const char l = core::lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

// Appends what "%XY" at `at` stands for; false when it is no part of a name.
bool append_encoded(std::string_view name, size_t at, std::string& out) {
  if (name.size() - at < 3) return false;
  const int high = hex_value(name[at + 1]), low = hex_value(name[at + 2]);
  if (high < 0 || low < 0) return false;
  const auto byte = static_cast<char>(high << 4 | low);
  if (sub_delims.find(byte) != std::string_view::npos) {  // RFC 3986 2.2: not the same as the bare one
    out.append({'%', "0123456789ABCDEF"[high], "0123456789ABCDEF"[low]});
    return true;
  }
  const bool beyond = (high & 8) != 0;
  if (!beyond && (name_bytes[static_cast<uint8_t>(byte)] == refused || byte == '%')) return false;
  out += core::lower(byte);
  return true;
}

bool has_empty_label(std::string_view name) { return name.empty() || name.front() == '.' || name.find("..") != std::string_view::npos; }

// Empty when it is refused.
std::string canonical_name(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '%') {
      out += core::lower(name[i]);
      continue;
    }
    if (!append_encoded(name, i, out)) return {};
    i += 2;
  }
  if (!core::is_ascii(out)) {
    core::Result<std::string> label = core::to_a_label(out);
    out = label ? std::move(label).value() : std::string();
  }
  if (has_empty_label(out)) return {};
  if (out.back() == '.') out.pop_back();
  return out.size() <= longest_name ? out : std::string();
}

}  // namespace

std::string_view canonical_authority(std::string_view authority, core::Arena& arena) {
  if (authority.starts_with('[')) return canonical_address(authority, arena);
  size_t n = 0;
  uint8_t seen = 0;
  uint8_t last = dot;
  for (; n < authority.size(); ++n) {
    const uint8_t kind = name_bytes[static_cast<uint8_t>(authority[n])];
    if ((kind & ~(last & dot)) == refused) break;  // so is a dot behind a dot, as it begins no port
    seen |= kind;
    last = kind;
  }
  const std::optional<std::string_view> port = read_port(authority.substr(n));
  if (n == 0 || n > 3 * longest_name || !port) return {};
  const bool same = (seen & spelling) == 0 && last != dot && authority.size() == n + (port->empty() ? 0 : port->size() + 1);
  if (same) return n <= longest_name ? authority : std::string_view();
  const std::string name = canonical_name(authority.substr(0, n));
  return name.empty() ? std::string_view() : written(name, *port, arena);
}

HostPort split_host_port(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.find(']', colon) != std::string_view::npos) return {authority, {}};
  return {authority.substr(0, colon), authority.substr(colon + 1)};
}

bool same_authority(std::string_view a, std::string_view b, std::string_view scheme) {
  if (a == b) return true;
  const HostPort left = split_host_port(a);
  const HostPort right = split_host_port(b);
  const std::string_view usual = core::iequals(scheme, "https") ? "443" : "80";
  return left.host == right.host && (left.port.empty() ? usual : left.port) == (right.port.empty() ? usual : right.port);
}

}  // namespace goma::http
