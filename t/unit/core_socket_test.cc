// SPDX-License-Identifier: Apache-2.0
//
// Addresses and networks have one reading each; sockets come nonblocking, closed on exec, and shared by address.
#include "core/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "check.h"

using goma::core::Address;
using goma::core::Cidr;
using goma::core::Descriptor;
using goma::core::Result;
namespace core = goma::core;

namespace {

std::string reading(std::string_view text, uint16_t default_port = 0) {
  const std::optional<Address> address = Address::parse(text, default_port);
  return address ? address->text() : "none";
}

void addresses_are_read() {
  CHECK_EQ(reading("127.0.0.1:80"), "127.0.0.1:80");
  CHECK_EQ(reading("[2001:DB8:0:0::1]:443"), "[2001:db8::1]:443");
  CHECK_EQ(reading(":8080"), "[::]:8080");
  CHECK_EQ(reading("0.0.0.0:0"), "0.0.0.0:0");
  CHECK_EQ(reading("localhost:9"), "127.0.0.1:9");
  CHECK_EQ(reading("[::ffff:10.0.0.1]:80"), "10.0.0.1:80");
  CHECK_EQ(reading("[fe80::1%1]:80"), "[fe80::1]:80");
  CHECK_EQ(reading("9.9.9.9", 53), "9.9.9.9:53");
  CHECK_EQ(reading("2620:fe::fe", 53), "[2620:fe::fe]:53");
  CHECK_EQ(reading("[2620:fe::fe]:5353", 53), "[2620:fe::fe]:5353");
}

void other_texts_are_no_addresses() {
  for (const std::string_view text : {"", ":", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 80", "010.0.0.1:80",
                                      "10.0.1:80", "0x7f.0.0.1:80", "256.0.0.1:80", "1.2.3.4.5:80", "::1:80", "[::1]", "[::1]80", "[::1", "[127.0.0.1]:80", "[fe80::1%]:80",
                                      "example.org:80", " 127.0.0.1:80", "127.0.0.1:80 ", "unix:/x"}) {
    CHECK_EQ(fmt::format("{} {}", text, reading(text)), fmt::format("{} none", text));
  }
  CHECK(!Address::parse_ip(std::string_view("1.2.3.4\0", 8)));
}

void addresses_pass_through_sockaddr() {
  for (const std::string_view text : {"192.0.2.1:80", "[2001:db8::1]:443"}) {
    const Address address = *Address::parse(text);
    sockaddr_storage storage;
    CHECK(address.to_sockaddr(storage) > 0);
    CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage)) == address);
  }
  sockaddr_in6 mapped{};
  mapped.sin6_family = AF_INET6;
  mapped.sin6_port = htons(80);
  ::inet_pton(AF_INET6, "::ffff:192.0.2.1", &mapped.sin6_addr);
  CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&mapped)) == *Address::parse("192.0.2.1:80"));
}

void kinds_of_addresses() {
  CHECK(Address::parse(":80")->is_any());
  CHECK(Address::parse("0.0.0.0:80")->is_any());
  CHECK(!Address::parse("0.0.0.1:80")->is_any());
  CHECK(Address::parse_ip("127.9.9.9")->is_loopback());
  CHECK(Address::parse_ip("::1")->is_loopback());
  CHECK(!Address::parse_ip("2001::1")->is_loopback());
  CHECK_EQ(Address().text(), "");
}

bool inside(std::string_view network, std::string_view ip) {
  const std::optional<Cidr> cidr = Cidr::parse(network);
  CHECK(cidr.has_value());
  return cidr->contains(*Address::parse_ip(ip));
}

