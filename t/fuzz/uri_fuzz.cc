// SPDX-License-Identifier: Apache-2.0
//
// Paths and authorities: canonical paths are fixed points without dot segments in any reading, rewriting and joining keep them
// acceptable, and an authority has one form, which comes apart again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/authority.h"
#include "http/uri.h"

using namespace goma;

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

void check_path(std::string_view raw, core::Arena& arena) {
  const http::CanonicalPath path = http::canonical_path(raw, arena);
  if (!path.ok) return;
  must(!path.encoded.empty() && path.decoded.size() <= path.encoded.size());
  if (path.encoded == "*") return;
  must(path.encoded.front() == '/' && path.decoded.front() == '/');
  must(!has(path.encoded, "//") && !has(path.decoded, "//") && path.decoded.find('\0') == std::string_view::npos);
  const auto has_no_dots = [](std::string_view reading) {
    const std::string closed = std::string(reading) + "/";
    return !has(closed, "/../") && !has(closed, "/./") && !has(closed, "/..;") && !has(closed, "/.;");
  };
  must(path.all(has_no_dots));
  const http::CanonicalPath again = http::canonical_path(path.encoded, arena);
  must(again.ok && !again.changed && again.decoded == path.decoded);
  must(http::canonical_path(http::rewrite_prefix("/a", "/b/", path, arena), arena).ok);
  must(http::canonical_path(http::join_paths("/base/", path.encoded, arena), arena).ok);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static core::ChunkPool pool;
  core::Arena arena(pool);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_path(text, arena);
  check_path(arena.join("/", text), arena);
  if (const std::string_view authority = http::canonical_authority(text, arena); !authority.empty()) {
    const http::HostPort parts = http::split_host_port(authority);
    must(!parts.host.empty() && parts.host.size() + parts.port.size() + 1 >= authority.size());
    must(http::canonical_authority(authority, arena) == authority && !has(authority, ".."));
  }
  for (const http::Parameter& p : http::Query(text)) must(p.name.size() + p.value.size() <= size);
  must(http::percent_encode(text, arena).size() >= size);
  return 0;
}
