// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing PROXY headers. What can be refused is refused as early as the bytes show it, so that a stranger
// who speaks something else does not wait for a time limit.
#include "core/proxy_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "core/text.h"

namespace goma::core {

namespace {

constexpr std::string_view word = "PROXY ";
constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t longest_line = 107;  // version 1, line end included
constexpr size_t fixed_bytes = 16;    // version 2: signature, version and command, family, length
constexpr size_t unix_bytes = 216;    // two paths
constexpr uint8_t checksum_type = 0x03;

enum class Family : uint8_t { unspecified = 0, inet = 1, inet6 = 2, unix_path = 3 };

ProxyHeader more() { return {}; }

ProxyHeader bad() {
  ProxyHeader header;
  header.state = ProxyHeader::State::bad;
  return header;
}

ProxyHeader complete(size_t length) {
  ProxyHeader header;
  header.state = ProxyHeader::State::ok;
  header.length = length;
  header.local = true;
  return header;
}

ProxyHeader complete(size_t length, const Address& source, const Address& destination) {
  ProxyHeader header = complete(length);
  header.local = false;
  header.source = source;
  header.destination = destination;
  return header;
}

// ---------------------------------------------------------------- version 1

// Decimal without sign or leading zeros.
std::optional<uint16_t> strict_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  const std::optional<uint64_t> number = parse_u64(text);
  if (!number || *number > 65535) return std::nullopt;
  return static_cast<uint16_t>(*number);
}

// An address spelt in the family that the line announces.
std::optional<Address> strict_ip(std::string_view text, bool six, uint16_t port) {
  if ((text.find(':') != std::string_view::npos) != six || text.find('%') != std::string_view::npos) return std::nullopt;
  return Address::parse_ip(text, port);
}

// One word up to the next blank; a line that ends first gives the rest.
std::string_view take_word(std::string_view& line) {
  const size_t blank = std::min(line.find(' '), line.size());
  const std::string_view taken = line.substr(0, blank);
  line.remove_prefix(std::min(blank + 1, line.size()));
  return taken;
}

// `line` has neither the first word nor the line end.
ProxyHeader read_addresses(std::string_view line, size_t length) {
  if (std::count(line.begin(), line.end(), ' ') != 4) return bad();
  const std::string_view family = take_word(line);
  if (family != "TCP4" && family != "TCP6") return bad();
  const bool six = family == "TCP6";
  const std::string_view source_ip = take_word(line);
  const std::string_view destination_ip = take_word(line);
  const std::optional<uint16_t> source_port = strict_port(take_word(line));
  const std::optional<uint16_t> destination_port = strict_port(line);
  if (!source_port || !destination_port) return bad();
  const std::optional<Address> source = strict_ip(source_ip, six, *source_port);
  const std::optional<Address> destination = strict_ip(destination_ip, six, *destination_port);
  if (!source || !destination) return bad();
  return complete(length, *source, *destination);
}

ProxyHeader read_line(std::string_view bytes) {
  const size_t end = bytes.substr(0, longest_line).find('\n');
  const std::string_view seen = bytes.substr(0, std::min(end, longest_line));
  const auto junk = [](char c) { return (c < ' ' && c != '\r') || c == '\x7f'; };
  if (std::any_of(seen.begin(), seen.end(), junk)) return bad();
  if (end == std::string_view::npos) return bytes.size() >= longest_line ? bad() : more();
  if (seen.empty() || seen.find('\r') != seen.size() - 1) return bad();
  const std::string_view line = seen.substr(word.size(), seen.size() - word.size() - 1);
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return complete(end + 1);
  return read_addresses(line, end + 1);
}

// ---------------------------------------------------------------- version 2

constexpr std::array<uint32_t, 256> crc32c_table = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}();

// CRC32C (RFC 9260 appendix A) of the header with the four bytes at `blank` taken as zero.
uint32_t checksum(std::string_view header, size_t blank) {
  uint32_t sum = 0xFFFFFFFFU;
  for (size_t i = 0; i < header.size(); ++i) {
    const uint8_t byte = i >= blank && i < blank + 4 ? 0 : static_cast<uint8_t>(header[i]);
    sum = crc32c_table[(sum ^ byte) & 0xFF] ^ (sum >> 8);
  }
  return ~sum;
}

