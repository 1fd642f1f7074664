// SPDX-License-Identifier: Apache-2.0
//
// Binding, in two steps: a socket that is only bound is given no clients, so a change that is refused has disturbed nobody.
#include "core/listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>

#include "core/log.h"
#include "core/parting.h"
#include "core/process.h"
#include "core/safe_open.h"
#include "core/socket.h"

namespace goma::core {

namespace {

// An address of a plan taken apart.
struct Wanted {
  std::string prefix;  // "tcp:", "udp:" or nothing
  std::string rest;
  bool udp() const { return prefix == "udp:"; }
};

Wanted take_apart(const std::string& text) {
  const bool marked = text.starts_with("tcp:") || text.starts_with("udp:");
  return marked ? Wanted{text.substr(0, 4), text.substr(4)} : Wanted{"", text};
}

Error in_use(const Plan::Address& address, const Address& bound, pid_t holder) {
  const Wanted wanted = take_apart(address.text);
  std::string text = fmt::format("cannot listen on {}{}: the address is in use  [port-in-use]", wanted.prefix, bound.text());
  if (!address.place.empty()) text += fmt::format("\n   from {}", address.place);
  if (holder != 0) text += fmt::format("\n   held by {}, process {}", process::name_of(holder), holder);
  text += fmt::format("\n   = stop that service, or choose another port; ss {} 'sport = :{}' shows the holder", wanted.udp() ? "-lunp" : "-ltnp", bound.port());
  return Error{Code::refused, text, EADDRINUSE};
}

Error cannot_listen(const Plan::Address& address, const std::string& bound, const std::string& why, int number) {
  std::string text = fmt::format("cannot listen on {}: {}  [cannot-listen]", bound, why);
  if (!address.place.empty()) text += fmt::format("\n   from {}", address.place);
  if (number == EACCES) text += "\n   = ports below 1024 need root or the capability CAP_NET_BIND_SERVICE";
  return Error{Code::refused, text, number};
}

// A link that is not followed is told in full; the rest as the kernel says it.
Error cannot_bind_unix(const Plan::Address& address, const std::string& path, const Error& why) {
  return cannot_listen(address, "unix:" + path, why.system == ELOOP ? why.text : std::strerror(why.system), why.system);
}

std::string unix_path(const std::string& text, const std::string& prefix) {
  const std::string path = text.substr(5);
  return path.starts_with('/') || prefix.empty() ? path : prefix + "/" + path;
}

Result<Listeners::Group> open_unix(const Plan::Address& address, const std::string& prefix) {
  Listeners::Group group;
  group.text = address.text;
  group.shared = true;
  group.path = unix_path(address.text, prefix);
  group.address = "unix:" + group.path;
  Result<int> fd = listen_unix(group.path, 0666);
  if (!fd) return cannot_bind_unix(address, group.path, fd.error());
  group.fds.push_back(*fd);
  return group;
}

Result<int> open_one(const Address& address, const Wanted& wanted) {
  if (wanted.udp()) return bind_datagrams(address);
  return listen_on(address, {.defer_accept = wanted.prefix.empty(), .listens = false});
}

// From here on the kernel connects clients to them.
Result<void> begin_to_listen(const Plan::Address& address, const Listeners::Group& group) {
  if (take_apart(address.text).udp() || group.shared) return {};
  for (const int fd : group.fds) {
    if (::listen(fd, ListenOptions().backlog) != 0) return cannot_listen(address, group.address, std::strerror(errno), errno);
  }
  return {};
}

// A socket that is about to go is given nobody new: it is bound to an interface that does not exist, so the kernel's search for a
// socket passes it by and finds the one that comes. Handshakes under way go on, and are shown without waiting for their first bytes.
void take_nobody_new(int fd) {
  const int nowhere = std::numeric_limits<int>::max();
  const int off = 0;
  if (::setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof nowhere) != 0) {
    log::warn("who connects while an address changes may be refused", {{"error", std::strerror(errno)}});
  }
  ::setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &off, sizeof off);
}

