// SPDX-License-Identifier: Apache-2.0
//
// Sockets of a worker whose address another of its sockets has from now on, because a reload has moved an address and kept its
// port. Their closing would reset whoever is shaking hands with them at that moment. So they serve on for as long as a handshake
// takes, while the kernel gives them nobody new (core/listener.h, make_way), and what has come by then is served last.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/loop.h"
#include "core/service.h"

namespace goma::core {

// Of the sockets of a commit, the one that has from now on what this one had; null: none, or the address stays as it is.
// `text` as in Listening.
const Listening* heir_of(const std::string& text, int fd, const std::vector<Listening>& sockets);

class Parting {
 public:
  static constexpr int64_t linger_ms = 200;

  explicit Parting(Loop& loop) { due_.bind<&Parting::finish>(loop, this); }
  Parting(const Parting&) = delete;
  Parting& operator=(const Parting&) = delete;

  // `last` is called once, linger_ms from now or at finish(), and closes the socket.
  void add(std::function<void()> last);
  // All of them now.
  void finish();

 private:
  std::vector<std::function<void()>> last_;
  Timer due_;
};

}  // namespace goma::core
