// SPDX-License-Identifier: Apache-2.0
//
// Binding. SO_REUSEPORT lets a stranger of the same user share a port silently, so before the first bind of an
// address the kernel's table of listening sockets is asked who is there already.
#include "core/listener.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sstream>

#include "core/process.h"
#include "core/safe_open.h"
#include "core/socket.h"

namespace goma::core {

namespace {

// --- who holds a port ------------------------------------------------------------------------------------------------

// The address as the kernel's tables write it: words of 32 bits in host order.
std::string kernel_hex(const Address& address) {
  const size_t first = address.family() == Address::Family::ipv4 ? 12 : 0;
  std::string hex;
  for (size_t at = first; at < 16; at += 4) {
    uint32_t word = 0;
    std::memcpy(&word, address.bytes().data() + at, sizeof word);
    hex += fmt::format("{:08X}", word);
  }
  return hex;
}

// Adds the inodes of sockets in this state, in one of the kernel's tables, that overlap this address.
void find_listeners(const char* table, std::string_view wanted, const Address& address, std::set<std::string>& inodes) {
  std::istringstream lines(process::read_small_file(table));
  const std::string mine = kernel_hex(address);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string number, local, remote, state, skipped, inode;
    words >> number >> local >> remote >> state;
    for (int i = 0; i < 5; ++i) words >> skipped;
    words >> inode;
    const size_t colon = local.find(':');
    if (state != wanted || colon == std::string::npos) continue;
    if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) != address.port()) continue;
    const std::string theirs = local.substr(0, colon);
    const bool everywhere = theirs.find_first_not_of('0') == std::string::npos;
    if (theirs == mine || everywhere || address.is_any()) inodes.insert("socket:[" + inode + "]");
  }
}

// Whether a process that we may look into has one of these sockets open.
bool holds(pid_t pid, const std::set<std::string>& inodes) {
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  DIR* descriptors = ::opendir(folder.c_str());
  bool found = false;
  while (const dirent* descriptor = descriptors != nullptr ? ::readdir(descriptors) : nullptr) {
    char target[64];
    const ssize_t n = ::readlink(fmt::format("{}/{}", folder, descriptor->d_name).c_str(), target, sizeof target);
    found = found || (n > 0 && inodes.contains(std::string(target, static_cast<size_t>(n))));
  }
  if (descriptors != nullptr) ::closedir(descriptors);
  return found;
}

// The first process, of those we may look into, that has one of these sockets open; 0 when there is none.
pid_t first_holder(const std::set<std::string>& inodes, const std::vector<pid_t>& friends) {
  DIR* processes = ::opendir("/proc");
  if (processes == nullptr) return 0;
  pid_t holder = 0;
  while (const dirent* entry = ::readdir(processes)) {
    const pid_t pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid <= 0 || holder != 0 || std::find(friends.begin(), friends.end(), pid) != friends.end()) continue;
    if (holds(pid, inodes)) holder = pid;
  }
  ::closedir(processes);
  return holder;
}

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

// The sockets that hold an address, as /proc names them.
std::set<std::string> sockets_at(const Address& address, bool udp) {
  std::set<std::string> inodes;
  if (address.port() == 0) return inodes;
  const std::string_view state = udp ? "07" : "0A";  // unconnected, listening
  find_listeners(udp ? "/proc/net/udp" : "/proc/net/tcp", state, address, inodes);
  find_listeners(udp ? "/proc/net/udp6" : "/proc/net/tcp6", state, address, inodes);
  return inodes;
}

std::set<std::string> sockets_at(const std::string& path) {
  std::set<std::string> inodes;
  std::istringstream lines(process::read_small_file("/proc/net/unix"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string skipped, inode, name;
    for (int i = 0; i < 6; ++i) words >> skipped;
    words >> inode >> name;
    if (name == path) inodes.insert("socket:[" + inode + "]");
  }
  return inodes;
}

pid_t stranger_at(const Address& address, bool udp, const std::vector<pid_t>& friends) {
  const std::set<std::string> inodes = sockets_at(address, udp);
  return inodes.empty() ? 0 : first_holder(inodes, friends);
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
  return listen_on(address, {.defer_accept = wanted.prefix.empty()});
}

// Opens what is missing up to `slots` sockets. The port of the first one holds for all.
Result<void> open_ip(const Plan::Address& address, size_t slots, const std::vector<pid_t>& friends, Listeners::Group& group) {
  const Wanted wanted = take_apart(address.text);
  std::optional<Address> end = group.fds.empty() ? Address::parse(wanted.rest) : local_address(group.fds.front());
  if (!end) return cannot_listen(address, address.text, std::strerror(EINVAL), EINVAL);
  const pid_t holder = group.fds.empty() ? stranger_at(*end, wanted.udp(), friends) : 0;
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

bool friends_hold(const std::set<std::string>& inodes, const std::vector<pid_t>& friends) {
  return std::any_of(friends.begin(), friends.end(), [&inodes](pid_t pid) { return holds(pid, inodes); });
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
  const std::set<std::string> inodes = sockets_at(*end, wanted.udp());
  if (const pid_t holder = inodes.empty() ? 0 : first_holder(inodes, friends); holder != 0) return in_use(address, *end, holder);
  if (friends_hold(inodes, friends)) return {};
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

Result<void> Listeners::open(const Plan::Address& address, int slots, const std::string& prefix, const std::vector<pid_t>& friends) {
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
  Result<void> opened = open_ip(address, static_cast<size_t>(slots), friends, group);
  if (opened) {
    groups_[address.text] = std::move(group);
    return {};
  }
  for (size_t i = before; i < group.fds.size(); ++i) ::close(group.fds[i]);
  return opened;
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
  if (group.path.empty()) return;
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
    give_up(next->second);
    next = groups_.erase(next);
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
