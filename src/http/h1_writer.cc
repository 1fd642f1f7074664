// SPDX-License-Identifier: Apache-2.0
//
// The room is measured first, generously; then everything is copied once. Control bytes are looked for in the finished
// text: it has those of its line ends and no others, or it is written a second time with care.
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
    if (careful_) blank_controls(out_, out_ + text.size());
    out_ += text.size();
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
    put_short(name);
    put(": ");
    put_short(value);
    end_line();
  }
  // Ends a line and remembers where.
  void end_line() {
    std::memcpy(out_, "\r\n", 2);
    out_ += 2;
    ++lines_;
  }
  void put_length(uint64_t length) {
    put("Content-Length: ");
    put_number(length);
    end_line();
  }
  void put_line(std::string_view line) {
    put(line);
    end_line();
  }
  void put_framing(Body body) {
    if (body.framing == Framing::length) put_length(body.length);
    if (body.framing == Framing::chunked) put_line("Transfer-Encoding: chunked");
  }
  // Ends the head. False: a control byte came with some text.
  bool finish() {
    end_line();
    return core::count_controls(begin_, out_) == 2 * lines_;
  }
  // Begins anew; control bytes are written as blanks from now on.
  void restart_with_care() {
    out_ = begin_;
    lines_ = 0;
    careful_ = true;
  }
  std::string_view text() const { return {begin_, static_cast<size_t>(out_ - begin_)}; }

 private:
  // Most names and values are between 8 and 32 bytes: two overlapping copies beat a call.
  void put_short(std::string_view text) {
    const size_t n = text.size();
    if (careful_ || n < 8 || n > 32) {
      put(text);
    } else if (n >= 16) {
      std::memcpy(out_, text.data(), 16);
      std::memcpy(out_ + n - 16, text.data() + n - 16, 16);
      out_ += n;
    } else {
      std::memcpy(out_, text.data(), 8);
      std::memcpy(out_ + n - 8, text.data() + n - 8, 8);
      out_ += n;
    }
  }
  static void blank_controls(char* at, char* end) {
    for (; at != end; ++at) {
      if (core::is_control(*at)) *at = ' ';
    }
  }

  char* begin_;
  char* out_;
  size_t lines_ = 0;
  bool careful_ = false;
};

template <class Write>
std::string_view write_head(core::Arena& arena, size_t room, Write write) {
  HeadWriter out(arena, room);
  write(out);
  if (!out.finish()) {
    out.restart_with_care();
    write(out);
    out.finish();
  }
  return out.text();
}

// Fields of a connection, not of a message: made here, or nowhere.
constexpr HeaderSet of_connection{HeaderId::connection, HeaderId::content_length, HeaderId::transfer_encoding, HeaderId::keep_alive,
                                  HeaderId::proxy_connection};

void put_fields(HeadWriter& out, const Headers& headers, bool keep_length) {
  for (const Header& h : headers) {
    if (of_connection.has(h.id) && !(keep_length && h.id == HeaderId::content_length)) continue;
    out.put_field(h.name, h.value);
  }
}

bool defines_content(std::string_view method) { return method == "POST" || method == "PUT" || method == "PATCH"; }

void put_response_framing(HeadWriter& out, int status, Body body, const HeadOptions& options) {
  if (options.informational || options.upgrade || status == 204) return;
  if (options.bodiless || body.framing != Framing::none) {
    out.put_framing(body);
  } else {
    out.put_length(0);
  }
}

}  // namespace

std::string_view write_request_head(core::Arena& arena, std::string_view method, std::string_view target, const Headers& headers,
                                    Body body, bool keep_alive) {
  const bool upgrade = headers.find(HeaderId::upgrade) != nullptr;
  const size_t room = method.size() + target.size() + headers.room() + room_for_framing;
  return write_head(arena, room, [&](HeadWriter& out) {
    out.put(method);
    out.put(" ");
    out.put(target);
    out.put_line(" HTTP/1.1");
    put_fields(out, headers, false);
    out.put_framing(body);
    if (body.framing == Framing::none && !upgrade && defines_content(method)) out.put_length(0);
    if (upgrade) out.put_line("Connection: Upgrade");
    else if (!keep_alive) out.put_line("Connection: close");
  });
}

std::string_view write_response_head(core::Arena& arena, int minor_version, int status, std::string_view reason,
                                     const Headers& headers, Body body, const HeadOptions& options) {
  const bool keep_length = options.bodiless && body.framing == Framing::none && status != 204;
  const bool offers_upgrade = headers.find(HeaderId::upgrade) != nullptr;  // RFC 9110 7.8: an option of the connection
  return write_head(arena, reason.size() + headers.room() + room_for_framing, [&](HeadWriter& out) {
    out.put(minor_version == 0 ? "HTTP/1.0 " : "HTTP/1.1 ");
    out.put_number(static_cast<uint64_t>(status));
    out.put(" ");
    out.put_line(reason);
    put_fields(out, headers, keep_length);
    put_response_framing(out, status, body, options);
    if (options.upgrade) out.put_line("Connection: Upgrade");
    else if (options.informational) return;
    else if (!options.keep_alive) out.put_line(offers_upgrade ? "Connection: Upgrade, close" : "Connection: close");
    else if (options.http10) out.put_line("Connection: keep-alive");
    else if (offers_upgrade) out.put_line("Connection: Upgrade");
  });
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
