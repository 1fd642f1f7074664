// SPDX-License-Identifier: Apache-2.0
//
// forwardAuth and the fetch under it, against an auth service of this test: what it is asked, what each answer means,
// and that whatever is no clear "yes" is a refusal. The backend is another of these services and echoes the request.
#include <netinet/in.h>
#include <poll.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "core/text.h"
#include "gateway_fixture.h"
#include "http/exchange.h"
#include "modules/modules.h"

namespace {

using goma::test::Answer;
using goma::test::Gateway;

// A blocking HTTP/1.1 service on a thread: every request's head goes to `answer`, whose text is sent as it is. An
// empty text means silence; one that ends in "CLOSE" is sent without that word and the connection closed.
class Service {
 public:
  explicit Service(std::function<std::string(const std::string& head)> answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    CHECK_EQ(::listen(listener_, 16), 0);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service() {
    stop_ = true;
    thread_.join();
    for (const Peer& peer : peers_) ::close(peer.fd);
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port); }
  std::vector<std::string> asked() {
    const std::lock_guard<std::mutex> guard(mutex_);
    return asked_;
  }

  int port = 0;
  std::atomic<int> connections{0};

 private:
  struct Peer {
    int fd;
    std::string in;
  };
  void serve() {
    while (!stop_) {
      std::vector<pollfd> wanted{{listener_, POLLIN, 0}};
      for (const Peer& peer : peers_) wanted.push_back({peer.fd, POLLIN, 0});
      if (::poll(wanted.data(), wanted.size(), 20) <= 0) continue;
      for (size_t i = wanted.size() - 1; i > 0; --i) {
        if (wanted[i].revents != 0 && !read(peers_[i - 1])) {
          ::close(peers_[i - 1].fd);
          peers_.erase(peers_.begin() + static_cast<std::ptrdiff_t>(i) - 1);
        }
      }
      if (wanted[0].revents == 0) continue;
      peers_.push_back({::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC), ""});
      ++connections;
    }
  }
  bool read(Peer& peer) {
    char piece[8192];
    const ssize_t n = ::recv(peer.fd, piece, sizeof piece, 0);
    if (n <= 0) return false;
    peer.in.append(piece, static_cast<size_t>(n));
    for (size_t end; (end = peer.in.find("\r\n\r\n")) != std::string::npos;) {
      const std::string head = peer.in.substr(0, end + 2);
      peer.in.erase(0, end + 4);
      {
        const std::lock_guard<std::mutex> guard(mutex_);
        asked_.push_back(head);
      }
      std::string text = answer_(head);
      const bool closes = text.ends_with("CLOSE");
      if (closes) text.resize(text.size() - 5);
      for (size_t sent = 0; sent < text.size();) {
        const ssize_t done = ::send(peer.fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (done <= 0) return false;
        sent += static_cast<size_t>(done);
      }
      if (closes) return false;
    }
    return true;
  }

  std::function<std::string(const std::string&)> answer_;
  int listener_ = -1;
  std::vector<Peer> peers_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::string> asked_;
};

std::string message(const std::string& status, const std::string& fields, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// The value of a field in a head; "" when it is not there.
std::string field(const std::string& head, const std::string& name) {
  for (const std::string_view line : goma::core::split(head, '\n')) {
    if (goma::core::istarts_with(line, name + ": ")) return std::string(goma::core::trim(line.substr(name.size() + 2)));
  }
  return {};
}

std::string echo(const std::string& head) { return message("200 OK", "", head); }

Gateway::Modules modules() { return {goma::mod::all_modules().begin(), goma::mod::all_modules().end()}; }

std::string yaml(const std::string& backend, const std::string& rule, const std::string& more = {}, const std::string& route_keys = {}) {
  return "version: 2\ngateway:\n  routes:\n    - {name: main, path: /, target: \"" + backend + "\", middlewares: [fa]" + route_keys +
         "}\nmiddlewares:\n  - {name: fa, type: forwardAuth, rule: {" + rule + "}" + more + "}\n";
}

struct World {
  World(std::function<std::string(const std::string&)> auth_answer, const std::string& rule, const std::string& more = {})
      : auth(std::move(auth_answer)), backend(echo), gateway(yaml(backend.url(), "authUrl: \"" + auth.url() + "/verify?a=b\"" + rule, more), modules()) {
    CHECK_EQ(gateway.problems.errors() == 0 ? std::string() : gateway.problems.render(), "");
    CHECK(gateway.built());
  }
  Service auth;
  Service backend;
  Gateway gateway;
};

void yes_lets_in_and_copies_fields() {
  World world([](const std::string&) { return message("200 OK", "X-User: alice\r\nX-Groups: a&b c\r\nX-Other: no\r\nSet-Cookie: s=1\r\nSet-Cookie: t=2\r\n", "ignored"); },
              ", authRequestHeaders: [X-Tenant], authResponseHeaders: [X-User, \"X-Groups: X-Roles\", X-Missing], authResponseHeadersAsParams: [\"X-Groups: grp\", \"X-User: u\"]");
  const Answer answer = world.gateway.ask(
      "POST /a%20b/c?grp=evil&x=1&%67rp=evil&y=2;u=root HTTP/1.1\r\nHost: a.test:8080\r\nX-User: root\r\nx-roles: admin\r\nX-Missing: forged\r\nX-Tenant: t1\r\nX-Not-Listed: 1\r\n"
      "Authorization: Bearer t\r\nCookie: c=1\r\nUser-Agent: ua\r\nContent-Length: 4\r\n\r\nbody");
  CHECK_EQ(answer.status, 200);
  CHECK_EQ(answer.body.substr(0, answer.body.find('\r')), "POST /a%20b/c?x=1&y=2&grp=a%26b+c&u=alice HTTP/1.1");
  CHECK_EQ(field(answer.body, "X-User"), "alice");
  CHECK_EQ(field(answer.body, "X-Roles"), "a&b c");
  CHECK(answer.body.find("X-Missing: \r\n") != std::string::npos || answer.body.find("X-Missing:\r\n") != std::string::npos);
  CHECK(answer.body.find("root") == std::string::npos && answer.body.find("admin") == std::string::npos && answer.body.find("X-Other") == std::string::npos);
  CHECK(answer.head.find("Set-Cookie: s=1\r\nSet-Cookie: t=2") != std::string::npos);
  CHECK_EQ(world.auth.asked().size(), 1u);
  const std::string asked = world.auth.asked()[0];
  CHECK_EQ(asked.substr(0, asked.find('\r')), "GET /verify?a=b HTTP/1.1");
  const std::string url = "http://a.test:8080/a%20b/c?grp=evil&x=1&%67rp=evil&y=2;u=root";
  CHECK_EQ(field(asked, "X-Forwarded-URI"), url);
  CHECK_EQ(field(asked, "X-Original-URL"), url);
  CHECK_EQ(field(asked, "X-Forwarded-Method"), "POST");
  CHECK_EQ(field(asked, "X-Forwarded-Host"), "a.test:8080");
  CHECK_EQ(field(asked, "X-Forwarded-Proto"), "http");
  CHECK_EQ(field(asked, "Host"), "127.0.0.1:" + std::to_string(world.auth.port));
  CHECK_EQ(field(asked, "Authorization"), "Bearer t");
  CHECK_EQ(field(asked, "Cookie"), "c=1");
  CHECK_EQ(field(asked, "User-Agent"), "ua");
  CHECK_EQ(field(asked, "X-Tenant"), "t1");
  CHECK_EQ(field(asked, "X-Not-Listed"), "");
  CHECK_EQ(field(asked, "Content-Length"), "");
}

void whatever_is_no_yes_is_a_refusal() {
  struct Row {
    const char* answer;
    int status;
    const char* body;
  };
  const Row rows[] = {
      {"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 6\r\n\r\nsecret", 401, "401 Unauthorized\n"},
      {"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 403, "403 Forbidden\n"},
      {"HTTP/1.1 204 Fine\r\n\r\n", 401, "401 Unauthorized\n"},
      {"HTTP/1.1 206 Part\r\nContent-Length: 0\r\n\r\n", 401, "401 Unauthorized\n"},
      {"HTTP/1.1 302 Login\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 401, "401 Unauthorized\n"},
      {"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n", 401, "401 Unauthorized\n"},
      {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500, "500 Internal Server Error\n"},
      {"HTTP/1.1 502 Oops\r\nContent-Length: 0\r\n\r\n", 401, "401 Unauthorized\n"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncutCLOSE", 503, "503 Service Unavailable\n"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", 503, "503 Service Unavailable\n"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 503, "503 Service Unavailable\n"},
      {"SSH-2.0-OpenSSH_9\r\n\r\n", 503, "503 Service Unavailable\n"},
      {"CLOSE", 500, "500 Internal Server Error\n"},
  };
  for (const Row& row : rows) {
    World world([&](const std::string&) { return std::string(row.answer); }, "");
    const Answer answer = world.gateway.get("/");
    CHECK_EQ(answer.status, row.status);
    CHECK_EQ(answer.body, row.body);
    CHECK_EQ(world.backend.asked().size(), 0u);
  }
}

void a_challenge_is_relayed() {
  World world([](const std::string&) { return message("401 No", "WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer\r\nX-Leak: 1\r\n", ""); }, "");
  const Answer answer = world.gateway.get("/");
  CHECK(answer.head.find("WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer") != std::string::npos);
  CHECK_EQ(answer.field("X-Leak"), "");
}

void an_endless_answer_is_cut() {
  const std::string chunk = "4000\r\n" + std::string(0x4000, 'x') + "\r\n";
  World world([&](const std::string&) { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + chunk + chunk + chunk; }, "");
  CHECK_EQ(world.gateway.get("/").status, 503);
  World small([&](const std::string&) { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n"; }, "");
  CHECK_EQ(small.gateway.get("/").status, 200);
}

void silence_ends_with_the_timeout() {
  World world([](const std::string&) { return std::string(); }, ", timeout: 200ms");
  const int64_t before = world.gateway.loop.now_ms();
  CHECK_EQ(world.gateway.get("/").status, 503);
  CHECK(world.gateway.loop.now_ms() - before < 2000);
  CHECK_EQ(world.backend.asked().size(), 0u);
}

void nobody_there_is_a_refusal() {
  int port = 0;
  {
    Service gone(echo);
    port = gone.port;
  }
  Service backend(echo);
  Gateway gateway(yaml(backend.url(), "authUrl: \"http://127.0.0.1:" + std::to_string(port) + "/\""), modules());
  const Answer answer = gateway.get("/");
  CHECK_EQ(answer.status, 500);
  CHECK_EQ(answer.body, "500 Internal Server Error\n");
}

void sign_in_gets_the_current_url() {
  const auto no = [](const std::string&) { return message("401 No", "Set-Cookie: state=1\r\n", ""); };
  World with_query(no, ", authSignIn: \"https://login.test/start?rd=\"");
  Answer answer = with_query.gateway.get("/a%20b?x=1&y=2");
  CHECK_EQ(answer.status, 302);
  CHECK_EQ(answer.field("Location"), "https://login.test/start?rd=http%3A%2F%2Fa.test%2Fa%2520b%3Fx%3D1%26y%3D2");
  CHECK_EQ(answer.field("Set-Cookie"), "state=1");
  World plain(no, ", authSignIn: \"https://login.test/start\"");
  CHECK_EQ(plain.gateway.get("/a").field("Location"), "https://login.test/start");
}

void paths_choose_who_is_asked_but_not_what_is_stripped() {
  World world([](const std::string&) { return message("403 No", "", ""); }, ", authResponseHeaders: [X-User]", ", paths: [/private]");
  for (const char* target : {"/private", "/private/x", "/PRIVATE", "/%70rivate", "/x/../private", "//private", "/private;x=1"}) {
    CHECK_EQ(world.gateway.get(target).status, 403);
  }
  const Answer answer = world.gateway.get("/open", "X-User: root\r\n");
  CHECK_EQ(answer.status, 200);
  CHECK_EQ(field(answer.body, "X-User"), "");
}

// A path is judged as it was received and as it will be forwarded (attack case B32).
void a_rewrite_does_not_walk_around_paths() {
  Service auth([](const std::string&) { return message("403 No", "", ""); });
  Service backend(echo);
  Gateway gateway(yaml(backend.url(), "authUrl: \"" + auth.url() + "\"", ", paths: [/private]", ", rewrite: /private"), modules());
  CHECK(gateway.built());
  CHECK_EQ(gateway.get("/open").status, 403);
  CHECK_EQ(backend.asked().size(), 0u);
}

void connections_are_used_again() {
  World world([](const std::string&) { return message("200 OK", "", "x"); }, "");
  const int client = world.gateway.connect();
  for (int i = 0; i < 20; ++i) CHECK_EQ(world.gateway.ask(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
  ::close(client);
  CHECK_EQ(world.auth.connections.load(), 1);
  CHECK_EQ(world.auth.asked().size(), 20u);
}

// The service closes after every answer, without saying so: a request on the dead connection is tried once more.
void a_closed_connection_is_replaced() {
  World world([](const std::string&) { return message("200 OK", "", "x") + "CLOSE"; }, "");
  for (int i = 0; i < 20; ++i) CHECK_EQ(world.gateway.get("/").status, 200);
}

void a_client_that_leaves_frees_the_connection() {
  std::atomic<bool> silent{true};
  World world([&](const std::string&) { return silent ? std::string() : message("200 OK", "", ""); }, "");
  const int client = world.gateway.connect();
  world.gateway.send(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(world.gateway.run_until([&] { return world.auth.asked().size() == 1; }));
  ::close(client);
  goma::http::PeerPool& pool = world.gateway.peers.pool({.host = "127.0.0.1", .port = static_cast<uint16_t>(world.auth.port)});
  CHECK(world.gateway.run_until([&] { return pool.connections() == 0 && pool.waiting() == 0; }));
  silent = false;
  CHECK_EQ(world.gateway.get("/").status, 200);
}

void mistakes_are_refused() {
  struct Row {
    const char* rule;
    const char* code;
  };
  const Row rows[] = {
      {"authUrl: \"https://auth.test/\"", "no-authorities"},
      {"authUrl: \"ftp://auth.test/\"", "bad-value"},
      {"authUrl: \"http://u:p@auth.test/\"", "bad-value"},
      {"authUrl: \"http://auth.test/\", timeout: 0s", "bad-value"},
      {"authUrl: \"http://auth.test/\", authResponseHeaders: [\"X y\"]", "bad-value"},
      {"authUrl: \"http://auth.test/\", authResponseHeaders: [\"X-User:\"]", "bad-value"},
      {"authUrl: \"http://auth.test/\", authRequestHeaders: [Transfer-Encoding]", "bad-header"},
  };
  for (const Row& row : rows) {
    Gateway gateway(yaml("http://127.0.0.1:1", row.rule), modules());
    CHECK(!gateway.built());
    CHECK(gateway.problems.errors() > 0);
    CHECK_EQ(gateway.problems.list()[0].code, row.code);
  }
  Gateway quiet(yaml("http://127.0.0.1:1", "authUrl: \"http://auth.test/\", authResponseHeaders: [Host, Connection], enableHostForwarding: true"), modules());
  CHECK(quiet.built());
  CHECK(quiet.problems.warnings() >= 2);
}

}  // namespace

GOMA_TESTS(yes_lets_in_and_copies_fields, whatever_is_no_yes_is_a_refusal, a_challenge_is_relayed, an_endless_answer_is_cut,
           silence_ends_with_the_timeout, nobody_there_is_a_refusal, sign_in_gets_the_current_url, paths_choose_who_is_asked_but_not_what_is_stripped,
           a_rewrite_does_not_walk_around_paths,           connections_are_used_again, a_closed_connection_is_replaced, a_client_that_leaves_frees_the_connection, mistakes_are_refused)