void networks_contain() {
  CHECK(inside("10.0.0.0/8", "10.255.0.1"));
  CHECK(!inside("10.0.0.0/8", "11.0.0.0"));
  CHECK(inside("10.1.2.3/8", "10.9.9.9"));
  CHECK(inside("192.0.2.128/25", "192.0.2.255"));
  CHECK(!inside("192.0.2.128/25", "192.0.2.127"));
  CHECK(inside("192.0.2.1", "192.0.2.1"));
  CHECK(!inside("192.0.2.1", "192.0.2.2"));
  CHECK(inside("0.0.0.0/0", "255.255.255.255"));
  CHECK(!inside("0.0.0.0/0", "::1"));
  CHECK(inside("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK(!inside("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(inside("::/0", "2001::1"));
  CHECK(!inside("::/0", "192.0.2.1"));
  CHECK(inside("::ffff:10.0.0.0/104", "10.1.2.3"));
  CHECK(inside("10.0.0.0/8", "::ffff:10.1.2.3"));
  CHECK(!Cidr::parse("10.0.0.0/8")->contains(Address()));
}

void other_texts_are_no_networks() {
  for (const std::string_view text : {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0/8", "010.0.0.0/8", "::/129", "::1%lo/128", "10.0.0.0/0008", "x/8"}) {
    CHECK_EQ(fmt::format("{} {}", text, Cidr::parse(text).has_value()), fmt::format("{} false", text));
  }
}

struct Listening {
  Listening() : fd(core::listen_on(*Address::parse("127.0.0.1:0"), {16, true, false}).value()), address(core::local_address(fd.get())) {}
  Descriptor fd;
  Address address;
};

bool wait_for_input(int fd) {
  pollfd asked{fd, POLLIN, 0};
  return ::poll(&asked, 1, 5000) == 1;
}

void connections_meet() {
  const Listening server;
  CHECK(server.address.port() != 0);
  const Descriptor client(core::connect_nonblocking(server.address).value());
  CHECK(wait_for_input(server.fd.get()));
  Address peer;
  const Descriptor accepted(core::accept_connection(server.fd.get(), peer));
  CHECK(accepted);
  CHECK(peer == core::local_address(client.get()));
  CHECK(core::peer_address(accepted.get()) == peer);
  for (const int fd : {client.get(), accepted.get(), server.fd.get()}) {
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
  int value = 0;
  socklen_t length = sizeof value;
  CHECK_EQ(::getsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
  CHECK_EQ(value, 1);
  CHECK_EQ(::getsockopt(client.get(), IPPROTO_TCP, TCP_KEEPIDLE, &value, &length), 0);
  CHECK_EQ(value, 30);
  CHECK_EQ(core::accept_connection(server.fd.get(), peer), -1);
  CHECK_EQ(errno, EAGAIN);
}

void one_address_for_several_sockets_or_for_one() {
  const Listening first;
  const Result<int> second = core::listen_on(first.address);
  CHECK(second.ok());
  const Descriptor owned(second.value());
  const Result<int> third = core::listen_on(first.address, {16, false, false});
  CHECK(!third.ok());
  CHECK_EQ(third.error().system, EADDRINUSE);
  CHECK(third.error().text.find(first.address.text()) != std::string::npos);
}

void the_any_address_takes_both_families() {
  const Descriptor server(core::listen_on(*Address::parse(":0"), {16, false, false}).value());
  const Address bound = core::local_address(server.get());
  const Descriptor client(core::connect_nonblocking(*Address::parse_ip("127.0.0.1", bound.port())).value());
  CHECK(wait_for_input(server.get()));
  Address peer;
  const Descriptor accepted(core::accept_connection(server.get(), peer));
  CHECK(accepted);
  CHECK_EQ(peer.ip_text(), "127.0.0.1");
}

void unix_sockets_replace_only_dead_ones() {
  char directory[] = "/tmp/goma-socket-XXXXXX";
  CHECK(::mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/s";
  Descriptor server(core::listen_unix(path, 0600).value());
  struct stat status {};
  CHECK_EQ(::stat(path.c_str(), &status), 0);
  CHECK_EQ(status.st_mode & 0777, 0600u);
  const Descriptor client(core::connect_unix(path).value());
  Address peer;
  const Descriptor accepted(core::accept_connection(server.get(), peer));
  CHECK(peer.is_unix());
  CHECK_EQ(peer.ip_text(), "unix:");
  CHECK_EQ(core::listen_unix(path).error().system, EADDRINUSE);
  server.reset();
  const Result<int> again = core::listen_unix(path);
  CHECK(again.ok());
  ::close(again.value());
  ::unlink(path.c_str());
  ::rmdir(directory);
  CHECK(!core::listen_unix("/tmp/" + std::string(200, 'x')).ok());
}

void descriptors_close_once() {
  int ends[2];
  CHECK_EQ(::pipe2(ends, O_CLOEXEC), 0);
  {
    Descriptor one(ends[0]);
    Descriptor two(std::move(one));
    CHECK(!one);
    one = std::move(two);
    CHECK_EQ(one.get(), ends[0]);
    one.reset(ends[1]);
    CHECK_EQ(::fcntl(ends[0], F_GETFD), -1);
    CHECK_EQ(one.release(), ends[1]);
  }
  CHECK(::fcntl(ends[1], F_GETFD) >= 0);
  ::close(ends[1]);
}

}  // namespace

GOMA_TESTS(addresses_are_read, other_texts_are_no_addresses, addresses_pass_through_sockaddr, kinds_of_addresses, networks_contain,
           other_texts_are_no_networks, connections_meet, one_address_for_several_sockets_or_for_one, the_any_address_takes_both_families,
           unix_sockets_replace_only_dead_ones, descriptors_close_once)
