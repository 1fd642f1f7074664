// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing addresses with inet_pton and inet_ntop, which refuse octal and short forms, and the system
// calls around them. Printing allocates nothing.
#include "core/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "core/safe_open.h"
#include "core/text.h"

namespace goma::core {

namespace {

constexpr int keepalive_seconds = 30;
constexpr int datagram_buffer = 4 * 1024 * 1024;  // the kernel takes less when it must
constexpr std::array<uint8_t, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// inet_pton wants a terminated text.
bool to_binary(int family, std::string_view text, void* into) {
  char copy[Address::max_ip_text];
  if (text.empty() || text.size() >= sizeof copy) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return ::inet_pton(family, copy, into) == 1 && std::strlen(copy) == text.size();
}

// The number of an interface given by name or number; 0 when there is none.
uint32_t scope_of(std::string_view zone) {
  if (const std::optional<uint64_t> number = parse_u64(zone)) return *number <= UINT32_MAX ? static_cast<uint32_t>(*number) : 0;
  char name[IF_NAMESIZE];
  if (zone.empty() || zone.size() >= sizeof name) return 0;
  std::memcpy(name, zone.data(), zone.size());
  name[zone.size()] = '\0';
  return ::if_nametoindex(name);
}

std::optional<uint16_t> parse_port(std::string_view text) {
  const std::optional<uint64_t> number = parse_u64(text);
  if (!number || *number > 65535) return std::nullopt;
  return static_cast<uint16_t>(*number);
}

Error refused(std::string text, int number) { return Error::from_errno(Code::refused, std::move(text), number); }

void set_option(int fd, int level, int option, int value) {
  static_cast<void>(::setsockopt(fd, level, option, &value, sizeof value));  // advice: the socket works without
}

int open_socket(Address::Family family, int type) {
  const int domain = family == Address::Family::ipv4 ? AF_INET : AF_INET6;
  return ::socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

Result<int> bind_and_listen(Descriptor socket, const Address& address, const ListenOptions& options) {
  set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port) set_option(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (address.family() == Address::Family::ipv6) set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, address.is_any() ? 0 : 1);
  if (options.defer_accept) set_option(socket.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
  sockaddr_storage storage;
  const socklen_t length = address.to_sockaddr(storage);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) return refused("cannot bind " + address.text(), errno);
  if (options.listens && ::listen(socket.get(), options.backlog) != 0) return refused("cannot listen on " + address.text(), errno);
  return socket.release();
}

bool unix_address(const std::string& path, sockaddr_un& into) {
  into = {};
  into.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof into.sun_path) return false;
  std::memcpy(into.sun_path, path.data(), path.size());
  return true;
}

// Whether this is a socket on which nobody listens. Asked without waiting: a listener whose queue is full is one.
bool is_stale_socket(const Spot& spot, int type) {
  const std::optional<struct stat> about = spot.look();
  if (!about || !S_ISSOCK(about->st_mode)) return false;
  const Result<int> attempt = connect_unix(spot.path(), type | SOCK_NONBLOCK);
  if (attempt.ok()) {
    ::close(attempt.value());
    return false;
  }
  return attempt.error().system == ECONNREFUSED;
}

}  // namespace

// ---------------------------------------------------------------- addresses

std::optional<Address> Address::parse_ip(std::string_view ip, uint16_t port) {
  Address address;
  address.port_ = port;
  if (to_binary(AF_INET, ip, address.bytes_.data() + 12)) {
    std::copy(mapped_prefix.begin(), mapped_prefix.end(), address.bytes_.begin());
    address.family_ = Family::ipv4;
    return address;
  }
  const size_t percent = ip.find('%');
  if (!to_binary(AF_INET6, ip.substr(0, percent), address.bytes_.data())) return std::nullopt;
  if (percent != std::string_view::npos) {
    address.scope_ = scope_of(ip.substr(percent + 1));
    if (address.scope_ == 0) return std::nullopt;
  }
  const bool mapped = std::equal(mapped_prefix.begin(), mapped_prefix.end(), address.bytes_.begin());
  address.family_ = mapped ? Family::ipv4 : Family::ipv6;
  return address;
}

