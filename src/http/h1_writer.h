// SPDX-License-Identifier: Apache-2.0
//
// Heads on their way out (RFC 9112 3, 4, 6). A message is always written anew from its parsed form: the fields given
// are end to end, and the three that belong to this connection (Connection, Content-Length, Transfer-Encoding) are
// made here from the framing, whatever the list says.
//
// The invariant: no value can end a line. A control byte in one (from a decoded path, say) is written as a blank.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/arena.h"
#include "http/message.h"

namespace goma::http {

struct HeadOptions {
  bool keep_alive = true;
  bool http10 = false;         // the client speaks HTTP/1.0: keeping alive must be said
  bool bodiless = false;       // answer to HEAD, or 204, 304: the framing is announced, the content is not sent
  bool informational = false;  // 1xx: no framing, nothing about the connection
  bool upgrade = false;        // 101
};

// A request head in the arena. A live Upgrade field is announced in Connection. A method that defines content gets
// "Content-Length: 0" when there is none (RFC 9110 8.6).
std::string_view write_request_head(core::Arena& arena, std::string_view method, std::string_view target, const Headers& headers,
                                    Body body, bool keep_alive);

// A response head in the arena. With options.bodiless and no framing, a Content-Length in the list is kept (RFC 9110
// 8.6), except for 204. Framing::none otherwise means an empty content, and says so.
std::string_view write_response_head(core::Arena& arena, int minor_version, int status, std::string_view reason,
                                     const Headers& headers, Body body, const HeadOptions& options);

// Writes the size line of a chunk (RFC 9112 7.1), at most 18 bytes; how many.
size_t write_chunk_head(char* out, size_t n);

}  // namespace goma::http
