// SPDX-License-Identifier: Apache-2.0
//
// The bodies of the gateway's own answers (goma-config 15, 10.28): JSON, XML or one line of text, as the client
// accepts, byte for byte as Goma writes them. There are no HTML error pages.
//
// Everything is made in the exchange's arena or is static.
#pragma once

#include <string>
#include <string_view>

#include "core/arena.h"

namespace goma::http {

struct ErrorBody {
  std::string_view content_type;
  std::string_view body;
  bool nosniff = false;  // X-Content-Type-Options: nosniff belongs to it
};

// The body for a status and a message. `accept` decides, `request_content_type` when there is no Accept; both as
// sent. A message that is itself JSON is sent raw to clients of JSON.
ErrorBody make_error_body(core::Arena& arena, std::string_view accept, std::string_view request_content_type, int status,
                          std::string_view message);

// "403 Forbidden".
std::string_view default_message(core::Arena& arena, int status);

// The HTML body of a redirect for GET and HEAD: a link and two line ends. Other methods have none.
std::string_view redirect_body(core::Arena& arena, std::string_view location, int status);

// Whether the text is one complete JSON value (RFC 8259), blanks around it allowed; nesting deeper than 64 is not.
bool is_json(std::string_view text);

}  // namespace goma::http
