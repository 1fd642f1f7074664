// SPDX-License-Identifier: Apache-2.0
//
// The tables do not tell which IPv6 sockets keep to IPv6. Where that is the question, the kernel is asked by binding without
// SO_REUSEPORT: whatever overlaps then is in the way.
#include "core/port_holder.h"

#include <dirent.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>

#include "core/process.h"

namespace goma::core {

namespace {

using Family = Address::Family;

std::string name_of_inode(const std::string& inode) { return "socket:[" + inode + "]"; }

// An end as the kernel's tables write it, "0100007F:1F90": words of 32 bits in host order, then the port.
std::optional<Address> read_end(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon != 8 && colon != 32) return std::nullopt;
  unsigned char bytes[16];
  for (size_t at = 0; at < colon; at += 8) {
    const auto word = static_cast<uint32_t>(std::strtoul(text.substr(at, 8).c_str(), nullptr, 16));
    std::memcpy(bytes + at / 2, &word, sizeof word);
  }
  const auto port = static_cast<in_port_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 16));
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v4.sin_port = v6.sin6_port = htons(port);
  std::memcpy(&v4.sin_addr, bytes, sizeof v4.sin_addr);
  std::memcpy(&v6.sin6_addr, bytes, sizeof v6.sin6_addr);
  return Address::from_sockaddr(colon == 8 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6));
}

bool may_keep_to_ipv6(const Address& theirs, const Address& wanted) {
  return theirs.family() == Family::ipv6 && wanted.family() == Family::ipv4;
}

// Adds the sockets of one table that overlap the address; `certain` when there is no doubt about one of them.
void find_sockets(const char* table, bool udp, const Address& address, const SocketNames& ours, SocketNames& found, bool& certain) {
  const std::string_view wanted = udp ? "07" : "0A";  // unconnected, listening
  std::istringstream lines(process::read_small_file(table));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, local, remote, state, skipped, inode;
    words >> number >> local >> remote >> state;
    for (int i = 0; i < 5; ++i) words >> skipped;
    words >> inode;
    const std::optional<Address> theirs = state == wanted ? read_end(local) : std::nullopt;
    if (!theirs || !overlap(*theirs, address) || ours.contains(name_of_inode(inode))) continue;
    found.insert(name_of_inode(inode));
    certain = certain || !may_keep_to_ipv6(*theirs, address);
  }
}

bool binds_alone(const Address& address, bool udp) {
  const Descriptor socket(::socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  sockaddr_storage storage;
  const socklen_t length = address.to_sockaddr(storage);
  const int on = 1;
  if (!udp) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // connections that have ended are no matter
  return socket && ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&storage), length) == 0;
}

}  // namespace

std::string socket_name(int fd) {
  struct stat about {};
  return ::fstat(fd, &about) == 0 ? name_of_inode(fmt::format("{}", about.st_ino)) : "";
}

bool overlap(const Address& one, const Address& other) {
  if (one.port() != other.port()) return false;
  if (one.family() == other.family()) return one.is_any() || other.is_any() || one.bytes() == other.bytes();
  return (one.family() == Family::ipv6 ? one : other).is_any();
}

SocketNames sockets_at(const Address& address, bool udp, const SocketNames& ours) {
  SocketNames found;
  bool certain = false;
  if (address.port() == 0) return found;
  find_sockets(udp ? "/proc/net/udp" : "/proc/net/tcp", udp, address, ours, found, certain);
  find_sockets(udp ? "/proc/net/udp6" : "/proc/net/tcp6", udp, address, ours, found, certain);
  return found.empty() || certain || !binds_alone(address, udp) ? found : SocketNames();
}

SocketNames sockets_at(const std::string& path) {
  SocketNames found;
  std::istringstream lines(process::read_small_file("/proc/net/unix"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string skipped, inode, name;
    for (int i = 0; i < 6; ++i) words >> skipped;
    words >> inode >> name;
    if (name == path) found.insert(name_of_inode(inode));
  }
  return found;
}

bool holds(pid_t pid, const SocketNames& sockets) {
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  DIR* descriptors = ::opendir(folder.c_str());
  bool found = false;
  while (const dirent* descriptor = descriptors != nullptr ? ::readdir(descriptors) : nullptr) {
    char target[64];
    const ssize_t n = ::readlink(fmt::format("{}/{}", folder, descriptor->d_name).c_str(), target, sizeof target);
    found = found || (n > 0 && sockets.contains(std::string(target, static_cast<size_t>(n))));
  }
  if (descriptors != nullptr) ::closedir(descriptors);
  return found;
}

pid_t first_holder(const SocketNames& sockets, const std::vector<pid_t>& friends) {
  DIR* processes = sockets.empty() ? nullptr : ::opendir("/proc");
  if (processes == nullptr) return 0;
  pid_t holder = 0;
  while (const dirent* entry = ::readdir(processes)) {
    const pid_t pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid <= 0 || holder != 0 || std::find(friends.begin(), friends.end(), pid) != friends.end()) continue;
    if (holds(pid, sockets)) holder = pid;
  }
  ::closedir(processes);
  return holder;
}

}  // namespace goma::core
