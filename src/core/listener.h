// SPDX-License-Identifier: Apache-2.0
//
// The master's listening sockets: one per address and worker slot (SO_REUSEPORT), one alone for a unix path. They
// are opened here, kept for as long as the address is configured, and only lent to workers; that is why a worker
// can die without taking an accept queue with it.
//
// Invariant: a socket in a group is never closed while its address stays, not even when there are fewer workers;
// slot socket i is then served by worker i modulo the number of workers.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "core/port_holder.h"
#include "core/result.h"
#include "core/service.h"

namespace goma::core {

// Whether Listeners::open could have this address, tried without taking it: held by friends is well, held by others or
// not allowed is the same error as there.
Result<void> could_listen(const Plan::Address& address, const std::string& prefix, const std::vector<pid_t>& friends);

class Listeners {
 public:
  struct Group {
    std::string text;     // as configured; the identity
    std::string address;  // what it is bound to: "127.0.0.1:41873", "tcp:[::]:80", "unix:/run/x.sock"
    std::string path;     // of a unix socket, to be removed at the end
    bool shared = false;  // one socket for all workers
    bool adopted = false; // another master's; its path may be removed once we own
    std::vector<int> fds;
  };

  Listeners() = default;
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;
  ~Listeners();

  // Makes sure that this address can be had: it is bound, but nobody is connected to it yet (clients of unix paths and datagrams
  // come at once). Where sockets of another text are bound to the very same place, they serve this one too. Relative unix
  // paths start at prefix.
  // `friends` are processes that may hold the address too (orphans about to be replaced). The error is a complete
  // message with the holder's name and a hint; nothing is left half open.
  Result<void> reserve(const Plan::Address& address, const std::string& prefix, const std::vector<pid_t>& friends);
  // The same with at least `slots` sockets that listen. Whoever opens a socket has it served soon: clients are sent to it from
  // now on.
  Result<void> open(const Plan::Address& address, int slots, const std::string& prefix, const std::vector<pid_t>& friends);
  // Takes over a socket inherited from another master.
  void adopt(const std::string& text, int fd);
  // From now on the unix paths of adopted sockets are ours to remove; those that were given up before are removed.
  void own();
  // Closes everything; paths stay, for who has the sockets too.
  void abandon();
  // Sockets of addresses that are not listed, where one of those listed includes them or is part of them, are given nobody new: clients
  // go to the other's.
  void make_way(const std::vector<Plan::Address>& addresses);
  // Closes every group whose text is not listed; unix paths are removed, if they are ours.
  void keep_only(const std::vector<Plan::Address>& addresses);

  const std::map<std::string, Group>& groups() const { return groups_; }
  // The sockets that worker `slot` of `workers` serves, for these addresses. The descriptors stay ours.
  std::vector<Listening> lent_to(int slot, int workers, const std::vector<Plan::Address>& addresses) const;

 private:
  void close_group(Group& group);
  void give_up(const Group& group);
  Result<void> grow(const Plan::Address& address, int slots, const std::string& prefix, const std::vector<pid_t>& friends);
  SocketNames sockets_of_ours() const;

  std::map<std::string, Group> groups_;
  bool owner_ = false;
  std::vector<std::string> given_up_;  // paths to be removed once we own
};

}  // namespace goma::core