uint32_t number_at(std::string_view bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Whether the records behind the addresses fill the header exactly, and a checksum among them is right.
bool good_records(std::string_view header, size_t at) {
  while (at < header.size()) {
    if (header.size() - at < 3) return false;
    const size_t length = number_at(header, at + 1, 2);
    if (header.size() - at - 3 < length) return false;
    if (static_cast<uint8_t>(header[at]) == checksum_type) {
      if (length != 4 || checksum(header, at + 3) != number_at(header, at + 3, 4)) return false;
    }
    at += 3 + length;
  }
  return true;
}

template <class Raw>
Address address_at(std::string_view bytes, size_t ip, size_t port, sa_family_t family) {
  Raw raw{};
  const uint16_t number = static_cast<uint16_t>(number_at(bytes, port, 2));
  if constexpr (std::is_same_v<Raw, sockaddr_in>) {
    raw.sin_family = family;
    raw.sin_port = htons(number);
    std::memcpy(&raw.sin_addr, bytes.data() + ip, 4);
  } else {
    raw.sin6_family = family;
    raw.sin6_port = htons(number);
    std::memcpy(&raw.sin6_addr, bytes.data() + ip, 16);
  }
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw));
}

size_t address_bytes(Family family) {
  switch (family) {
    case Family::inet: return 12;
    case Family::inet6: return 36;
    case Family::unix_path: return unix_bytes;
    default: return 0;
  }
}

// `header` is whole.
ProxyHeader read_addresses2(std::string_view header, Family family) {
  const size_t at = fixed_bytes;
  if (family == Family::unspecified) return complete(header.size());
  if (!good_records(header, at + address_bytes(family))) return bad();
  if (family == Family::unix_path) return complete(header.size());
  if (family == Family::inet) {
    return complete(header.size(), address_at<sockaddr_in>(header, at, at + 8, AF_INET), address_at<sockaddr_in>(header, at + 4, at + 10, AF_INET));
  }
  return complete(header.size(), address_at<sockaddr_in6>(header, at, at + 32, AF_INET6), address_at<sockaddr_in6>(header, at + 16, at + 34, AF_INET6));
}

ProxyHeader read_binary(std::string_view bytes) {
  if (bytes.size() > 12) {
    const uint8_t command = static_cast<uint8_t>(bytes[12]);
    if (command != 0x20 && command != 0x21) return bad();
  }
  if (bytes.size() > 13) {
    const uint8_t kind = static_cast<uint8_t>(bytes[13]);
    if (kind >> 4 > 3 || (kind & 15) > 2) return bad();
  }
  if (bytes.size() < fixed_bytes) return more();
  const size_t length = fixed_bytes + number_at(bytes, 14, 2);
  if (length > ProxyHeader::max_bytes) return bad();
  const bool local = bytes[12] == 0x20;
  const Family family = static_cast<Family>(static_cast<uint8_t>(bytes[13]) >> 4);
  if (!local && length < fixed_bytes + address_bytes(family)) return bad();
  if (bytes.size() < length) return more();
  return local ? complete(length) : read_addresses2(bytes.substr(0, length), family);
}

// ---------------------------------------------------------------- writing

void append_number(std::string& out, size_t value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value & 0xFF);
}

std::string write_binary(const Address& source, const Address& destination, bool known) {
  std::string out(signature);
  const bool four = source.family() == Address::Family::ipv4;
  out += known ? '\x21' : '\x20';
  out += known ? (four ? '\x11' : '\x21') : '\0';
  append_number(out, known ? address_bytes(four ? Family::inet : Family::inet6) : 0);
  if (!known) return out;
  const size_t skip = four ? 12 : 0;
  for (const Address* address : {&source, &destination}) out.append(reinterpret_cast<const char*>(address->bytes().data()) + skip, 16 - skip);
  append_number(out, source.port());
  append_number(out, destination.port());
  return out;
}

}  // namespace

bool begins_as_proxy_header(std::string_view bytes) {
  constexpr size_t enough = 5;
  const auto begins = [bytes](std::string_view header) { return bytes.size() >= enough && header.substr(0, bytes.size()) == bytes.substr(0, header.size()); };
  return begins("PROXY ") || begins(signature);
}

ProxyHeader read_proxy_header(std::string_view bytes) {
  const std::string_view first = bytes.substr(0, signature.size());
  if (signature.starts_with(first)) return first.size() == signature.size() ? read_binary(bytes) : more();
  const std::string_view begun = bytes.substr(0, word.size());
  if (word.starts_with(begun)) return begun.size() == word.size() ? read_line(bytes) : more();
  return bad();
}

std::string write_proxy_header(int version, const Address& source, const Address& destination) {
  const Address::Family family = source.family();
  const bool known = family == destination.family() && (family == Address::Family::ipv4 || family == Address::Family::ipv6);
  if (version != 1) return write_binary(source, destination, known);
  if (!known) return "PROXY UNKNOWN\r\n";
  return fmt::format("PROXY {} {} {} {} {}\r\n", family == Address::Family::ipv4 ? "TCP4" : "TCP6", source.ip_text(), destination.ip_text(),
                     source.port(), destination.port());
}

}  // namespace goma::core
