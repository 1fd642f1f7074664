// SPDX-License-Identifier: Apache-2.0
//
// One object per connection, one request at a time, everything buffered in strings.
#include "demo_backend.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "core/log.h"
#include "core/loop.h"
#include "core/socket.h"
#include "core/text.h"

namespace goma {

namespace {

using core::Address;
using core::Descriptor;
using core::Loop;

constexpr uint64_t max_bytes = uint64_t{1} << 30;

struct Server;

struct Connection {
  Connection(Server& owner, int fd);
  void on_ready(unsigned ready);
  void on_slow() { send(std::exchange(slow_answer, {})); }
  bool read();
  void serve();
  void answer(const std::string& method, const std::string& target, const std::string& body);
  void send(std::string text);
  void flush();

  Server& server;
  Descriptor socket;
  core::Watch watch;
  core::Timer slow;
  std::string in, out, slow_answer;
  size_t filler = 0;  // bytes of /bytes/N still to be sent
  bool last = false;  // close when everything is out
};

struct Server {
  Server(Loop& on, int fd, std::string called) : loop(on), listening(fd), name(std::move(called)) {
    watch.open_level<&Server::on_connection>(loop, fd, this);
    sweep.bind<&Server::on_sweep>(this);
    terminate.open<&Server::on_signal>(loop, SIGTERM, this);
    interrupt.open<&Server::on_signal>(loop, SIGINT, this);
  }
  void on_connection(unsigned) {
    Address peer;
    const int fd = core::accept_connection(listening.get(), peer);
    if (fd < 0) return;
    core::set_nodelay(fd);
    auto connection = std::make_unique<Connection>(*this, fd);
    connections[connection.get()] = std::move(connection);
  }
  void drop(Connection* connection) {
    const auto found = connections.find(connection);
    if (found == connections.end()) return;
    connection->watch.close();
    gone.push_back(std::move(found->second));
    connections.erase(found);
    loop.defer(sweep);
  }
  void on_sweep() { gone.clear(); }
  void on_signal(int) { loop.stop(); }

  Loop& loop;
  Descriptor listening;
  std::string name;
  core::Watch watch;
  core::Signal terminate, interrupt;
  core::Deferred sweep;
  std::map<Connection*, std::unique_ptr<Connection>> connections;
  std::vector<std::unique_ptr<Connection>> gone;
};

Connection::Connection(Server& owner, int fd) : server(owner), socket(fd) {
  slow.bind<&Connection::on_slow>(server.loop, this);
  watch.open<&Connection::on_ready>(server.loop, fd, this);
}

void Connection::on_ready(unsigned ready) {
  if (ready & core::ready_write) flush();
  if (!read()) return server.drop(this);
  serve();
}

// False when the client is gone.
bool Connection::read() {
  char block[65536];
  for (;;) {
    const ssize_t n = ::recv(socket.get(), block, sizeof block, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    in.append(block, static_cast<size_t>(n));
  }
}

// The value of a field in a head, "" when it is not there.
std::string_view field(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && core::iequals(line.substr(0, colon), name)) return core::trim(line.substr(colon + 1));
    if (end == std::string_view::npos) break;
    head.remove_prefix(end + 2);
  }
  return {};
}

// Takes a chunked body from the front of `in`; false while it is incomplete.
bool take_chunked(std::string& in, size_t at, std::string& body) {
  for (;;) {
    const size_t line = in.find("\r\n", at);
    if (line == std::string::npos) return false;
    const size_t size = std::strtoul(in.c_str() + at, nullptr, 16);
    at = line + 2;
    if (in.size() < at + size + 2) return false;
    body.append(in, at, size);
    at += size + 2;
    if (size == 0) break;
  }
  in.erase(0, at);
  return true;
}

void Connection::serve() {
  while (out.empty() && filler == 0 && slow_answer.empty()) {
    const size_t end = in.find("\r\n\r\n");
    if (end == std::string::npos) return;
    const std::string head = in.substr(0, end);
    std::string body;
    if (core::iequals(field(head, "transfer-encoding"), "chunked")) {
      if (!take_chunked(in, end + 4, body)) return;
    } else {
      const size_t length = std::strtoul(std::string(field(head, "content-length")).c_str(), nullptr, 10);
      if (in.size() < end + 4 + length) return;
      body = in.substr(end + 4, length);
      in.erase(0, end + 4 + length);
    }
    const size_t first = head.find(' '), second = head.find(' ', first + 1);
    if (first == std::string::npos || second == std::string::npos) return server.drop(this);
    last = core::iequals(field(head, "connection"), "close");
    answer(head.substr(0, first), head.substr(first + 1, second - first - 1), body);
  }
}

std::string response(std::string_view type, size_t length, bool last) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}\r\n", type, length, last ? "Connection: close\r\n" : "");
}

void Connection::answer(const std::string& method, const std::string& target, const std::string& body) {
  const std::string path = target.substr(0, target.find('?'));
  const bool head_only = method == "HEAD";
  if (path == "/echo") return send(response("application/octet-stream", body.size(), last) + (head_only ? "" : body));
  if (path.starts_with("/bytes/")) {
    const uint64_t n = std::min<uint64_t>(std::strtoull(path.c_str() + 7, nullptr, 10), max_bytes);
    filler = head_only ? 0 : n;
    return send(response("application/octet-stream", n, last));
  }
  std::string json = "{\"backend\":";
  core::log::append_json_string(json, server.name);
  core::log::append_json_string(json += ",\"method\":", method);
  core::log::append_json_string(json += ",\"path\":", target);
  json += "}\n";
  std::string whole = response("application/json", json.size(), last) + (head_only ? "" : json);
  const size_t ms = target.find("ms=");
  if (path != "/slow" || ms == std::string::npos) return send(std::move(whole));
  slow_answer = std::move(whole);
  slow.start(std::strtol(target.c_str() + ms + 3, nullptr, 10));
}

void Connection::send(std::string text) {
  out += text;
  flush();
}

void Connection::flush() {
  for (;;) {
    if (out.empty() && filler > 0) {
      out.assign(std::min<size_t>(filler, 65536), 'x');
      filler -= out.size();
    }
    if (out.empty()) break;
    const ssize_t n = ::send(socket.get(), out.data(), out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) return server.drop(this);
    out.erase(0, static_cast<size_t>(n));
  }
  if (last) return server.drop(this);
  if (!in.empty()) serve();
}

}  // namespace

int run_demo_backend(const std::string& address, const std::string& name) {
  const std::optional<Address> where = Address::parse(address.empty() ? "127.0.0.1:0" : address);
  if (!where) {
    fmt::print(stderr, "goma: demo-backend wants --listen ADDRESS:PORT, got \"{}\"\n", address);
    return 2;
  }
  core::Result<int> fd = core::listen_on(*where, {.reuse_port = false, .defer_accept = false});
  if (!fd) {
    fmt::print(stderr, "goma: cannot listen on {}: {}\n", where->text(), fd.error().text);
    return 1;
  }
  fmt::print("{}\n", core::local_address(*fd).text());
  std::fflush(stdout);
  Loop loop;
  Server server(loop, *fd, name.empty() ? "demo" : name);
  loop.run();
  return 0;
}

}  // namespace goma
