// SPDX-License-Identifier: Apache-2.0
//
// The room is measured first, generously; then everything is copied once.
#include "http/h1_writer.h"

#include <cstring>

#include "core/scan.h"

namespace goma::http {

namespace {

constexpr size_t room_for_framing = 128;  // status line numbers, Content-Length, Connection, the empty line

// Appends into memory known to be large enough.
class HeadWriter {
 public:
  HeadWriter(core::Arena& arena, size_t room) : begin_(static_cast<char*>(arena.allocate(room, 1))), out_(begin_) {}

  void put(std::string_view text) {
    if (text.empty()) return;
    std::memcpy(out_, text.data(), text.size());
    out_ += text.size();
  }
  // Text that could have come from anywhere: no control byte gets out.
  void put_safe(std::string_view text) {
    char* at = out_;
    put(text);
    while ((at = const_cast<char*>(core::find_control(at, out_))) != out_) *at++ = ' ';
  }
  void put_number(uint64_t number) {
    char digits[20];
    size_t n = sizeof digits;
    do {
      digits[--n] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    put({digits + n, sizeof digits - n});
  }
  void put_field(std::string_view name, std::string_view value) {
    put(name);
    put(": ");
    put_safe(value);
    put("\r\n");
  }
  void put_length(uint64_t length) {
    put("Content-Length: ");
    put_number(length);
    put("\r\n");
  }
  void put_framing(Body body) {
    if (body.framing == Framing::length) put_length(body.length);
    if (body.framing == Framing::chunked) put("Transfer-Encoding: chunked\r\n");
  }
  std::string_view finish() {
    put("\r\n");
    return {begin_, static_cast<size_t>(out_ - begin_)};
  }

 private:
  char* begin_;
  char* out_;
};

size_t size_of(const Headers& headers) {
  size_t n = 0;
  for (const Header& h : headers) n += h.name.size() + h.value.size() + 4;
  return n;
}

// Fields of a connection, not of a message: made here, or nowhere.
bool belongs_to_connection(HeaderId id) {
  return id == HeaderId::connection || id == HeaderId::content_length || id == HeaderId::transfer_encoding ||
         id == HeaderId::keep_alive || id == HeaderId::proxy_connection;
}

void put_fields(HeadWriter& out, const Headers& headers, bool keep_length) {
  for (const Header& h : headers) {
    if (belongs_to_connection(h.id) && !(keep_length && h.id == HeaderId::content_length)) continue;
    out.put_field(h.name, h.value);
  }
}

bool defines_content(std::string_view method) { return method == "POST" || method == "PUT" || method == "PATCH"; }

void put_response_framing(HeadWriter& out, int status, Body body, const HeadOptions& options) {
  if (options.informational || options.upgrade || status == 204) return;
  if (options.bodiless || body.framing != Framing::none) {
    out.put_framing(body);
  } else {
    out.put("Content-Length: 0\r\n");
  }
}

}  // namespace

std::string_view write_request_head(core::Arena& arena, std::string_view method, std::string_view target, const Headers& headers,
                                    Body body, bool keep_alive) {
  HeadWriter out(arena, method.size() + target.size() + size_of(headers) + room_for_framing);
  out.put(method);
  out.put(" ");
  out.put_safe(target);
  out.put(" HTTP/1.1\r\n");
  put_fields(out, headers, false);
  const bool upgrade = headers.find(HeaderId::upgrade) != nullptr;
  out.put_framing(body);
  if (body.framing == Framing::none && !upgrade && defines_content(method)) out.put_length(0);
  if (upgrade) out.put("Connection: Upgrade\r\n");
  else if (!keep_alive) out.put("Connection: close\r\n");
  return out.finish();
}

std::string_view write_response_head(core::Arena& arena, int minor_version, int status, std::string_view reason,
                                     const Headers& headers, Body body, const HeadOptions& options) {
  HeadWriter out(arena, reason.size() + size_of(headers) + room_for_framing);
  out.put(minor_version == 0 ? "HTTP/1.0 " : "HTTP/1.1 ");
  out.put_number(static_cast<uint64_t>(status));
  out.put(" ");
  out.put_safe(reason);
  out.put("\r\n");
  put_fields(out, headers, options.bodiless && body.framing == Framing::none && status != 204);
  put_response_framing(out, status, body, options);
  if (options.upgrade) out.put("Connection: Upgrade\r\n");
  else if (options.informational) return out.finish();
  else if (!options.keep_alive) out.put("Connection: close\r\n");
  else if (options.http10) out.put("Connection: keep-alive\r\n");
  return out.finish();
}

size_t write_chunk_head(char* out, size_t n) {
  constexpr std::string_view digits = "0123456789abcdef";
  char text[16];
  size_t at = sizeof text;
  do {
    text[--at] = digits[n & 15];
    n >>= 4;
  } while (n != 0);
  const size_t length = sizeof text - at;
  std::memcpy(out, text + at, length);
  std::memcpy(out + length, "\r\n", 2);
  return length + 2;
}

}  // namespace goma::http
