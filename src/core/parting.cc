// SPDX-License-Identifier: Apache-2.0
//
// One timer for all: they come with one commit, and the next commit ends them.
#include "core/parting.h"

#include <algorithm>

#include "core/port_holder.h"

namespace goma::core {

namespace {

// "tcp:", "udp:" or nothing: sockets of different kinds do not stand in for each other.
std::string_view kind_of(const std::string& text) {
  return text.starts_with("tcp:") || text.starts_with("udp:") ? std::string_view(text).substr(0, 4) : std::string_view();
}

}  // namespace

const Listening* heir_of(const std::string& text, int fd, const std::vector<Listening>& sockets) {
  const Address mine = local_address(fd);
  if (mine.is_unix() || std::any_of(sockets.begin(), sockets.end(), [&text](const Listening& s) { return s.text == text; })) return nullptr;
  const auto takes_over = [&](const Listening& s) { return kind_of(s.text) == kind_of(text) && overlap(local_address(s.fd), mine); };
  const auto found = std::find_if(sockets.begin(), sockets.end(), takes_over);
  return found != sockets.end() ? &*found : nullptr;
}

void Parting::add(std::function<void()> last) {
  last_.push_back(std::move(last));
  due_.start(linger_ms);
}

void Parting::finish() {
  due_.stop();
  for (const std::function<void()>& last : std::exchange(last_, {})) last();
}

}  // namespace goma::core
