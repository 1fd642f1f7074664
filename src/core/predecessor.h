// SPDX-License-Identifier: Apache-2.0
//
// A master started by an upgrade and the one before it: what it inherits, and the line between the two. The whole story, with
// who owns what when, is told in core/upgrade.h.
//
// The inheritance is one environment variable, GOMA_UPGRADE, of key=value words separated by blanks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/loop.h"
#include "core/service.h"
#include "core/socket.h"

namespace goma::core {

// What a new master got from the old one.
struct Inheritance {
  pid_t old_master = 0;
  uint64_t generation = 0;  // of the old master
  int workers = 0;
  int slab = -1;
  int line = -1;            // a socket (SOCK_SEQPACKET), one word a message
  std::vector<Listening> sockets;

  // As the variable's text.
  std::string describe() const;
};

inline constexpr const char* upgrade_variable = "GOMA_UPGRADE";

// Reads GOMA_UPGRADE and removes it from the environment; nothing when this is an ordinary start.
std::optional<Inheritance> take_inheritance();

class Predecessor {
 public:
  static constexpr int64_t patience_ms = 30'000;  // from "ready" to "yours"

  struct Events {
    std::function<void()> yours;              // the places are ours to take
    std::function<void()> settled;            // whatever the old master was told has reached us
    std::function<void(bool settled)> gone;   // it has left or died; called once
    std::function<void()> silent;             // it did not answer "ready"
  };

  Predecessor() = default;
  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;

  // Takes the line, and says so: from now on the old master's death is seen here.
  void open(Loop& loop, const Inheritance& given, Events events);
  // It lives, as far as we know.
  bool present() const { return static_cast<bool>(line_); }
  // One that hands over word by word. A build without them is told "ready" when the places are taken already.
  bool understands() const { return understands_; }
  pid_t pid() const { return pid_; }

  void ready();
  // "taken STATUS", "reopen", "quit", "term", or the reason why we cannot serve.
  void say(std::string_view word);
  // Closes the line: nothing more is to be said or heard.
  void leave();
  // Ends it now.
  void kill();

 private:
  void on_line(unsigned ready);
  void on_overdue();

  Events events_;
  Descriptor line_;
  Watch watch_;
  Timer overdue_;
  pid_t pid_ = 0;
  uint64_t start_time_ = 0;
  bool understands_ = false;
  bool settled_ = false;
};

}  // namespace goma::core