// Where the group of another text is bound to the very place: its sockets are these.
bool same_place(const Listeners::Group& group, const Plan::Address& address, const std::string& prefix) {
  if (group.shared) return address.text.starts_with("unix:") && group.path == unix_path(address.text, prefix);
  const Wanted wanted = take_apart(address.text);
  const std::optional<Address> end = Address::parse(wanted.rest);
  return end && end->port() != 0 && group.address == wanted.prefix + end->text();
}

// Opens what is missing up to `slots` sockets. The port of the first one holds for all.
Result<void> open_ip(const Plan::Address& address, size_t slots, const std::vector<pid_t>& friends, const SocketNames& ours, Listeners::Group& group) {
  const Wanted wanted = take_apart(address.text);
  std::optional<Address> end = group.fds.empty() ? Address::parse(wanted.rest) : local_address(group.fds.front());
  if (!end) return cannot_listen(address, address.text, std::strerror(EINVAL), EINVAL);
  const pid_t holder = group.fds.empty() ? first_holder(sockets_at(*end, wanted.udp(), ours), friends) : 0;
  if (holder != 0) return in_use(address, *end, holder);
  while (group.fds.size() < slots) {
    Result<int> fd = open_one(*end, wanted);
    if (!fd && fd.error().system == EADDRINUSE) return in_use(address, *end, 0);
    if (!fd) return cannot_listen(address, end->text(), std::strerror(fd.error().system), fd.error().system);
    group.fds.push_back(*fd);
    if (group.fds.size() == 1) end = local_address(*fd);
  }
  group.address = wanted.prefix + end->text();
  return {};
}

bool friends_hold(const SocketNames& sockets, const std::vector<pid_t>& friends) {
  return std::any_of(friends.begin(), friends.end(), [&sockets](pid_t pid) { return holds(pid, sockets); });
}

Result<void> could_listen_unix(const Plan::Address& address, const std::string& prefix, const std::vector<pid_t>& friends) {
  const std::string path = unix_path(address.text, prefix);
  if (friends_hold(sockets_at(path), friends)) return {};
  const Result<void> allowed = may_listen_unix(path);
  return allowed.ok() ? Result<void>() : cannot_bind_unix(address, path, allowed.error());
}

}  // namespace

Result<void> could_listen(const Plan::Address& address, const std::string& prefix, const std::vector<pid_t>& friends) {
  if (address.text.starts_with("unix:")) return could_listen_unix(address, prefix, friends);
  const Wanted wanted = take_apart(address.text);
  const std::optional<Address> end = Address::parse(wanted.rest);
  if (!end) return cannot_listen(address, address.text, std::strerror(EINVAL), EINVAL);
  const SocketNames sockets = sockets_at(*end, wanted.udp(), {});
  if (const pid_t holder = first_holder(sockets, friends); holder != 0) return in_use(address, *end, holder);
  if (friends_hold(sockets, friends)) return {};
  const Result<int> bound = wanted.udp() ? bind_datagrams(*end) : listen_on(*end, {.listens = false});
  if (!bound.ok() && bound.error().system == EADDRINUSE) return in_use(address, *end, 0);
  if (!bound.ok()) return cannot_listen(address, end->text(), std::strerror(bound.error().system), bound.error().system);
  ::close(bound.value());
  return {};
}

Listeners::~Listeners() {
  for (auto& [text, group] : groups_) close_group(group);
}

void Listeners::close_group(Group& group) {
  for (const int fd : group.fds) ::close(fd);
  group.fds.clear();
}

Result<void> Listeners::reserve(const Plan::Address& address, const std::string& prefix, const std::vector<pid_t>& friends) {
  if (groups_.contains(address.text)) return {};
  const auto same = std::find_if(groups_.begin(), groups_.end(), [&](const auto& each) { return same_place(each.second, address, prefix); });
  if (same != groups_.end()) {
    Group group = same->second;
    group.text = address.text;
    for (int& fd : group.fds) fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    groups_[address.text] = std::move(group);
    return {};
  }
  return grow(address, 1, prefix, friends);
}

