// SPDX-License-Identifier: Apache-2.0
//
// A client's connection speaking HTTP/2 (RFC 9113). To be filled in.
#pragma once

#include "core/stream.h"
#include "http/connection.h"

namespace goma::http {

struct Runtime;

class H2Server final : public ClientConnection {
 public:
  H2Server(Runtime&, ConnectionOwner&, Arrival) {}
  void open(core::Stream&) {}
  Phase phase() const override { return Phase::closed; }
  int64_t waiting_since_ms() const override { return 0; }
  uint64_t progress() const override { return 0; }
  void drain(bool) override {}
  void shed() override {}
};

}  // namespace goma::http
