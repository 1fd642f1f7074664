// SPDX-License-Identifier: Apache-2.0
//
// The walk from the right through X-Forwarded-For and its relatives, and through Forwarded (RFC 7239).
#include "http/client_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "core/text.h"

namespace goma::http {

namespace {

// Splits the last item off a comma list. Commas inside quotes do not count when `quotes` says so; quotes are paired
// from the right, so that what stands on the left cannot swallow what a proxy appended.
std::string_view take_last(std::string_view& list, bool quotes) {
  size_t at = list.size();
  bool quoted = false;
  while (at > 0 && (quoted || list[at - 1] != ',')) {
    if (quotes && list[at - 1] == '"') quoted = !quoted;
    --at;
  }
  const std::string_view last = list.substr(at);
  list = list.substr(0, at > 0 ? at - 1 : 0);
  return core::trim(last);
}

// The value of a parameter of one Forwarded element ("for=192.0.2.1;proto=https"), without its quotes; empty when
// absent or malformed.
std::string_view parameter(std::string_view element, std::string_view name) {
  for (std::string_view pair : core::split(element, ';')) {
    pair = core::trim(pair);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || !core::iequals(pair.substr(0, equals), name)) continue;
    std::string_view value = pair.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return value;
  }
  return {};
}

// An address with or without a port; IPv6 with a port has brackets. Zones are somebody else's, so they are refused.
std::optional<core::Address> parse_entry(std::string_view entry) {
  if (entry.find('%') != std::string_view::npos) return std::nullopt;
  std::string_view ip = entry;
  std::string_view port;
  if (entry.starts_with('[')) {
    const size_t close = entry.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    ip = entry.substr(1, close - 1);
    port = entry.substr(close + 1);
    if (ip.find(':') == std::string_view::npos) return std::nullopt;
  } else if (const size_t colon = entry.find(':'); colon != std::string_view::npos && entry.find(':', colon + 1) == std::string_view::npos) {
    ip = entry.substr(0, colon);
    port = entry.substr(colon);
  }
  if (!port.empty()) {
    const auto number = port.front() == ':' ? core::parse_u64(port.substr(1)) : std::nullopt;
    if (!number || *number > 65535) return std::nullopt;
  }
  return core::Address::parse_ip(ip);
}

// "http" or "https", from what the nearest proxy said; else empty. Some say ws and wss of a WebSocket, which is asked
// for by http and https (RFC 6455 4.1).
std::string_view scheme_word(std::string_view value) {
  const std::string_view last = take_last(value, false);
  if (core::iequals(last, "https") || core::iequals(last, "wss")) return "https";
  return core::iequals(last, "http") || core::iequals(last, "ws") ? std::string_view("http") : std::string_view();
}

// Of several lines the last is the nearest proxy's.
std::string_view last_line(const Headers& headers, HeaderId id) {
  std::string_view value;
  if (headers.find(id) == nullptr) return value;
  for (const Header& h : headers) {
    if (h.id == id) value = h.value;
  }
  return value;
}

constexpr std::string_view unix_peer = "unix:";  // core::Address::ip_text of a Unix socket

}  // namespace

TrustedProxies::TrustedProxies(const ProxyConf& conf, core::Problems& problems) : headers_(conf.ip_headers) {
  if (!conf.enabled) return;
  const std::string consequence = "forwarded headers are ignored";
  if (conf.trusted_proxies.empty()) {
    problems.warning("no-trusted-proxies", core::Place(), "gateway.proxy is enabled without trustedProxies: " + consequence);
  }
  for (const core::PlacedText& entry : conf.trusted_proxies) {
    const std::optional<core::Cidr> network = core::Cidr::parse(entry.text);
    if (!network) {
      problems.warning("bad-cidr", entry.place, fmt::format("gateway.proxy.trustedProxies: \"{}\" is no address or network: all {}", entry.text, consequence));
      networks_.clear();
      return;
    }
    networks_.push_back(*network);
  }
}

bool TrustedProxies::contains(const core::Address& address) const {
  for (const core::Cidr& network : networks_) {
    if (network.contains(address)) return true;
  }
  return false;
}