std::optional<Address> Address::parse(std::string_view text, uint16_t default_port) {
  if (default_port != 0) {
    if (std::optional<Address> bare = parse_ip(text, default_port)) return bare;
  }
  std::string_view ip;
  std::string_view rest;
  if (!text.empty() && text.front() == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    ip = text.substr(1, end - 1);
    rest = text.substr(end + 1);
    if (ip.find(':') == std::string_view::npos) return std::nullopt;
  } else {
    const size_t colon = std::min(text.find(':'), text.size());
    ip = text.substr(0, colon);
    rest = text.substr(colon);
  }
  std::optional<uint16_t> port;
  if (!rest.empty() && rest.front() == ':') port = parse_port(rest.substr(1));
  if (rest.empty() && default_port != 0) port = default_port;
  if (!port) return std::nullopt;
  if (ip.empty()) ip = "::";
  if (iequals(ip, "localhost")) ip = "127.0.0.1";
  return parse_ip(ip, *port);
}

Address Address::from_sockaddr(const sockaddr* source) {
  Address address;
  if (source->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, source, sizeof v4);
    std::copy(mapped_prefix.begin(), mapped_prefix.end(), address.bytes_.begin());
    std::memcpy(address.bytes_.data() + 12, &v4.sin_addr, 4);
    address.port_ = ntohs(v4.sin_port);
    address.family_ = Family::ipv4;
  } else if (source->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, source, sizeof v6);
    std::memcpy(address.bytes_.data(), &v6.sin6_addr, 16);
    address.port_ = ntohs(v6.sin6_port);
    address.scope_ = v6.sin6_scope_id;
    const bool mapped = std::equal(mapped_prefix.begin(), mapped_prefix.end(), address.bytes_.begin());
    address.family_ = mapped ? Family::ipv4 : Family::ipv6;
  } else if (source->sa_family == AF_UNIX) {
    address.family_ = Family::unix_socket;
  }
  return address;
}

socklen_t Address::to_sockaddr(sockaddr_storage& into) const {
  std::memset(&into, 0, sizeof into);
  if (family_ == Family::ipv4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(into);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port_);
    std::memcpy(&v4.sin_addr, bytes_.data() + 12, 4);
    return sizeof v4;
  }
  if (family_ == Family::ipv6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(into);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port_);
    v6.sin6_scope_id = scope_;
    std::memcpy(&v6.sin6_addr, bytes_.data(), 16);
    return sizeof v6;
  }
  return 0;
}

Address Address::unix_peer() {
  Address address;
  address.family_ = Family::unix_socket;
  return address;
}

Address Address::with_port(uint16_t port) const {
  Address other = *this;
  other.port_ = port;
  return other;
}

bool Address::is_any() const {
  const size_t from = family_ == Family::ipv4 ? 12 : 0;
  return std::all_of(bytes_.begin() + static_cast<ptrdiff_t>(from), bytes_.end(), [](uint8_t b) { return b == 0; });
}

bool Address::is_loopback() const {
  if (family_ == Family::ipv4) return bytes_[12] == 127;
  return family_ == Family::ipv6 && bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; });
}

size_t Address::ip_text(char* into) const {
  if (family_ == Family::ipv4) {
    char* out = into;
    for (size_t i = 12; i < 16; ++i) {
      if (i != 12) *out++ = '.';
      out = std::to_chars(out, out + 3, bytes_[i]).ptr;
    }
    return static_cast<size_t>(out - into);
  }
  if (family_ == Family::ipv6) {
    char buffer[INET6_ADDRSTRLEN];
    ::inet_ntop(AF_INET6, bytes_.data(), buffer, sizeof buffer);
    const size_t n = std::strlen(buffer);
    std::memcpy(into, buffer, n);
    return n;
  }
  const std::string_view word = is_unix() ? "unix:" : "";
  word.copy(into, word.size());
  return word.size();
}

