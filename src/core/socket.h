// SPDX-License-Identifier: Apache-2.0
//
// Socket addresses as values, networks (CIDR), and the few ways in which goma opens a socket.
//
// The invariant: an address has one form. An IPv4 address inside IPv6 (::ffff:a.b.c.d) becomes the IPv4 address
// wherever it comes from, and a number with a leading zero is no address, so that two spellings never disagree.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/descriptor.h"
#include "core/result.h"

namespace goma::core {

// An IPv4 or IPv6 address with a port, or the mark of a Unix socket (whose path is kept by whoever needs it).
class Address {
 public:
  enum class Family : uint8_t { none, ipv4, ipv6, unix_socket };
  static constexpr size_t max_ip_text = 48;  // an IPv6 address; not terminated
  static constexpr size_t max_text = 64;     // with brackets and port

  Address() = default;
  // "192.0.2.1" or "2001:db8::1" (a zone "%eth0" is understood); nothing for anything else.
  static std::optional<Address> parse_ip(std::string_view ip, uint16_t port = 0);
  // "ip:port", "[v6]:port", ":port" (all addresses, both families), "localhost:port", and without a port (also a bare
  // v6 address) when default_port is not 0. A port is 0 to 65535.
  static std::optional<Address> parse(std::string_view text, uint16_t default_port = 0);
  // A peer on a Unix socket.
  static Address unix_peer();
  static Address from_sockaddr(const sockaddr* address);
  // The length of what was written.
  socklen_t to_sockaddr(sockaddr_storage& into) const;

  Family family() const { return family_; }
  bool is_unix() const { return family_ == Family::unix_socket; }
  uint16_t port() const { return port_; }
  Address with_port(uint16_t port) const;
  // Whether it means every address of the machine.
  bool is_any() const;
  bool is_loopback() const;
  // The 16 bytes of the address, IPv4 as ::ffff:a.b.c.d.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }

  // Writes the address without port ("unix:" for a Unix socket); room for max_ip_text. Returns the length.
  size_t ip_text(char* into) const;
  // Writes "ip:port" or "[v6]:port"; room for max_text. Returns the length.
  size_t text(char* into) const;
  std::string ip_text() const;
  std::string text() const;

  bool operator==(const Address&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};
  uint32_t scope_ = 0;  // interface of a link-local address
  uint16_t port_ = 0;
  Family family_ = Family::none;
};
static_assert(sizeof(Address) <= 32);

// A network: "10.0.0.0/8", "2001:db8::/32", or a single address; or "unix:", the peers on Unix sockets.
class Cidr {
 public:
  // Host bits behind the prefix are allowed and ignored.
  static std::optional<Cidr> parse(std::string_view text);
  bool contains(const Address& address) const;
  bool operator==(const Cidr&) const = default;

 private:
  std::array<uint8_t, 16> first_{};
  uint8_t bits_ = 0;  // of 128; an IPv4 network has 96 or more
  bool unix_ = false;
};

struct ListenOptions {
  int backlog = 65535;       // the kernel takes less when it must
  bool reuse_port = true;    // several sockets of one user on one address
  bool defer_accept = true;  // a connection is shown when its first bytes are there
  bool listens = true;       // false: only bound, to see whether it can be; nobody is connected to it
};

// A nonblocking listening socket; the caller owns it. [::] also takes IPv4 and becomes 0.0.0.0 on a machine without
// IPv6. Error: refused, with errno in system (EADDRINUSE, EACCES, EADDRNOTAVAIL...).
Result<int> listen_on(const Address& address, const ListenOptions& options = {});
// The same on a Unix socket with this mode. A socket file that nobody listens on any more is replaced.
Result<int> listen_unix(const std::string& path, mode_t mode = 0660, int type = SOCK_STREAM);
// Whether listen_unix could have this path, asked without making anything. Error: refused, with errno in system.
Result<void> may_listen_unix(const std::string& path);
// A nonblocking UDP socket bound to the address, one of several of one user there; the caller owns it. On a wildcard
// address every datagram tells which address of the machine it was sent to (IP_PKTINFO, IPV6_PKTINFO). Error: as above.
Result<int> bind_datagrams(const Address& address);
// A nonblocking UDP socket that talks to one address; the caller owns it. Error: refused, with errno in system.
Result<int> connect_datagrams(const Address& address);
// A nonblocking connection, done or on its way; the caller owns it. TCP sends at once and probes after 30 s of
// silence. Error: refused, with errno in system.
Result<int> connect_nonblocking(const Address& address);
// A blocking connection to a Unix socket; the caller owns it. Where the listener's queue is full it waits, and so does a
// write later, at most this time (0 = for ever); then the error has EAGAIN in system.
Result<int> connect_unix(const std::string& path, int type = SOCK_STREAM, int64_t patience_ms = 0);
// The next connection, nonblocking; -1 with errno when there is none.
int accept_connection(int listening, Address& peer);

// What the socket is bound to (port filled in) and whom it talks to; family none when that fails.
Address local_address(int fd);
Address peer_address(int fd);

// Small messages leave at once.
void set_nodelay(int fd);
// The kernel takes no more than this many bytes that are not under way yet, beside what is: a peer that does not read
// costs little, one that reads fast is not slowed down. What a listening socket has, accepted ones inherit.
constexpr int most_unsent = 256 * 1024;
void limit_unsent(int fd);
// The kernel probes a silent peer after 30 s, then every 30 s.
void set_keepalive(int fd);

}  // namespace goma::core
