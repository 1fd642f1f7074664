// SPDX-License-Identifier: Apache-2.0
//
// Requests: bytes fed in two pieces are accepted or refused as the whole is, and an accepted request, written and read again,
// means the same. The first byte of the input says where to cut.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/h1_parser.h"
#include "http/h1_writer.h"
#include "http/uri.h"

using namespace goma;
using http::HeadScanner;

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

struct Scan {
  HeadScanner::State state;
  size_t length;
  int status;
  bool operator==(const Scan&) const = default;
};

Scan scan(std::string_view bytes, size_t cut) {
  HeadScanner scanner;
  HeadScanner::State state = scanner.feed(bytes.data(), cut, {});
  if (state == HeadScanner::State::more) {
    const std::string moved(bytes);
    state = scanner.feed(moved.data(), moved.size(), {});
  }
  return {state, scanner.length(), scanner.status()};
}

void check_again(const http::RequestHead& head, core::Arena& arena) {
  const bool absolute = !head.scheme.empty();
  const std::string_view target = absolute ? arena.join(head.path, head.has_query ? "?" : "", head.query) : head.target;
  const std::string_view text = http::write_request_head(arena, head.method_text, target, head.headers, head.body, head.keep_alive);
  http::RequestHead again(arena);
  http::ParseError error;
  if (head.minor_version == 0 && head.headers.find(http::HeaderId::host) == nullptr) return;  // 1.1 wants a Host
  must(http::parse_request(text, arena, {.headers = 105}, again, error));
  must(again.path == head.path && again.query == head.query && again.method == head.method);
  must(again.body.length == head.body.length);
  must(again.body.framing == head.body.framing || head.body.framing == http::Framing::none);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static core::ChunkPool pool;
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Scan whole = scan(bytes, bytes.size());
  const Scan cut = scan(bytes, data[0] * bytes.size() / 256);
  core::Arena arena(pool);
  http::RequestHead head(arena);
  http::ParseError error;
  if (!(cut == whole)) {  // a piece was refused for a byte that in a complete head the parser refuses
    must(cut.state == HeadScanner::State::bad && whole.state != HeadScanner::State::more);
    must(whole.state == HeadScanner::State::bad || !http::parse_request(arena.copy(bytes.substr(0, whole.length)), arena, {}, head, error));
    return 0;
  }
  if (whole.state != HeadScanner::State::complete) {
    http::parse_request(arena.copy(bytes), arena, {}, head, error);  // must survive what the scanner would not let through
    return 0;
  }
  if (!http::parse_request(arena.copy(bytes.substr(0, whole.length)), arena, {}, head, error)) {
    must(error.status >= 400 && error.status < 600 && *error.code != '\0');
    return 0;
  }
  must(!head.path.empty() && (head.path.front() == '/' || head.path == "*"));
  must(head.body.framing != http::Framing::until_close);
  check_again(head, arena);
  return 0;
}
