// SPDX-License-Identifier: Apache-2.0
//
// One socket per slot, one port for all of them, every socket served by exactly one worker, whatever their number.
#include "core/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/socket.h"
#include "check.h"

using goma::core::Listeners;
using goma::core::Listening;
using goma::core::Plan;

namespace {

const Plan::Address anywhere{"127.0.0.1:0", "goma.yml:1:1"};

uint16_t port_of(int fd) { return goma::core::local_address(fd).port(); }

void port_zero_is_one_port() {
  Listeners listeners;
  CHECK(listeners.open(anywhere, 3, "", {}).ok());
  const Listeners::Group& group = listeners.groups().at("127.0.0.1:0");
  CHECK_EQ(group.fds.size(), 3U);
  for (const int fd : group.fds) CHECK_EQ(port_of(fd), port_of(group.fds[0]));
  CHECK(port_of(group.fds[0]) != 0);
  CHECK_EQ(group.address, "127.0.0.1:" + std::to_string(port_of(group.fds[0])));
}

void every_socket_has_one_worker() {
  Listeners listeners;
  CHECK(listeners.open(anywhere, 5, "", {}).ok());
  for (int workers = 1; workers <= 7; ++workers) {
    std::multiset<int> served;
    for (int slot = 0; slot < workers; ++slot) {
      for (const Listening& lent : listeners.lent_to(slot, workers, {anywhere})) served.insert(lent.fd);
    }
    const std::set<int> distinct(served.begin(), served.end());
    CHECK_EQ(served.size(), 5U);
    CHECK_EQ(distinct.size(), 5U);
  }
}

void growing_keeps_the_port() {
  Listeners listeners;
  CHECK(listeners.open(anywhere, 1, "", {}).ok());
  const uint16_t port = port_of(listeners.groups().begin()->second.fds[0]);
  CHECK(listeners.open(anywhere, 4, "", {}).ok());
  CHECK(listeners.open(anywhere, 2, "", {}).ok());  // fewer: nothing is closed
  const Listeners::Group& group = listeners.groups().begin()->second;
  CHECK_EQ(group.fds.size(), 4U);
  for (const int fd : group.fds) CHECK_EQ(port_of(fd), port);
}

void a_strangers_port_is_refused_with_its_holder() {
  Listeners ours, theirs;
  CHECK(theirs.open(anywhere, 1, "", {}).ok());
  const uint16_t port = port_of(theirs.groups().begin()->second.fds[0]);
  const Plan::Address taken{"127.0.0.1:" + std::to_string(port), "goma.yml:5:16 (gateway.entryPoints.web.address)"};
  // Same user and SO_REUSEPORT on both sides: the kernel alone would share the port.
  const auto refused = ours.open(taken, 1, "", {});
  CHECK(!refused.ok());
  const std::string& text = refused.error().text;
  CHECK(text.find("[port-in-use]") != std::string::npos);
  CHECK(text.find("goma.yml:5:16") != std::string::npos);
  CHECK(text.find(std::to_string(::getpid())) != std::string::npos);
  CHECK(ours.groups().empty());
  CHECK(ours.open(taken, 1, "", {::getpid()}).ok());  // a friend may share
}

Plan::Address at_port(const std::string& host, uint16_t port) { return {host + ":" + std::to_string(port), ""}; }

bool listens(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0;
}

void what_is_reserved_is_given_nobody() {
  Listeners listeners;
  CHECK(listeners.reserve(anywhere, "", {}).ok());
  const Listeners::Group& group = listeners.groups().at("127.0.0.1:0");
  CHECK_EQ(group.fds.size(), 1U);
  CHECK(!listens(group.fds[0]));
  CHECK(listeners.open(anywhere, 2, "", {}).ok());
  for (const int fd : listeners.groups().at("127.0.0.1:0").fds) CHECK(listens(fd));
}

// Our own sockets are no strangers, whatever part of the address they have.
void an_address_may_move_and_keep_its_port() {
  Listeners listeners;
  CHECK(listeners.open(anywhere, 2, "", {}).ok());
  const uint16_t port = port_of(listeners.groups().begin()->second.fds[0]);
  for (const char* host : {"0.0.0.0", "127.0.0.1", "[::]", "", "[::1]"}) {
    if (*host != '0' && *host != '1' && !goma::core::listen_on(*goma::core::Address::parse("[::1]:0"), {.listens = false}).ok()) continue;
    CHECK(listeners.reserve(at_port(host, port), "", {}).ok());
    CHECK(listeners.open(at_port(host, port), 2, "", {}).ok());
  }
}

void the_same_place_in_other_words_has_the_same_sockets() {
  Listeners listeners;
  CHECK(listeners.open(anywhere, 2, "", {}).ok());
  const Listeners::Group& first = listeners.groups().begin()->second;
  const Plan::Address again = at_port("127.0.0.1", port_of(first.fds[0]));
  CHECK(listeners.reserve(again, "", {}).ok());
  const Listeners::Group& second = listeners.groups().at(again.text);
  CHECK_EQ(second.fds.size(), 2U);
  for (size_t i = 0; i < 2; ++i) CHECK_EQ(goma::core::socket_name(second.fds[i]), goma::core::socket_name(first.fds[i]));
}

int connect_to(uint16_t port) {
  const auto fd = goma::core::connect_nonblocking(*goma::core::Address::parse("127.0.0.1:" + std::to_string(port)));
  return fd.ok() ? fd.value() : -1;
}

int accepted_from(int listening) {
  goma::core::Address peer;
  return goma::core::accept_connection(listening, peer);
}

void who_makes_way_keeps_whom_it_has() {
  Listeners listeners;
  CHECK(listeners.open(anywhere, 1, "", {}).ok());
  const int old = listeners.groups().begin()->second.fds[0];
  const uint16_t port = port_of(old);
  const Plan::Address wide = at_port("0.0.0.0", port);
  CHECK(listeners.open(wide, 1, "", {}).ok());
  const int fresh = listeners.groups().at(wide.text).fds[0];
  const int before = connect_to(port);
  listeners.make_way({wide});
  const int after = connect_to(port);
  CHECK_EQ(::send(before, "x", 1, 0), 1);
  CHECK_EQ(::send(after, "x", 1, 0), 1);
  CHECK(accepted_from(old) >= 0);
  CHECK(accepted_from(old) < 0);
  CHECK(accepted_from(fresh) >= 0);
}

void addresses_overlap_where_a_packet_could_be_for_both() {
  const auto both = [](const char* one, const char* other) { return goma::core::overlap(*goma::core::Address::parse(one), *goma::core::Address::parse(other)); };
  CHECK(both("127.0.0.1:80", "127.0.0.1:80") && both("127.0.0.1:80", "0.0.0.0:80") && both("127.0.0.1:80", "[::]:80") && both("[::]:80", "[::1]:80"));
  CHECK(!both("127.0.0.1:80", "127.0.0.2:80") && !both("0.0.0.0:80", "[::1]:80") && !both("127.0.0.1:80", "0.0.0.0:81"));
}

// The port that UDP gets may be in use for TCP by somebody else: then another is tried.
void one_port_may_be_tcp_and_udp() {
  std::vector<std::unique_ptr<Listeners>> tried;
  Listeners others;
  uint16_t port = 0;
  while (others.groups().empty() && tried.size() < 50) {
    tried.push_back(std::make_unique<Listeners>());
    CHECK(tried.back()->open({"udp:127.0.0.1:0", ""}, 2, "", {}).ok());
    port = port_of(tried.back()->groups().at("udp:127.0.0.1:0").fds[0]);
    (void)others.open({"tcp:127.0.0.1:" + std::to_string(port), ""}, 1, "", {}).ok();
  }
  CHECK(!others.groups().empty());
  const Listeners::Group& group = tried.back()->groups().at("udp:127.0.0.1:0");
  CHECK_EQ(port_of(group.fds[1]), port);
  CHECK_EQ(group.address, "udp:127.0.0.1:" + std::to_string(port));
  int type = 0;
  socklen_t size = sizeof type;
  CHECK_EQ(::getsockopt(group.fds[0], SOL_SOCKET, SO_TYPE, &type, &size), 0);
  CHECK_EQ(type, SOCK_DGRAM);
  const std::string end = "127.0.0.1:" + std::to_string(port);
  const auto refused = others.open({"udp:" + end, "goma.yml:9:9"}, 1, "", {});
  CHECK(!refused.ok());
  CHECK(refused.error().text.find("-lunp") != std::string::npos);
  Listeners fresh;
  fresh.adopt("udp:127.0.0.1:0", ::dup(group.fds[0]));
  CHECK_EQ(fresh.groups().begin()->second.address, group.address);
}

void unix_sockets_are_shared_and_removed() {
  char directory[] = "/tmp/goma-unit-XXXXXX";
  CHECK(::mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/web.sock";
  const Plan::Address address{"unix:web.sock", ""};
  struct stat about {};
  {
    Listeners listeners;
    CHECK(listeners.open(address, 4, directory, {}).ok());
    CHECK_EQ(listeners.lent_to(0, 4, {address}).size(), 1U);
    CHECK_EQ(listeners.lent_to(3, 4, {address})[0].fd, listeners.lent_to(0, 4, {address})[0].fd);
    CHECK_EQ(::stat(path.c_str(), &about), 0);
    listeners.keep_only({});
    CHECK(::stat(path.c_str(), &about) != 0);
  }
  ::rmdir(directory);
}

void inherited_sockets_are_the_same_group() {
  Listeners old, fresh;
  CHECK(old.open(anywhere, 2, "", {}).ok());
  const Listeners::Group& group = old.groups().begin()->second;
  for (const int fd : group.fds) fresh.adopt("127.0.0.1:0", ::dup(fd));
  CHECK_EQ(fresh.groups().begin()->second.address, group.address);
  CHECK(fresh.open(anywhere, 3, "", {}).ok());
  CHECK_EQ(port_of(fresh.groups().begin()->second.fds[2]), port_of(group.fds[0]));
}

}  // namespace

GOMA_TESTS(port_zero_is_one_port, every_socket_has_one_worker, growing_keeps_the_port, a_strangers_port_is_refused_with_its_holder,
           one_port_may_be_tcp_and_udp,
           unix_sockets_are_shared_and_removed, inherited_sockets_are_the_same_group, what_is_reserved_is_given_nobody, an_address_may_move_and_keep_its_port,
           the_same_place_in_other_words_has_the_same_sockets, who_makes_way_keeps_whom_it_has, addresses_overlap_where_a_packet_could_be_for_both)
