// SPDX-License-Identifier: Apache-2.0
//
// A gateway in a test: a site built from YAML text with the modules the test brings, one loop, and client
// connections that are socket pairs. The real connection code serves them, so what is tested is what runs.
//
// It has no resolver of names and no log; backends are reached by address.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "core/arena.h"
#include "core/buffer.h"
#include "core/deadline.h"
#include "core/loop.h"
#include "core/problem.h"
#include "core/resolver.h"
#include "core/source.h"
#include "http/config.h"
#include "http/h1_server.h"
#include "http/module.h"
#include "http/peer_pool.h"
#include "http/request_id.h"
#include "http/runtime.h"
#include "http/site_build.h"
#include "http/upstream.h"

namespace goma::test {

// One file and nothing else.
class TextSource final : public core::Source {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  core::Result<std::string_view> read(const std::string&) override { return std::string_view(text_); }
  core::Result<core::Listing> list(const std::string&, core::Reach) override { return core::Error{core::Code::not_found, "none", 0}; }
  std::optional<std::string_view> env(const std::string&) override { return std::nullopt; }

 private:
  std::string text_;
};

// What a client read: status, head as text, body.
struct Answer {
  int status = 0;
  std::string head;
  std::string body;
  // The value of the first field of that name, as sent; "" when there is none.
  std::string field(std::string_view name) const {
    const size_t at = head.find("\r\n" + std::string(name) + ": ");
    if (at == std::string::npos) return {};
    const size_t from = at + name.size() + 4;
    return head.substr(from, head.find("\r\n", from) - from);
  }
};

class Gateway : private http::ConnectionOwner {
 public:
  using Modules = std::vector<const http::ModuleInfo*>;

  Gateway(const std::string& yaml, Modules modules) : modules_(std::move(modules)), source_(yaml) {
    burial_.bind<&Gateway::bury>(this);
    tick_.bind<&Gateway::look>(loop, this);
    runtime.peers = &peers;
    runtime.resolver = &resolver;
    runtime.ids = &ids;
    std::unique_ptr<http::Config> config = http::load_config(source_, "test.yml", problems);
    if (config) site_ = http::build_site(std::move(config), {modules_, {}}, problems);
    if (!site_) return;
    site_->hold();
    runtime.site = site_.get();
    for (http::Route& route : site_->routes()) {
      if (route.upstream) route.upstream->bind(peers);
    }
  }
  ~Gateway() override {
    while (http::ClientConnection* connection = connections_.pop_front()) std::unique_ptr<http::ClientConnection> last(connection);
    bury();
  }

  // Whether the configuration was accepted; else problems says why.
  bool built() const { return site_ != nullptr; }

  // A new client connection; the caller closes the descriptor.
  int connect() {
    int ends[2];
    CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    http::ConnectionOwner& owner = *this;
    auto connection = std::make_unique<http::H1Server>(runtime, owner, http::Arrival());
    http::H1Server& opened = *connection.release();  // the lists below own it
    connections_.push_back(opened);
    opened.open(ends[0]);
    return ends[1];
  }

  static void send(int client, std::string_view text) {
    CHECK_EQ(::send(client, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }

  // Runs the loop until the condition holds; false after five seconds.
  bool run_until(std::function<bool()> condition) {
    condition_ = std::move(condition);
    const int64_t end = loop.now_ms() + 5000;
    give_up_ms_ = end;
    tick_.start(1);
    loop.run();
    return condition_();
  }

  // Sends a request on a connection and waits for its whole answer.
  Answer ask(int client, std::string_view request) {
    send(client, request);
    std::string text;
    CHECK(run_until([&] { return complete(client, text); }));
    Answer answer;
    const size_t end = text.find("\r\n\r\n");
    answer.head = text.substr(0, end);
    answer.body = text.substr(end + 4);
    answer.status = std::atoi(answer.head.c_str() + 9);
    return answer;
  }
  Answer ask(std::string_view request) {
    const int client = connect();
    Answer answer = ask(client, request);
    ::close(client);
    return answer;
  }
  Answer get(std::string_view target, std::string_view fields = {}) {
    return ask("GET " + std::string(target) + " HTTP/1.1\r\nHost: a.test\r\n" + std::string(fields) + "\r\n");
  }

  core::Loop loop;
  core::DeadlineWheel wheel{loop};
  core::Buffers buffers;
  core::ChunkPool chunks;
  core::Resolver resolver{loop, wheel, core::Resolver::Options()};
  http::Runtime runtime{loop, wheel, buffers, chunks};
  http::PeerPools peers{runtime};
  http::RequestIds ids;
  core::Problems problems;

 private:
  void on_connection_phase(http::ClientConnection&) override {}
  void on_connection_greeted(http::Greeting&) override {}
  bool may_handshake(http::Greeting&) override { return true; }
  void on_connection_closed(http::ClientConnection& connection) override {
    connection.hook.unlink();
    dead_.push_back(connection);
    loop.defer(burial_);
  }
  void bury() {
    while (http::ClientConnection* connection = dead_.pop_front()) std::unique_ptr<http::ClientConnection> last(connection);
  }
  void look() {
    if (condition_() || loop.now_ms() > give_up_ms_) loop.stop();
    else tick_.start(1);
  }
  // Reads what is there; true once the head and as much body as it announces have arrived, or the connection ended.
  static bool complete(int client, std::string& text) {
    char piece[4096];
    ssize_t n;
    while ((n = ::recv(client, piece, sizeof piece, 0)) > 0) text.append(piece, static_cast<size_t>(n));
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const size_t at = text.find("Content-Length: ");
    const size_t length = at < end ? std::strtoul(text.c_str() + at + 16, nullptr, 10) : 0;
    return text.size() >= end + 4 + length;
  }

  Modules modules_;
  TextSource source_;
  std::unique_ptr<http::Site> site_;
  core::List<http::ClientConnection, &http::ClientConnection::hook> connections_;
  core::List<http::ClientConnection, &http::ClientConnection::hook> dead_;
  core::Deferred burial_;
  core::Timer tick_;
  std::function<bool()> condition_;
  int64_t give_up_ms_ = 0;
};

}  // namespace goma::test
