// SPDX-License-Identifier: Apache-2.0
//
// A cursor that never reads past its end, and the grammar of the message on top of it.
#include "core/client_hello.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "core/text.h"

namespace goma::core {

namespace {

constexpr uint8_t handshake_record = 22;
constexpr uint8_t hello_message = 1;
constexpr size_t record_head = 5;
constexpr size_t message_head = 4;
constexpr uint32_t server_name_extension = 0;

// What is left to read; a wrong length makes it broken for good.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}
  bool broken() const { return broken_; }
  bool empty() const { return rest_.empty(); }

  uint32_t number(size_t count) {
    uint32_t value = 0;
    for (const char c : bytes(count)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  std::string_view bytes(size_t count) {
    if (count > rest_.size()) {
      broken_ = true;
      rest_ = {};
    }
    const std::string_view taken = rest_.substr(0, std::min(count, rest_.size()));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  // A part with its length in front.
  std::string_view part(size_t length_bytes) { return bytes(number(length_bytes)); }

 private:
  std::string_view rest_;
  bool broken_ = false;
};

ClientHello state(ClientHello::State now) {
  ClientHello hello;
  hello.state = now;
  return hello;
}

bool is_name(std::string_view name) {
  const auto good = [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; };
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), good);
}

// Nothing: broken.
std::optional<std::string> name_in(std::string_view extension) {
  Cursor outer(extension);
  Cursor list(outer.part(2));
  if (outer.broken() || !outer.empty() || list.empty()) return std::nullopt;
  std::string found;
  while (!list.empty()) {
    const uint32_t kind = list.number(1);
    const std::string_view name = list.part(2);
    if (list.broken() || (kind == 0 && (!is_name(name) || !found.empty()))) return std::nullopt;
    if (kind == 0) found = name;
  }
  if (!found.empty() && found.back() == '.') found.pop_back();
  return found;
}

ClientHello read_message(std::string_view message) {
  Cursor hello(message);
  hello.bytes(2 + 32);  // version, random
  hello.part(1);        // session
  hello.part(2);        // cipher suites
  hello.part(1);        // compression methods
  if (hello.broken()) return state(ClientHello::State::bad);
  ClientHello found = state(ClientHello::State::ok);
  if (hello.empty()) return found;  // no extensions (SSL 3.0 to TLS 1.0)
  Cursor extensions(hello.part(2));
  if (hello.broken() || !hello.empty()) return state(ClientHello::State::bad);
  bool seen = false;
  while (!extensions.empty()) {
    const uint32_t kind = extensions.number(2);
    const std::string_view body = extensions.part(2);
    if (extensions.broken()) return state(ClientHello::State::bad);
    if (kind != server_name_extension) continue;
    std::optional<std::string> name = name_in(body);
    if (!name || seen) return state(ClientHello::State::bad);
    found.server_name = std::move(*name);
    seen = true;
  }
  return found;
}

}  // namespace

ClientHello read_client_hello(std::string_view bytes) {
  std::string message;  // without the heads of its records
  const bool all = bytes.size() >= ClientHello::max_bytes;
  const ClientHello unfinished = state(all ? ClientHello::State::bad : ClientHello::State::more);
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view record = bytes.substr(at);
    if (static_cast<uint8_t>(record[0]) != handshake_record) return state(at == 0 ? ClientHello::State::not_tls : ClientHello::State::bad);
    if (record.size() > 1 && record[1] != 3) return state(at == 0 ? ClientHello::State::not_tls : ClientHello::State::bad);
    if (record.size() < record_head) return unfinished;
    const size_t length = static_cast<size_t>(static_cast<uint8_t>(record[3])) << 8 | static_cast<uint8_t>(record[4]);
    if (length == 0 || length > ClientHello::max_bytes) return state(ClientHello::State::bad);
    message.append(record.substr(record_head, length));
    at += record_head + length;
    if (!message.empty() && static_cast<uint8_t>(message[0]) != hello_message) return state(ClientHello::State::bad);
    if (message.size() < message_head) continue;
    Cursor head(std::string_view(message).substr(1));
    const size_t whole = message_head + head.number(3);
    if (whole > ClientHello::max_bytes) return state(ClientHello::State::bad);
    if (message.size() >= whole) return read_message(std::string_view(message).substr(message_head, whole - message_head));
  }
  return unfinished;
}

}  // namespace goma::core
