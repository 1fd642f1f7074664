// SPDX-License-Identifier: Apache-2.0
//
// A client that takes a port of plain HTTP/1.1 for another kind of port: it begins with a TLS handshake, with a PROXY header that
// nobody asked it for, or with HTTP/2's preface where only HTTP/1.1 is spoken. All of that is refused anyway; here it gets a name, so
// that whoever has set up the one side or the other wrongly finds it in the log.
//
// Only asked about bytes that are refused: what is a request stays one.
#pragma once

#include <string_view>

#include "http/h1_parser.h"

namespace goma::http {

// What the first bytes of a refused head are; null: nothing that is known. They need not be all there.
const ParseError* stray_greeting(std::string_view begin);

}  // namespace goma::http
