// SPDX-License-Identifier: Apache-2.0
//
// The line between the master and a child: whole messages over a SOCK_SEQPACKET pair, each a kind, a short body and
// descriptors. What is long travels as a memfd.
//
// Neither side ever blocks on the other: what the kernel does not take waits in the sender, descriptors duplicated. Who
// sends looks at waiting(), and gives up a peer that does not read.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/loop.h"
#include "core/result.h"

namespace goma::core {

struct Message {
  uint32_t kind = 0;
  std::string body;
  std::vector<int> fds;  // the receiver owns them
};

class Channel {
 public:
  static constexpr size_t max_body = 60'000;
  static constexpr size_t max_fds = 64;

  Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() { close(); }

  // Two connected descriptors, close-on-exec and non-blocking. Error: exhausted.
  static Result<std::pair<int, int>> pair();

  // Takes the descriptor. Calls (owner->*OnMessage)(Message&) for each message and (owner->*OnClosed)() once when
  // the other side is gone. The owner may destroy the channel in OnClosed, not in OnMessage.
  template <auto OnMessage, auto OnClosed, class Owner>
  void open(Loop& loop, int fd, Owner* owner) {
    fd_ = fd;
    owner_ = owner;
    on_message_ = [](void* o, Message& m) { (static_cast<Owner*>(o)->*OnMessage)(m); };
    on_closed_ = [](void* o) { (static_cast<Owner*>(o)->*OnClosed)(); };
    watch_.open<&Channel::ready>(loop, fd, this);
  }
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void close();

  // Sends or queues; the caller keeps its descriptors. Requires: body <= max_body, fds <= max_fds.
  void send(uint32_t kind, std::string_view body = {}, const std::vector<int>& fds = {});
  // How many messages the peer has not taken.
  size_t waiting() const { return queue_.size(); }
  // Reads what has arrived already, as if the loop had said so.
  void drain() { if (is_open()) ready(ready_read); }

 private:
  bool send_now(const Message& message);
  bool receive(Message& message);
  void ready(unsigned what);
  void flush();

  Watch watch_;
  int fd_ = -1;
  void* owner_ = nullptr;
  void (*on_message_)(void*, Message&) = nullptr;
  void (*on_closed_)(void*) = nullptr;
  std::deque<Message> queue_;
};

// A memfd with this content; the caller owns it. For answers of any length.
Result<int> memory_file(std::string_view content);
// The whole content of a memfd, which may be another process's: at most 256 MiB. Errors: internal, invalid.
Result<std::string> read_memory_file(int fd);

}  // namespace goma::core