ClientAddress TrustedProxies::resolve(std::string_view peer_ip, const Headers& headers, core::Arena& arena) const {
  ClientAddress result{peer_ip, {}, false};
  if (!enabled()) return result;
  const std::optional<core::Address> peer = peer_ip == unix_peer ? core::Address::unix_peer() : core::Address::parse_ip(peer_ip);
  if (!peer || !contains(*peer)) return result;
  result.trusted = true;
  result.scheme = scheme_word(last_line(headers, HeaderId::x_forwarded_proto));
  if (result.scheme.empty()) result.scheme = scheme_word(last_line(headers, HeaderId::x_forwarded_scheme));
  core::Address client;
  Found found = Found::nothing;
  for (size_t i = 0; i < headers_.size() && found == Found::nothing; ++i) found = walk(headers_[i], headers, client);
  if (found == Found::client) {
    char* text = arena.array<char>(core::Address::max_ip_text);
    result.ip = {text, client.ip_text(text)};
  }
  return result;
}

// All lines of one header as one list, from its end.
TrustedProxies::Found TrustedProxies::walk(const std::string& name, const Headers& headers, core::Address& client) const {
  const bool rfc7239 = core::iequals(name, "Forwarded");
  std::array<std::string_view, max_entries> lines;  // the last ones, in a ring
  size_t count = 0;
  for (const Header& header : headers) {
    if (core::iequals(header.name, name)) lines[count++ % lines.size()] = header.value;
  }
  size_t left = max_entries;
  for (size_t n = 0; n < count && n < lines.size(); ++n) {
    std::string_view list = lines[(count - 1 - n) % lines.size()];
    while (!list.empty()) {
      if (left-- == 0) return Found::stop;
      const std::string_view entry = take_last(list, rfc7239);
      if (entry.empty()) continue;
      const Found found = judge(rfc7239 ? parameter(entry, "for") : entry, client);
      if (found != Found::nothing) return found;
    }
  }
  return count > lines.size() ? Found::stop : Found::nothing;
}

TrustedProxies::Found TrustedProxies::judge(std::string_view entry, core::Address& client) const {
  const std::optional<core::Address> address = entry == unix_peer ? core::Address::unix_peer() : parse_entry(entry);
  if (!address) return Found::stop;
  if (contains(*address)) return Found::nothing;
  if (address->is_unix()) return Found::stop;
  client = *address;
  return Found::client;
}

void set_client_address(Headers& headers, std::string_view ip, std::string_view socket_ip, core::Arena& arena) {
  if (ip == unix_peer) {
    headers.remove(HeaderId::x_forwarded_for);
    headers.remove(HeaderId::x_real_ip);
    return;
  }
  const bool direct = ip == socket_ip || socket_ip == unix_peer;
  headers.set(HeaderId::x_forwarded_for, direct ? ip : arena.join(ip, ", ", socket_ip));
  headers.set(HeaderId::x_real_ip, ip);
}

namespace {

// The network of an IPv6 address; nothing for any other.
std::optional<std::array<uint8_t, 16>> network_bits(std::string_view ip, int prefix) {
  if (ip.find(':') == std::string_view::npos) return std::nullopt;
  const std::optional<core::Address> address = core::Address::parse_ip(ip);
  if (!address || address->family() != core::Address::Family::ipv6) return std::nullopt;
  std::array<uint8_t, 16> bits = address->bytes();
  for (size_t i = 0; i < bits.size(); ++i) {
    const int kept = std::clamp(prefix - 8 * static_cast<int>(i), 0, 8);
    bits[i] &= static_cast<uint8_t>(0xFF00 >> kept);
  }
  return bits;
}

}  // namespace

std::string_view network_of(std::string_view ip, int ipv6_prefix, core::Arena& arena) {
  const std::optional<std::array<uint8_t, 16>> bits = network_bits(ip, ipv6_prefix);
  return bits ? arena.copy({reinterpret_cast<const char*>(bits->data()), bits->size()}) : ip;
}

std::string network_text(std::string_view ip, int ipv6_prefix) {
  const std::optional<std::array<uint8_t, 16>> bits = network_bits(ip, ipv6_prefix);
  if (!bits) return std::string(ip);
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(AF_INET6, bits->data(), text, sizeof text);
  return ipv6_prefix == 128 ? std::string(text) : fmt::format("{}/{}", text, ipv6_prefix);
}

uint64_t network_key(const core::Address& peer) {
  uint64_t key = 0;
  const bool v4 = peer.family() == core::Address::Family::ipv4;
  std::memcpy(&key, peer.bytes().data() + (v4 ? 8 : 0), sizeof key);
  return key != 0 ? key : 1;
}

}  // namespace goma::http
