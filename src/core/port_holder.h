// SPDX-License-Identifier: Apache-2.0
//
// Who has an address already. SO_REUSEPORT lets a stranger of the same user share a port silently, so the kernel's tables of
// sockets are asked before an address is bound for the first time; and /proc, for the name of whoever it is.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "core/socket.h"

namespace goma::core {

// Sockets as /proc names them: "socket:[41873]".
using SocketNames = std::set<std::string>;

// The name of an open socket.
std::string socket_name(int fd);

// Whether one packet could be meant for both: the same port, and the same address or one that includes the other. [::] includes all
// of IPv4, as goma binds it (IPV6_V6ONLY is off whatever net.ipv6.bindv6only says).
bool overlap(const Address& one, const Address& other);

// The sockets, of all but ours, that hold the address or a part of it. A stranger's [::] that has left IPv4 to others is none.
SocketNames sockets_at(const Address& address, bool udp, const SocketNames& ours);
// Those that listen on a unix path.
SocketNames sockets_at(const std::string& path);

// Whether a process that we may look into has one of these sockets open.
bool holds(pid_t pid, const SocketNames& sockets);
// The first process that has, of those we may look into and that are no friends; 0 when there is none.
pid_t first_holder(const SocketNames& sockets, const std::vector<pid_t>& friends);

}  // namespace goma::core
