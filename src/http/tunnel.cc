// SPDX-License-Identifier: Apache-2.0
//
// Idle time and goodbyes.
#include "http/tunnel.h"

#include "http/exchange.h"
#include "http/runtime.h"

namespace goma::http {

namespace {

constexpr int64_t goodbye_ms = 1'000;  // for the other side to answer a close frame

}  // namespace

Tunnel::Tunnel(Exchange& x, bool frames) : x_(x), moved_us_(x.runtime().loop.now_us()), frames_(frames) {
  quiet_.bind<&Tunnel::on_quiet>(x.runtime().wheel, this);
  quiet_.in(x.runtime().limits.tunnel_ms);
}

std::string_view Tunnel::pass(Way way, std::string_view data) {
  moved_us_ = x_.runtime().loop.now_us();
  if (!frames_) return data;
  Direction& to = direction(way);
  if (closing()) data = to.silent ? std::string_view() : data.substr(0, to.frames.until_boundary(data));
  to.frames.pass(data);
  return data;
}

std::string_view Tunnel::goodbye(Way way) {
  Direction& to = direction(way);
  if (!closing() || to.silent || !to.frames.at_boundary()) return {};
  to.silent = true;
  if (to.frames.closed()) return {};
  if (way == Way::to_client) return write_close(to.text, code_);
  return write_masked_close(to.text, close_going_away, static_cast<uint32_t>(moved_us_));
}

bool Tunnel::close(uint16_t code) {
  if (!frames_) return false;
  if (!closing()) code_ = code;
  quiet_.in(goodbye_ms);
  return true;
}

// The limit may have changed since it was last asked for.
void Tunnel::on_quiet() {
  const int64_t limit = x_.runtime().limits.tunnel_ms;
  const int64_t quiet = (x_.runtime().loop.now_us() - moved_us_) / 1000;
  if (!closing() && (limit == 0 || quiet < limit)) {
    quiet_.in(limit == 0 ? 0 : limit - quiet);
    return;
  }
  if (closing() || !x_.close_tunnel(close_going_away, Ending::tunnel_idle)) x_.cut_tunnel(Ending::tunnel_idle);
}

}  // namespace goma::http
