// SPDX-License-Identifier: Apache-2.0
//
// Responses: an accepted one, written and read again, means the same to a client. The first byte says to which method
// it answers.
#include <cstdint>
#include <cstdlib>

#include "http/h1_parser.h"
#include "http/h1_response.h"
#include "http/h1_writer.h"

using namespace goma;

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

void check_again(const http::ResponseHead& head, http::Method method, core::Arena& arena) {
  const bool bodiless = method == http::Method::head || head.status == 204 || head.status == 304;
  const http::HeadOptions options{.keep_alive = head.keep_alive, .bodiless = bodiless, .informational = head.status < 200};
  const std::string_view text = http::write_response_head(arena, 1, head.status, head.reason, head.headers, head.body, options);
  http::ResponseHead again(arena);
  http::ParseError error;
  must(http::parse_response(text, arena, {.headers = 105}, method, again, error));
  must(again.status == head.status && again.reason == head.reason);
  must(again.body.framing == head.body.framing && again.body.length == head.body.length);
  if (!options.informational) must(again.keep_alive == head.keep_alive);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static core::ChunkPool pool;
  if (size < 1) return 0;
  const http::Method method = data[0] % 2 ? http::Method::head : http::Method::get;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const http::ResponseLimits limits{.head_bytes = 65536, .headers = 100};
  core::Arena arena(pool);
  http::ResponseScanner scanner;
  if (scanner.feed(bytes.data(), bytes.size(), limits) != http::ResponseScanner::State::complete) return 0;
  http::ResponseHead head(arena);
  http::Oddities oddities;
  http::ResponseFault fault;
  const std::string_view text = arena.copy(bytes.substr(0, scanner.length()));
  if (!http::read_response(text, scanner.untidy(), arena, limits, method, head, oddities, fault)) {
    must(fault.kind != http::Failure::Kind::none);
    return 0;
  }
  must(head.status >= 100 && head.status <= 999);
  check_again(head, method, arena);
  // What is accepted without an oddity is accepted by those who want none.
  http::ResponseHead strict(arena);
  http::Oddities none;
  must(http::read_response(text, scanner.untidy(), arena, {limits.head_bytes, limits.headers, true}, method, strict, none, fault) == oddities.empty());
  return 0;
}
