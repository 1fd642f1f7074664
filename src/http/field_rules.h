// SPDX-License-Identifier: Apache-2.0
//
// What a configured header field may be. Middlewares that add fields ask here when they are built, so that nothing
// written in a configuration can end a line, start a second message or change the framing of one.
#pragma once

#include <string_view>

#include "core/schema.h"
#include "http/module.h"

namespace goma::http {

// A token (RFC 9110 5.1).
bool is_field_name(std::string_view name);
// No control characters but the tab (RFC 9110 5.5).
bool is_field_value(std::string_view value);
// Fields that frame a message or belong to one connection (RFC 9110 7.6.1, RFC 9112 6): only the gateway writes them.
bool is_connection_field(std::string_view name);

// Where a key of the middleware's rule stands, or one entry of a map in it; the middleware itself when it is absent.
core::Place rule_place(const BuildContext& context, std::string_view key, std::string_view entry = {});

// Checks every name and value of a map of fields; each bad one is an error at its place. Connection fields are
// errors too. False when there was one.
bool check_fields(BuildContext& context, std::string_view key, const core::TextMap& fields);

}  // namespace goma::http