size_t Address::text(char* into) const {
  char* out = into;
  if (family_ == Family::ipv6) *out++ = '[';
  out += ip_text(out);
  if (family_ == Family::ipv6) *out++ = ']';
  if (family_ != Family::ipv4 && family_ != Family::ipv6) return static_cast<size_t>(out - into);
  *out++ = ':';
  out = std::to_chars(out, out + 5, port_).ptr;
  return static_cast<size_t>(out - into);
}

std::string Address::ip_text() const {
  char buffer[max_ip_text];
  return std::string(buffer, ip_text(buffer));
}

std::string Address::text() const {
  char buffer[max_text];
  return std::string(buffer, text(buffer));
}

// ---------------------------------------------------------------- networks

std::optional<Cidr> Cidr::parse(std::string_view text) {
  if (text == "unix:") {
    Cidr peers;
    peers.unix_ = true;
    return peers;
  }
  const size_t slash = text.find('/');
  const std::string_view ip = text.substr(0, slash);
  if (ip.find('%') != std::string_view::npos) return std::nullopt;
  const std::optional<Address> address = Address::parse_ip(ip);
  if (!address) return std::nullopt;
  // ::ffff:10.0.0.0/104 counts from the front of the IPv6 form it is written in.
  const bool written_as_v4 = ip.find(':') == std::string_view::npos;
  uint64_t bits = 128;
  if (slash != std::string_view::npos) {
    const std::string_view number = text.substr(slash + 1);
    const std::optional<uint64_t> given = parse_u64(number);
    if (!given || number.size() > 3 || *given > (written_as_v4 ? 32U : 128U)) return std::nullopt;
    bits = *given + (written_as_v4 ? 96 : 0);
  }
  Cidr cidr;
  cidr.first_ = address->bytes();
  cidr.bits_ = static_cast<uint8_t>(bits);
  for (size_t bit = cidr.bits_; bit < 128; ++bit) cidr.first_[bit / 8] &= static_cast<uint8_t>(~(0x80U >> (bit % 8)));
  return cidr;
}

bool Cidr::contains(const Address& address) const {
  if (unix_ || address.is_unix()) return unix_ && address.is_unix();
  if (address.family() != Address::Family::ipv4 && address.family() != Address::Family::ipv6) return false;
  // 0::/0 speaks of IPv6 only: an IPv4 address is inside an IPv4 network or nowhere.
  if (address.family() == Address::Family::ipv4 && bits_ < 96) return false;
  const std::array<uint8_t, 16>& bytes = address.bytes();
  const size_t whole = bits_ / 8;
  if (std::memcmp(bytes.data(), first_.data(), whole) != 0) return false;
  const unsigned rest = bits_ % 8;
  return rest == 0 || ((bytes[whole] ^ first_[whole]) & (0xff00U >> rest) & 0xffU) == 0;
}

// ---------------------------------------------------------------- sockets

Result<int> listen_on(const Address& address, const ListenOptions& options) {
  Descriptor socket(open_socket(address.family(), SOCK_STREAM));
  const bool no_v6 = !socket && errno == EAFNOSUPPORT && address.family() == Address::Family::ipv6 && address.is_any();
  if (no_v6) return listen_on(*Address::parse_ip("0.0.0.0", address.port()), options);
  if (!socket) return refused("cannot open a socket", errno);
  return bind_and_listen(std::move(socket), address, options);
}

