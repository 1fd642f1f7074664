// SPDX-License-Identifier: Apache-2.0
//
// Fields become what RFC 9113 8.2 allows in a header block.
#include "check.h"
#include "core/arena.h"
#include "http/h2_fields.h"

namespace goma {
namespace {

struct Block {
  core::ChunkPool chunks;
  core::Arena arena{chunks};
  http::Headers headers{arena};
  // The block as text: "name=value;" for every field.
  std::string text() {
    http::H2Fields fields(arena, headers.size());
    fields.add(headers);
    std::string out;
    for (size_t i = 0; i < fields.size(); ++i) {
      const nghttp2_nv& f = fields.data()[i];
      out.append(reinterpret_cast<const char*>(f.name), f.namelen).append("=");
      out.append(reinterpret_cast<const char*>(f.value), f.valuelen).append(";");
    }
    return out;
  }
};

void names_are_lower_case() {
  Block b;
  b.headers.add("Content-Type", "text/plain");
  b.headers.add("X-Goma-Request-ID", "a");
  b.headers.add("X-Own", "B");
  b.headers.add("x-plain", "C");
  CHECK_EQ(b.text(), "content-type=text/plain;x-goma-request-id=a;x-own=B;x-plain=C;");
}

void fields_of_a_connection_stay_behind() {
  Block b;
  for (const char* name : {"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "HTTP2-Settings", "Host", "Content-Length"}) {
    b.headers.add(name, "x");
  }
  b.headers.add("TE", "gzip");
  CHECK_EQ(b.text(), "");
  b.headers.set("TE", "trailers");
  CHECK_EQ(b.text(), "te=trailers;");
}

void no_value_ends_a_line_and_no_name_is_odd() {
  Block b;
  b.headers.add("X-A", std::string_view("a\r\nSet-Cookie: b\0c", 18));
  b.headers.add("X-B", "end\r\n");
  b.headers.add("bad name", "x");
  b.headers.add(":status", "200");
  b.headers.add("", "x");
  CHECK_EQ(b.text(), "x-a=a  Set-Cookie: b c;x-b=end;");
}

void numbers_are_decimal() {
  Block b;
  CHECK_EQ(http::decimal(b.arena, 0), "0");
  CHECK_EQ(http::decimal(b.arena, 16777216), "16777216");
  CHECK_EQ(http::decimal(b.arena, UINT64_MAX), "18446744073709551615");
}

}  // namespace
}  // namespace goma

using namespace goma;
GOMA_TESTS(names_are_lower_case, fields_of_a_connection_stay_behind, no_value_ends_a_line_and_no_name_is_odd, numbers_are_decimal)
