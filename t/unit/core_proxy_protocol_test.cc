// SPDX-License-Identifier: Apache-2.0
//
// PROXY headers: what is right is read exactly, what is cut asks for more at every byte, what is wrong is refused (C43).
#include "core/proxy_protocol.h"

#include <string>
#include <string_view>

#include "check.h"

using goma::core::Address;
using goma::core::ProxyHeader;
using goma::core::read_proxy_header;
using goma::core::write_proxy_header;
using State = ProxyHeader::State;
using namespace std::string_literals;

namespace {

const std::string signature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string binary(char command, char kind, const std::string& rest) {
  std::string out = signature + command + kind;
  out += static_cast<char>(rest.size() >> 8);
  out += static_cast<char>(rest.size() & 0xFF);
  return out + rest;
}

std::string record(char type, const std::string& value) {
  return std::string(1, type) + static_cast<char>(value.size() >> 8) + static_cast<char>(value.size() & 0xFF) + value;
}

const std::string four = "\xC0\x00\x02\x01\xC6\x33\x64\x02\x1F\x90\x01\xBB"s;  // 192.0.2.1:8080 to 198.51.100.2:443

// Whole with anything behind it, and at every cut before its end more is wanted.
void check_whole(const std::string& header) {
  for (size_t cut = 0; cut < header.size(); ++cut) CHECK(read_proxy_header(header.substr(0, cut)).state == State::more);
  for (const char* behind : {"", "GET / HTTP/1.1\r\n", "\r\n"}) {
    const ProxyHeader read = read_proxy_header(header + behind);
    CHECK(read.state == State::ok);
    CHECK_EQ(read.length, header.size());
  }
}

void check_bad(const std::string& header) {
  const bool is_bad = read_proxy_header(header).state == State::bad;
  if (!is_bad) std::printf("# taken: %s\n", header.c_str());
  CHECK(is_bad);
}

void lines_are_read() {
  const std::string line = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
  check_whole(line);
  const ProxyHeader read = read_proxy_header(line);
  CHECK(!read.local);
  CHECK_EQ(read.source.text(), "192.0.2.1:56324");
  CHECK_EQ(read.destination.text(), "198.51.100.2:443");
  const std::string six = "PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n";
  check_whole(six);
  CHECK_EQ(read_proxy_header(six).source.text(), "[2001:db8::1]:0");
  check_whole("PROXY UNKNOWN\r\n");
  check_whole("PROXY UNKNOWN ffff:f...f:ffff anything 65535 65535\r\n");
  CHECK(read_proxy_header("PROXY UNKNOWN\r\n").local);
}

void the_longest_line_is_107_bytes() {
  const std::string longest = "PROXY UNKNOWN " + std::string(91, 'x') + "\r\n";
  CHECK_EQ(longest.size(), 107U);
  check_whole(longest);
  check_bad("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n");
  check_bad("PROXY UNKNOWN " + std::string(93, 'x'));
}

void lines_with_junk_are_refused() {
  for (const char* line : {"GET / HTTP/1.1\r\n", "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n",
                           "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", "PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n",
                           "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
                           "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", "PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n",
                           "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", "PROXY TCP4 ::1 ::2 1 2\r\n",
                           "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", "PROXY TCP6 fe80::1%lo ::2 1 2\r\n", "PROXY TCP6 [::1] ::2 1 2\r\n",
                           "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", "PROXY UNKNOWNS\r\n", "PROXY \r\n", "PROXY TCP4 1.1.1.1\r 2.2.2.2 1 2\r\n", "PROXY TCP4\x01", "X", "\n", "\r\nGET"}) {
    check_bad(line);
  }
  check_bad("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\0\r\n"s);
}

void binary_headers_are_read() {
  const std::string header = binary('\x21', '\x11', four);
  check_whole(header);
  const ProxyHeader read = read_proxy_header(header);
  CHECK_EQ(read.source.text(), "192.0.2.1:8080");
  CHECK_EQ(read.destination.text(), "198.51.100.2:443");
  const std::string six = binary('\x21', '\x21', "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" + "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x02" + "\x00\x07\x00\x09"s);
  check_whole(six);
  CHECK_EQ(read_proxy_header(six).source.text(), "[2001:db8::1]:7");
  CHECK_EQ(read_proxy_header(six).destination.text(), "[2001:db8::2]:9");
}

void headers_without_an_address_are_local() {
  for (const std::string& header : {binary('\x20', '\0', ""), binary('\x20', '\x11', four), binary('\x20', '\x11', "abc"), binary('\x21', '\0', "whatever"),
                                    binary('\x21', '\x31', std::string(216, 'p'))}) {
    check_whole(header);
    CHECK(read_proxy_header(header).local);
  }
}

void records_are_skipped() {
  const std::string header = binary('\x21', '\x11', four + record(1, "h2") + record(4, std::string(300, '\0')) + record('\xEA', ""));
  check_whole(header);
  CHECK_EQ(read_proxy_header(header).source.text(), "192.0.2.1:8080");
  check_bad(binary('\x21', '\x11', four + "\x01"));
  check_bad(binary('\x21', '\x11', four + "\x01\x00"s));
  check_bad(binary('\x21', '\x11', four + record(1, "h2").substr(0, 4)));
  check_bad(binary('\x21', '\x11', four + record(1, "h2") + "\x05\x00\x02x"s));
}

// The sum of the standard's check word, so that the test does not trust the code it tests.
uint32_t slow_crc32c(const std::string& bytes) {
  uint32_t sum = ~0U;
  for (const char c : bytes) {
    sum ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ (0x82F63B78U & (0U - (sum & 1)));
  }
  return ~sum;
}

void a_checksum_is_checked() {
  CHECK_EQ(slow_crc32c("123456789"), 0xE3069283U);
  std::string header = binary('\x21', '\x11', four + record(3, std::string(4, '\0')) + record(1, "h2"));
  const size_t at = 16 + four.size() + 3;
  const uint32_t sum = slow_crc32c(header);
  for (size_t i = 0; i < 4; ++i) header[at + i] = static_cast<char>(sum >> (24 - 8 * i) & 0xFF);
  check_whole(header);
  for (size_t i = 16; i < header.size(); ++i) {
    std::string flipped = header;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    if (i >= 16 + four.size() && i < at) continue;  // the record itself is another one then
    CHECK(read_proxy_header(flipped).state == State::bad);
  }
  check_bad(binary('\x21', '\x11', four + record(3, "abc")));
}

void binary_junk_is_refused() {
  check_bad(signature + '\x11');                              // version 1 in binary
  check_bad(signature + '\x22');                              // no such command
  check_bad(signature + "\x21\x41");                          // no such family
  check_bad(signature + "\x21\x13");                          // no such protocol
  check_bad(signature + "\x21\x11\x00\x0B"s);                 // too short for its addresses, told before they came
  check_bad(signature + "\x21\x21\x00\x0C"s);
  check_bad(signature + "\x21\x31\x00\x10"s);
  check_bad(signature + "\x21\x11\xFF\xFF"s);                 // 64 KiB of records
  check_bad(signature + "\x20\x00\xFF\xFF"s);
  check_bad("\r\n\r\n\0\r\nQUIX"s);
  CHECK(read_proxy_header(signature + "\x21\x11\x0F\xF0"s).state == State::more);  // exactly the limit
  check_bad(signature + "\x21\x11\x0F\xF1"s);
}

void what_is_written_is_read() {
  const Address client = *Address::parse("192.0.2.1:1"), server = *Address::parse("198.51.100.2:65535");
  const Address client6 = *Address::parse("[2001:db8::1]:1"), server6 = *Address::parse("[::1]:443");
  CHECK_EQ(write_proxy_header(1, client, server), "PROXY TCP4 192.0.2.1 198.51.100.2 1 65535\r\n");
  CHECK_EQ(write_proxy_header(1, client6, server6), "PROXY TCP6 2001:db8::1 ::1 1 443\r\n");
  CHECK_EQ(write_proxy_header(1, client, server6), "PROXY UNKNOWN\r\n");
  CHECK_EQ(write_proxy_header(1, Address(), Address()), "PROXY UNKNOWN\r\n");
  CHECK_EQ(write_proxy_header(2, client, server6), binary('\x20', '\0', ""));
  for (const int version : {1, 2}) {
    for (const auto& [source, destination] : {std::pair(client, server), std::pair(client6, server6)}) {
      const std::string header = write_proxy_header(version, source, destination);
      check_whole(header);
      CHECK(read_proxy_header(header).source == source);
      CHECK(read_proxy_header(header).destination == destination);
    }
  }
}

}  // namespace

GOMA_TESTS(lines_are_read, the_longest_line_is_107_bytes, lines_with_junk_are_refused, binary_headers_are_read,
           headers_without_an_address_are_local, records_are_skipped, a_checksum_is_checked, binary_junk_is_refused, what_is_written_is_read)
