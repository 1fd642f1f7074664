// SPDX-License-Identifier: Apache-2.0
//
// CRC16, and reading what nodes say of slots. Answers of odd shapes lose what makes no sense, not more.
#include "core/redis_slots.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "core/socket.h"

namespace goma::core {

namespace {

// CRC16-CCITT as XMODEM uses it: polynomial 0x1021, begins with 0.
constexpr std::array<uint16_t, 256> crc_table = [] {
  std::array<uint16_t, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned crc = byte << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    table[byte] = static_cast<uint16_t>(crc);
  }
  return table;
}();

bool is_loopback(const std::string& host) {
  const std::optional<Address> address = Address::parse_ip(host);
  return host == "localhost" || (address && address->is_loopback());
}

RedisAddress completed(std::string_view host, int64_t port, const RedisAddress& asked) {
  RedisAddress address{std::string(host), static_cast<uint16_t>(port > 0 && port < 65'536 ? port : asked.port)};
  if (host.empty() || host == "?") address.host = asked.host;
  if (is_loopback(address.host) && !is_loopback(asked.host) && !asked.is_unix()) address.host = asked.host;
  return address;
}

template <class T>
bool read_number(std::string_view text, T& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

int redis_slot(std::string_view key) {
  const size_t open = key.find('{');
  const size_t close = open == std::string_view::npos ? open : key.find('}', open + 1);
  if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  unsigned crc = 0;
  for (const char c : key) crc = ((crc << 8) ^ crc_table[((crc >> 8) ^ static_cast<unsigned char>(c)) & 0xff]) & 0xffff;
  return static_cast<int>(crc % redis_slots);
}

std::vector<SlotRange> read_slot_map(const RedisReply& reply, const RedisAddress& asked) {
  std::vector<SlotRange> ranges;
  for (size_t i = 0; i < reply.size(); ++i) {
    const RedisReply range = reply[i], primary = range[2];
    const int64_t first = range[0].integer(), last = range[1].integer();
    if (range.size() < 3 || primary.size() < 2 || first < 0 || last < first || last >= redis_slots) continue;
    ranges.push_back({static_cast<int>(first), static_cast<int>(last), completed(primary[0].text(), primary[1].integer(), asked)});
  }
  return ranges;
}

bool read_redirect(std::string_view error, const RedisAddress& asked, Redirect& into) {
  into.ask = error.starts_with("ASK ");
  if (!into.ask && !error.starts_with("MOVED ")) return false;
  error.remove_prefix(error.find(' ') + 1);
  const size_t space = error.find(' '), colon = error.rfind(':');
  if (space == std::string_view::npos || colon == std::string_view::npos || colon < space) return false;
  int port = 0;
  if (!read_number(error.substr(0, space), into.slot) || into.slot < 0 || into.slot >= redis_slots || !read_number(error.substr(colon + 1), port)) return false;
  std::string_view host = error.substr(space + 1, colon - space - 1);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  into.to = completed(host, port, asked);
  return true;
}

std::string missing_slots(const std::vector<SlotRange>& ranges) {
  std::vector<bool> served(redis_slots);
  for (const SlotRange& range : ranges) std::fill(served.begin() + range.first, served.begin() + range.last + 1, true);
  std::string text;
  for (int slot = 0; slot < redis_slots; ++slot) {
    if (served[static_cast<size_t>(slot)]) continue;
    const int first = slot;
    while (slot + 1 < redis_slots && !served[static_cast<size_t>(slot) + 1]) ++slot;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", first);
    if (slot > first) text += fmt::format("-{}", slot);
  }
  return text;
}

}  // namespace goma::core