Result<int> bind_datagrams(const Address& address) {
  Descriptor socket(open_socket(address.family(), SOCK_DGRAM));
  const bool no_v6 = !socket && errno == EAFNOSUPPORT && address.family() == Address::Family::ipv6 && address.is_any();
  if (no_v6) return bind_datagrams(*Address::parse_ip("0.0.0.0", address.port()));
  if (!socket) return refused("cannot open a socket", errno);
  set_option(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  set_option(socket.get(), SOL_SOCKET, SO_RCVBUF, datagram_buffer);
  if (address.family() == Address::Family::ipv6) set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, address.is_any() ? 0 : 1);
  if (address.is_any()) {
    set_option(socket.get(), IPPROTO_IP, IP_PKTINFO, 1);
    if (address.family() == Address::Family::ipv6) set_option(socket.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  }
  sockaddr_storage storage;
  const socklen_t length = address.to_sockaddr(storage);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) return refused("cannot bind " + address.text(), errno);
  return socket.release();
}

Result<int> connect_datagrams(const Address& address) {
  Descriptor socket(open_socket(address.family(), SOCK_DGRAM));
  if (!socket) return refused("cannot open a socket", errno);
  sockaddr_storage storage;
  const socklen_t length = address.to_sockaddr(storage);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0) return refused("cannot connect to " + address.text(), errno);
  return socket.release();
}

Result<int> listen_unix(const std::string& path, mode_t mode, int type) {
  sockaddr_un address;
  if (!unix_address(path, address)) return refused("the path of a socket has 1 to 107 bytes, not " + std::to_string(path.size()), ENAMETOOLONG);
  Descriptor socket(::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return refused("cannot open a socket", errno);
  const Result<Spot> spot = Spot::find(path);
  if (!spot.ok()) return spot.error();
  if (is_stale_socket(spot.value(), type)) spot.value().remove();
  // Nobody may slip in between bind and chmod.
  const mode_t before = ::umask(static_cast<mode_t>(~mode & 0777));
  const int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  const int why = errno;
  ::umask(before);
  if (bound != 0) return refused("cannot bind " + path, why);
  if (::listen(socket.get(), SOMAXCONN) != 0) return refused("cannot listen on " + path, errno);
  return socket.release();
}

Result<void> may_listen_unix(const std::string& path) {
  sockaddr_un address;
  if (!unix_address(path, address)) return refused("the path of a socket has 1 to 107 bytes, not " + std::to_string(path.size()), ENAMETOOLONG);
  const Result<Spot> spot = Spot::find(path);
  if (!spot.ok()) return spot.error();
  if (spot.value().look() && !is_stale_socket(spot.value(), SOCK_STREAM)) return refused("cannot bind " + path, EADDRINUSE);
  return spot.value().may_replace();
}

Result<int> connect_nonblocking(const Address& address) {
  Descriptor socket(open_socket(address.family(), SOCK_STREAM));
  if (!socket) return refused("cannot open a socket", errno);
  set_nodelay(socket.get());
  limit_unsent(socket.get());
  set_keepalive(socket.get());
  sockaddr_storage storage;
  const socklen_t length = address.to_sockaddr(storage);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0 && errno != EINPROGRESS) {
    return refused("cannot connect to " + address.text(), errno);
  }
  return socket.release();
}

Result<int> connect_unix(const std::string& path, int type, int64_t patience_ms) {
  sockaddr_un address;
  if (!unix_address(path, address)) return refused("the path of a socket has 1 to 107 bytes, not " + std::to_string(path.size()), ENAMETOOLONG);
  Descriptor socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!socket) return refused("cannot open a socket", errno);
  const timeval patience{patience_ms / 1000, static_cast<suseconds_t>(patience_ms % 1000 * 1000)};
  if (patience_ms > 0) ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return refused("cannot connect to " + path, errno);
  return socket.release();
}

int accept_connection(int listening, Address& peer) {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  storage.ss_family = AF_UNSPEC;
  const int fd = ::accept4(listening, reinterpret_cast<sockaddr*>(&storage), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) peer = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage));
  return fd;
}

Address local_address(int fd) {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage));
}

Address peer_address(int fd) {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage));
}

void set_nodelay(int fd) { set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

void limit_unsent(int fd) { set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, most_unsent); }

void set_keepalive(int fd) {
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_seconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_seconds);
}

}  // namespace goma::core
