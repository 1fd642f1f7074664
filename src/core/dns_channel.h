// SPDX-License-Identifier: Apache-2.0
//
// c-ares on the loop: one question, one answer, later. Knows packets and name servers; what an answer is worth and for
// how long is the resolver's business.
//
// c-ares asks for level-triggered events, our watches tell edges: after an event a socket is processed until poll(2)
// says that nothing is left, and a socket that c-ares wants to write is tried once without an event.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/loop.h"
#include "core/socket.h"

struct ares_channeldata;
struct ares_addrinfo;

namespace goma::core {

class DnsChannel {
 public:
  enum class Outcome : unsigned char {
    found,
    absent,   // a name server said that there is no such name or no address for it
    timeout,  // none answered in time
    failed,   // none answered usefully
  };
  struct Answer {
    Outcome outcome = Outcome::failed;
    std::vector<Address> addresses;  // at most max_addresses, the ones to prefer first
    int64_t ttl_seconds = 0;
    std::string text;                // why there is none
  };
  static constexpr size_t max_addresses = 64;
  using Done = std::function<void(Answer)>;

  // servers: ip[:port] in order; empty: those of resolv.conf, read now.
  DnsChannel(Loop& loop, const std::vector<std::string>& servers);
  DnsChannel(const DnsChannel&) = delete;
  DnsChannel& operator=(const DnsChannel&) = delete;
  // Questions that are still open get no answer.
  ~DnsChannel();

  // Asks for A and AAAA; calls done once, perhaps before this returns. Not to be destroyed from inside done.
  void query(const std::string& name, Done done);

 private:
  struct Question;
  struct Socket;

  static void state_changed(void* self, int fd, int readable, int writable);
  static void answered(void* question, int status, int timeouts, ares_addrinfo* result);
  void process(int fd, bool read, bool write);
  void try_writers();
  void on_timer();
  void arm();

  Loop& loop_;
  ares_channeldata* channel_ = nullptr;
  std::map<int, std::unique_ptr<Socket>> sockets_;
  Deferred writers_;
  Timer timer_;
  size_t open_questions_ = 0;
  std::string broken_;  // why there is no channel
};

}  // namespace goma::core
