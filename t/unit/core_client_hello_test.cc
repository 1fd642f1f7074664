// SPDX-License-Identifier: Apache-2.0
//
// The server name is found in whatever records the message comes, a cut message asks for more at every byte, and
// lengths that lie are refused.
#include "core/client_hello.h"

#include <string>
#include <string_view>

#include "check.h"

using goma::core::ClientHello;
using goma::core::read_client_hello;
using State = ClientHello::State;
using namespace std::string_literals;

namespace {

std::string sized(size_t length_bytes, const std::string& body) {
  std::string out;
  for (size_t i = length_bytes; i-- > 0;) out += static_cast<char>(body.size() >> (8 * i) & 0xFF);
  return out + body;
}

std::string name_extension(const std::string& name) { return "\0\0"s + sized(2, sized(2, "\0"s + sized(2, name))); }

std::string message(const std::string& extensions) {
  const std::string body = "\x03\x03"s + std::string(32, 'r') + sized(1, "session") + sized(2, "\x13\x01"s) + sized(1, "\0"s) + sized(2, extensions);
  return "\x01"s + sized(3, body);
}

// The message in records of at most `piece` bytes.
std::string records(const std::string& whole, size_t piece) {
  std::string out;
  for (size_t at = 0; at < whole.size(); at += piece) out += "\x16\x03\x01"s + sized(2, whole.substr(at, piece));
  return out;
}

const std::string usual = message("\0\x17\0\0"s + name_extension("www.example.com") + "\0\x2b\0\x03\x02\x03\x04"s);

void a_name_is_found_in_any_records() {
  for (size_t piece = 1; piece <= usual.size(); ++piece) {
    const std::string bytes = records(usual, piece);
    for (size_t cut = 0; cut < bytes.size(); ++cut) CHECK(read_client_hello(bytes.substr(0, cut)).state == State::more);
    const ClientHello hello = read_client_hello(bytes + "\x14\x03\x03"s);
    CHECK(hello.state == State::ok);
    CHECK_EQ(hello.server_name, "www.example.com");
  }
}

void a_client_may_name_nothing() {
  CHECK(read_client_hello(records(message(""), 1000)).state == State::ok);
  CHECK_EQ(read_client_hello(records(message("\0\x17\0\0"s), 1000)).server_name, "");
  CHECK_EQ(read_client_hello(records(message(name_extension("a.test.")), 1000)).server_name, "a.test");
}

void other_protocols_are_told_apart() {
  for (const char* other : {"GET / HTTP/1.1\r\n", "SSH-2.0-x", "\x16\x02", "\x15\x03\x01"}) CHECK(read_client_hello(other).state == State::not_tls);
}

void what_lies_is_refused() {
  const auto bad = [](const std::string& bytes) { return read_client_hello(bytes).state == State::bad; };
  CHECK(bad("\x16\x03\x01\0\0"s));                                   // an empty record
  CHECK(bad("\x16\x03\x01\x40\x01"s));                               // one that is too long
  CHECK(bad(records("\x02"s + usual.substr(1), 1000)));              // a server's hello
  CHECK(bad(records("\x01\x01\0\0"s, 1000)));                        // 64 KiB
  CHECK(bad(records(usual.substr(0, 20), 1000) + "\x17\x03\x01\0\x01x"s));  // another record in between
  CHECK(bad(records(message(name_extension("a.test") + name_extension("b.test")), 1000)));
  CHECK(bad(records(message(name_extension("a\0b"s)), 1000)));
  CHECK(bad(records(message(name_extension("")), 1000)));
  CHECK(bad(records(message("\0\0\0\x02\0\0"s), 1000)));             // an empty list
  CHECK(bad(records(message("\0\0\0\x09\0\x01\0"s), 1000)));         // beyond the end
  std::string longer = usual;
  longer[3] = static_cast<char>(longer[3] + 1);
  CHECK(bad(records(longer + "x", 1000)));                           // bytes behind the extensions
  CHECK(bad(records(message(sized(2, "") + sized(2, std::string(16'300, 'x'))), 1000)));
}

}  // namespace

GOMA_TESTS(a_name_is_found_in_any_records, a_client_may_name_nothing, other_protocols_are_told_apart, what_lies_is_refused)
