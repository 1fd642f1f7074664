// SPDX-License-Identifier: Apache-2.0
//
// An exchange as a tunnel (http/tunnel.h): bytes both ways, what the tunnel lets pass, and its end.
#include "http/exchange.h"
#include "http/forward.h"
#include "http/route_metrics.h"
#include "http/runtime.h"
#include "http/tunnel.h"

namespace goma::http {

// A tunnel holds no configuration: its middlewares are finished now, its site is let go.
void Exchange::open_tunnel() {
  state_ = State::tunnelling;
  tunnel_ = arena_.make<Tunnel>(*this, names_websocket(request_));
  client_.flush();
  if (runtime_.metrics != nullptr) runtime_.metrics->tunnel_opened();
  tunnel_counted_ = true;
  route_name_ = arena_.copy(route_->name);
  trace.backend = arena_.copy(trace.backend);
  finish_middlewares();
  forward_->forget_route();
  route_ = nullptr;
  release_site();
  client_.resume_request();
}

void Exchange::pass_to_client(std::string_view data) {
  data = tunnel_->pass(Tunnel::Way::to_client, data);
  response_bytes += data.size();
  client_.send_body(data);
  client_.send_body(tunnel_->goodbye(Tunnel::Way::to_client));
}

void Exchange::pass_to_backend(std::string_view data) {
  data = tunnel_->pass(Tunnel::Way::to_backend, data);
  request_bytes += data.size();
  forward_->request_body(data);
  forward_->request_body(tunnel_->goodbye(Tunnel::Way::to_backend));
}

bool Exchange::close_tunnel(uint16_t code, Ending ending) {
  if (state_ != State::tunnelling || forward_ == nullptr || !tunnel_->close(code)) return false;
  ending_ = ending;
  pass_to_client({});
  flow_ = client_.flush();
  pass_to_backend({});
  forward_->flush_request();
  return true;
}

void Exchange::cut_tunnel(Ending ending) {
  if (!tunnel_->closing()) ending_ = ending;
  drop_content();
  client_.finish(nullptr);
  client_.flush();
  finish_response();
}

}  // namespace goma::http