Result<void> Listeners::open(const Plan::Address& address, int slots, const std::string& prefix, const std::vector<pid_t>& friends) {
  if (Result<void> grown = grow(address, slots, prefix, friends); !grown) return grown;
  return begin_to_listen(address, groups_[address.text]);
}

// Makes sure that there are as many sockets, bound.
Result<void> Listeners::grow(const Plan::Address& address, int slots, const std::string& prefix, const std::vector<pid_t>& friends) {
  const auto known = groups_.find(address.text);
  if (known != groups_.end() && known->second.shared) return {};
  if (address.text.starts_with("unix:")) {
    Result<Group> group = open_unix(address, prefix);
    if (!group) return group.error();
    groups_[address.text] = std::move(group).value();
    return {};
  }
  Group group;
  if (known != groups_.end()) group = known->second;
  group.text = address.text;
  const size_t before = group.fds.size();
  Result<void> opened = open_ip(address, static_cast<size_t>(slots), friends, sockets_of_ours(), group);
  if (opened) {
    groups_[address.text] = std::move(group);
    return {};
  }
  for (size_t i = before; i < group.fds.size(); ++i) ::close(group.fds[i]);
  return opened;
}

SocketNames Listeners::sockets_of_ours() const {
  SocketNames names;
  for (const auto& [text, group] : groups_) {
    for (const int fd : group.fds) names.insert(socket_name(fd));
  }
  return names;
}

void Listeners::make_way(const std::vector<Plan::Address>& addresses) {
  std::vector<Listening> staying;
  for (const Plan::Address& address : addresses) {
    const auto found = groups_.find(address.text);
    if (found != groups_.end() && !found->second.fds.empty()) staying.push_back({address.text, found->second.fds.front()});
  }
  for (const auto& [text, group] : groups_) {
    if (group.fds.empty() || group.shared || (group.adopted && !owner_)) continue;
    const Listening* heir = heir_of(text, group.fds.front(), staying);
    if (heir == nullptr || groups_.at(heir->text).address == group.address) continue;  // the same sockets
    for (const int fd : group.fds) take_nobody_new(fd);
  }
}

void Listeners::adopt(const std::string& text, int fd) {
  Group& group = groups_[text];
  group.text = text;
  group.shared = text.starts_with("unix:");
  group.adopted = true;
  group.fds.push_back(fd);
  if (!group.shared) {
    group.address = take_apart(text).prefix + local_address(fd).text();
    return;
  }
  sockaddr_un bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) == 0) group.path = bound.sun_path;
  group.address = "unix:" + group.path;
}

void Listeners::own() {
  owner_ = true;
  for (const std::string& path : std::exchange(given_up_, {})) remove_safely(path);
}

void Listeners::abandon() {
  for (auto& [text, group] : groups_) close_group(group);
  groups_.clear();
}

void Listeners::give_up(const Group& group) {
  const auto has_path = [&group](const auto& each) { return each.second.path == group.path; };
  if (group.path.empty() || std::any_of(groups_.begin(), groups_.end(), has_path)) return;
  if (group.adopted && !owner_) {
    given_up_.push_back(group.path);
  } else {
    remove_safely(group.path);
  }
}

void Listeners::keep_only(const std::vector<Plan::Address>& addresses) {
  for (auto next = groups_.begin(); next != groups_.end();) {
    const auto named = [&](const Plan::Address& a) { return a.text == next->first; };
    if (std::any_of(addresses.begin(), addresses.end(), named)) {
      ++next;
      continue;
    }
    close_group(next->second);
    const Group gone = std::move(next->second);
    next = groups_.erase(next);
    give_up(gone);
  }
}

std::vector<Listening> Listeners::lent_to(int slot, int workers, const std::vector<Plan::Address>& addresses) const {
  std::vector<Listening> lent;
  for (const Plan::Address& address : addresses) {
    const auto found = groups_.find(address.text);
    if (found == groups_.end()) continue;
    const Group& group = found->second;
    for (size_t i = 0; i < group.fds.size(); ++i) {
      if (group.shared || static_cast<int>(i) % workers == slot) lent.push_back({address.text, group.fds[i]});
    }
  }
  return lent;
}

}  // namespace goma::core
