// SPDX-License-Identifier: Apache-2.0
//
// A tiny HTTP/1.1 server to put a gateway in front of: for the first minutes and for tests. It trusts its client and
// is no example of a server.
//
//   /slow?ms=N  answers after N ms       /bytes/N  N bytes       /echo  the body of the request
//   anything else: {"backend":NAME,"method":...,"path":...}
#pragma once

#include <string>

namespace goma {

// Serves until TERM or INT. "" listens on a free port of 127.0.0.1; the address is printed. Returns the exit code.
int run_demo_backend(const std::string& address, const std::string& name);

}  // namespace goma
