// SPDX-License-Identifier: Apache-2.0
//
// Look-ups against a scripted name server on the same loop: what is answered at once, what is asked, and what happens
// when name servers are slow, wrong or gone.
#include "core/resolver.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <functional>
#include <map>
#include <memory>

#include "check.h"

using goma::core::Address;
using goma::core::DeadlineWheel;
using goma::core::Descriptor;
using goma::core::Loop;
using goma::core::Resolver;
using goma::core::Result;
using goma::core::Timer;
using goma::core::Watch;
namespace core = goma::core;

namespace {

struct Bench {
  Bench() { end.bind<&Loop::stop>(loop, &loop); }
  // Runs until the condition holds or the time is over.
  bool run_until(const std::function<bool()>& condition, int64_t ms = 8000) {
    const int64_t until = loop.now_ms() + ms;
    while (!condition() && loop.now_ms() < until) {
      end.start(10);
      loop.run();
    }
    return condition();
  }
  void run_for(int64_t ms) {
    run_until([] { return false; }, ms);
  }
  Loop loop;
  DeadlineWheel wheel{loop};
  Timer end;
};

// Answers A and AAAA from a table, over UDP and TCP.
class NameServer {
 public:
  enum class Mood { answer, silent, broken, truncate };

  explicit NameServer(Bench& b) : bench_(b) {
    tcp_.reset(core::listen_on(*Address::parse("127.0.0.1:0"), {16, false, false}).value());
    address = core::local_address(tcp_.get());
    udp_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_storage storage;
    const socklen_t length = address.to_sockaddr(storage);
    CHECK_EQ(::bind(udp_.get(), reinterpret_cast<sockaddr*>(&storage), length), 0);
    udp_watch_.open_level<&NameServer::on_udp>(b.loop, udp_.get(), this);
    tcp_watch_.open_level<&NameServer::on_tcp>(b.loop, tcp_.get(), this);
  }

  Address address;
  std::map<std::string, std::vector<std::string>> names;
  Mood mood = Mood::answer;
  uint32_t ttl = 60;
  int questions = 0;  // of A records
  int over_tcp = 0;

 private:
  static uint16_t number_at(const std::string& packet, size_t at) { return static_cast<uint16_t>((static_cast<unsigned char>(packet[at]) << 8) | static_cast<unsigned char>(packet[at + 1])); }
  static void put(std::string& out, uint32_t value, int bytes) {
    while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes) & 0xff);
  }

  std::string answer(const std::string& question, bool tcp) {
    std::string name;
    size_t at = 12;
    for (size_t n = static_cast<unsigned char>(question[at]); n != 0; n = static_cast<unsigned char>(question[at])) {
      name += (name.empty() ? "" : ".") + question.substr(at + 1, n);
      at += n + 1;
    }
    const uint16_t type = number_at(question, at + 1);
    const std::string asked = question.substr(12, at + 5 - 12);
    if (type == 1) ++questions;
    std::string records;
    uint32_t count = 0;
    const auto found = names.find(name);
    for (const std::string& ip : found != names.end() ? found->second : std::vector<std::string>()) {
      char bytes[16];
      const bool v6 = ip.find(':') != std::string::npos;
      if (v6 != (type == 28)) continue;
      CHECK_EQ(::inet_pton(v6 ? AF_INET6 : AF_INET, ip.c_str(), bytes), 1);
      put(records, 0xc00c, 2);
      put(records, type, 2);
      put(records, 1, 2);
      put(records, ttl, 4);
      put(records, v6 ? 16 : 4, 2);
      records.append(bytes, v6 ? 16 : 4);
      ++count;
    }
    uint32_t flags = 0x8580;
    if (found == names.end()) flags |= 3;
    if (mood == Mood::broken) flags |= 2;
    const bool cut = mood == Mood::truncate && !tcp;
    if (cut) flags |= 0x0200;
    std::string out = question.substr(0, 2);
    put(out, flags, 2);
    put(out, 1, 2);
    put(out, cut ? 0 : count, 2);
    put(out, 0, 4);
    return out + asked + (cut ? "" : records);
  }

  void on_udp(unsigned) {
    char buffer[512];
    sockaddr_storage from;
    socklen_t length = sizeof from;
    const ssize_t n = ::recvfrom(udp_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (n < 17 || mood == Mood::silent) return;
    const std::string reply = answer(std::string(buffer, static_cast<size_t>(n)), false);
    ::sendto(udp_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
  }

  // Serves one connection, blocking: its question is there or on its way. Sent byte by byte.
  struct Connection {
    Connection(NameServer& s, int descriptor) : server(s), fd(descriptor) { watch.open_level<&Connection::on_ready>(s.bench_.loop, descriptor, this); }
    void on_ready(unsigned) {
      char buffer[1024];
      const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) {
        watch.close();
        return;
      }
      text.append(buffer, static_cast<size_t>(n));
      while (text.size() >= 2 && text.size() >= 2u + number_at(text, 0)) {
        const std::string reply = server.answer(text.substr(2, number_at(text, 0)), true);
        ++server.over_tcp;
        text.erase(0, 2u + number_at(text, 0));
        std::string framed;
        put(framed, static_cast<uint32_t>(reply.size()), 2);
        framed += reply;
        for (const char c : framed) CHECK_EQ(::send(fd.get(), &c, 1, MSG_NOSIGNAL), 1);
      }
    }
    NameServer& server;
    Descriptor fd;
    Watch watch;
    std::string text;
  };
  void on_tcp(unsigned) {
    Address peer;
    const int fd = core::accept_connection(tcp_.get(), peer);
    if (fd < 0) return;
    core::set_nodelay(fd);
    connections_.push_back(std::make_unique<Connection>(*this, fd));
  }

  Bench& bench_;
  Descriptor udp_, tcp_;
  Watch udp_watch_, tcp_watch_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

struct Asker {
  Asker() { lookup.bind<&Asker::told>(this); }
  void told(const Result<Resolver::Addresses>& result) {
    ++answers;
    text.clear();
    if (!result.ok()) {
      text = "error";
      code = result.error().code;
      return;
    }
    for (const Address& address : result.value()) text += (text.empty() ? "" : " ") + address.text();
  }
  Resolver::Lookup lookup;
  int answers = 0;
  std::string text;
  core::Code code = core::Code::internal;
};

Resolver::Options options_for(const NameServer& server) {
  Resolver::Options options;
  options.servers = {server.address.text()};
  options.hosts_file = "/dev/null";
  return options;
}

// Asks and waits for the answer.
std::string resolve(Bench& b, Resolver& resolver, std::string_view name, uint16_t port = 80) {
  Asker asker;
  resolver.lookup(name, port, asker.lookup);
  CHECK(b.run_until([&] { return asker.answers == 1; }));
  return asker.text;
}

void addresses_are_answered_at_once() {
  Bench b;
  NameServer server(b);
  Resolver resolver(b.loop, b.wheel, options_for(server));
  Asker asker;
  resolver.lookup("192.0.2.1", 80, asker.lookup);
  CHECK_EQ(asker.text, "192.0.2.1:80");
  resolver.lookup("[2001:db8::1]", 443, asker.lookup);
  CHECK_EQ(asker.text, "[2001:db8::1]:443");
  CHECK_EQ(asker.answers, 2);
  CHECK_EQ(server.questions, 0);
}

void nonsense_is_refused_at_once() {
  Bench b;
  NameServer server(b);
  Resolver resolver(b.loop, b.wheel, options_for(server));
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a..b"), std::string(".a"), std::string("010.0.0.1"), std::string("1.2.3"), std::string("a.1"),
                                  std::string("a\r\nb"), std::string(254, 'a')}) {
    Asker asker;
    resolver.lookup(name, 80, asker.lookup);
    CHECK_EQ(asker.text, "error");
    CHECK(asker.code == core::Code::invalid);
  }
  CHECK_EQ(server.questions, 0);
}

void names_are_asked_once_and_kept() {
  Bench b;
  NameServer server(b);
  server.names["backend.test"] = {"192.0.2.1", "2001:db8::1"};
  Resolver resolver(b.loop, b.wheel, options_for(server));
  const std::string text = resolve(b, resolver, "backend.test");
  CHECK(text.find("192.0.2.1:80") != std::string::npos);
  CHECK(text.find("[2001:db8::1]:80") != std::string::npos);
  Asker asker;
  resolver.lookup("BACKEND.test", 81, asker.lookup);
  CHECK_EQ(asker.answers, 1);
  CHECK(asker.text.find("192.0.2.1:81") != std::string::npos);
  CHECK_EQ(server.questions, 1);
}

void many_wait_for_one_question() {
  Bench b;
  NameServer server(b);
  server.names["backend.test"] = {"192.0.2.1"};
  Resolver resolver(b.loop, b.wheel, options_for(server));
  Asker askers[10];
  {
    Asker left;
    resolver.lookup("backend.test", 80, left.lookup);
    for (Asker& asker : askers) resolver.lookup("backend.test", 80, asker.lookup);
    askers[9].lookup.cancel();
  }
  CHECK(b.run_until([&] { return askers[8].answers == 1; }));
  for (int i = 0; i < 9; ++i) CHECK_EQ(askers[i].text, "192.0.2.1:80");
  CHECK_EQ(askers[9].answers, 0);
  CHECK_EQ(server.questions, 1);
}

void addresses_take_turns() {
  Bench b;
  NameServer server(b);
  server.names["backend.test"] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
  Resolver resolver(b.loop, b.wheel, options_for(server));
  std::map<std::string, int> first;
  for (int i = 0; i < 30; ++i) {
    const std::string text = resolve(b, resolver, "backend.test");
    ++first[text.substr(0, text.find(' '))];
    CHECK_EQ(std::count(text.begin(), text.end(), ' '), 2);
  }
  CHECK_EQ(first.size(), 3u);
  for (const auto& [address, times] : first) CHECK_EQ(times, 10);
}

void unknown_names_are_remembered_as_unknown() {
  Bench b;
  NameServer server(b);
  Resolver resolver(b.loop, b.wheel, options_for(server));
  Asker asker;
  resolver.lookup("nobody.test", 80, asker.lookup);
  CHECK(b.run_until([&] { return asker.answers == 1; }));
  CHECK(asker.code == core::Code::not_found);
  const int asked = server.questions;
  resolver.lookup("nobody.test", 80, asker.lookup);
  CHECK_EQ(asker.answers, 2);
  CHECK_EQ(server.questions, asked);
}

void old_answers_are_asked_anew_and_last_ones_kept() {
  Bench b;
  NameServer server(b);
  server.ttl = 0;  // a second, the least
  server.names["backend.test"] = {"192.0.2.1"};
  Resolver resolver(b.loop, b.wheel, options_for(server));
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.1:80");
  server.names["backend.test"] = {"192.0.2.2"};
  b.run_for(1100);
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.2:80");  // an address that the name no longer has is not answered
  // The name servers are silent: what is old waits a moment for them, and then serves at once.
  server.mood = NameServer::Mood::silent;
  b.run_for(1100);
  const int64_t began = b.loop.now_ms();
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.2:80");
  CHECK(b.loop.now_ms() - began < 1500);
  Asker asker;
  resolver.lookup("backend.test", 80, asker.lookup);
  CHECK_EQ(asker.text, "192.0.2.2:80");
  resolver.clear();
  server.mood = NameServer::Mood::answer;
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.2:80");
  // The name servers fail: the last good answer stays.
  server.mood = NameServer::Mood::broken;
  b.run_for(1100);
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.2:80");
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.2:80");
}

// A name server says that the name is gone, or has no address: the last ones serve until there are others.
void an_empty_answer_takes_nothing_away() {
  Bench b;
  NameServer server(b);
  server.ttl = 0;
  server.names["backend.test"] = {"192.0.2.1"};
  Resolver resolver(b.loop, b.wheel, options_for(server));
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.1:80");
  for (const bool gone : {true, false}) {
    if (gone) server.names.clear();
    else server.names["backend.test"] = {};
    b.run_for(1100);
    CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.1:80");
    server.names["backend.test"] = {"192.0.2.1"};
    resolver.clear();
    CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.1:80");
  }
}

// Who keeps up with a name hears of a change, and of nothing that is not certain.
void refresh_tells_news_only() {
  Bench b;
  NameServer server(b);
  server.ttl = 1;
  server.names["backend.test"] = {"192.0.2.1"};
  Resolver resolver(b.loop, b.wheel, options_for(server));
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.1:80");
  Asker asker;
  resolver.refresh("backend.test", 80, asker.lookup);  // it is fresh
  CHECK_EQ(asker.text, "192.0.2.1:80");
  const int64_t left = asker.lookup.again_ms() - b.loop.now_ms();
  CHECK(left > 0 && left <= 500);
  server.names["backend.test"] = {"192.0.2.2"};
  CHECK(b.run_until([&] { return b.loop.now_ms() >= asker.lookup.again_ms(); }));
  resolver.refresh("backend.test", 80, asker.lookup);  // about to expire: it is asked, while others use what there is
  CHECK_EQ(asker.answers, 1);
  Asker other;
  resolver.lookup("backend.test", 80, other.lookup);
  CHECK_EQ(other.text, "192.0.2.1:80");
  CHECK(b.run_until([&] { return asker.answers == 2; }));
  CHECK_EQ(asker.text, "192.0.2.2:80");
  server.mood = NameServer::Mood::broken;
  b.run_for(600);
  resolver.refresh("backend.test", 80, asker.lookup);
  CHECK(b.run_until([&] { return asker.answers == 3; }));
  CHECK_EQ(asker.text, "error");
  CHECK(asker.lookup.again_ms() > b.loop.now_ms() + 1000);  // not asked all the time
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.2:80");
  resolver.refresh("192.0.2.7", 80, asker.lookup);
  CHECK_EQ(asker.text, "192.0.2.7:80");
  CHECK_EQ(asker.lookup.again_ms(), std::numeric_limits<int64_t>::max());
}

// The hosts file changes, and loses a name: what it said last serves while name servers know nothing of it.
void the_hosts_file_is_followed() {
  Bench b;
  NameServer server(b);
  char path[] = "/tmp/goma-hosts-XXXXXX";
  ::close(::mkstemp(path));
  std::ofstream(path) << "192.0.2.1 listed.test\n";
  Resolver::Options options = options_for(server);
  options.hosts_file = path;
  options.ttl_seconds = 1;
  Resolver resolver(b.loop, b.wheel, options);
  CHECK_EQ(resolve(b, resolver, "listed.test"), "192.0.2.1:80");
  std::ofstream(path) << "192.0.2.2 listed.test\n";
  CHECK(b.run_until([&] { return resolve(b, resolver, "listed.test") == "192.0.2.2:80"; }, 3000));
  std::ofstream(path) << "";
  CHECK(b.run_until([&] { return resolve(b, resolver, "listed.test") == "192.0.2.2:80" && server.questions > 0; }, 3000));
  server.names["listed.test"] = {"192.0.2.3"};
  resolver.clear();
  CHECK_EQ(resolve(b, resolver, "listed.test"), "192.0.2.3:80");
  ::unlink(path);
}

void silence_is_bounded() {
  Bench b;
  NameServer server(b);
  server.mood = NameServer::Mood::silent;
  Resolver resolver(b.loop, b.wheel, options_for(server));
  const int64_t began = b.loop.now_ms();
  Asker asker;
  resolver.lookup("backend.test", 80, asker.lookup);
  CHECK(b.run_until([&] { return asker.answers == 1; }, 10'000));
  CHECK(asker.code == core::Code::timeout);
  CHECK(b.loop.now_ms() - began <= 5'500);
}

void a_second_server_helps() {
  Bench b;
  NameServer silent(b), server(b);
  silent.mood = NameServer::Mood::silent;
  server.names["backend.test"] = {"192.0.2.1"};
  Resolver::Options options = options_for(silent);
  options.servers.push_back(server.address.text());
  Resolver resolver(b.loop, b.wheel, options);
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.1:80");
}

void long_answers_come_over_tcp() {
  Bench b;
  NameServer server(b);
  server.mood = NameServer::Mood::truncate;
  for (int i = 1; i <= 100; ++i) server.names["backend.test"].push_back(fmt::format("127.0.1.{}", i));
  Resolver resolver(b.loop, b.wheel, options_for(server));
  const std::string text = resolve(b, resolver, "backend.test");
  CHECK_EQ(std::count(text.begin(), text.end(), ' '), 63);  // at most 64
  CHECK(server.over_tcp >= 1);
}

void the_hosts_file_comes_first() {
  Bench b;
  NameServer server(b);
  server.names["listed.test"] = {"192.0.2.9"};
  char path[] = "/tmp/goma-hosts-XXXXXX";
  ::close(::mkstemp(path));
  std::ofstream(path) << "# comment\n192.0.2.1 other Listed.test # more\n2001:db8::1\tlisted.test\nnonsense listed.test\n127.0.0.1 localhost\n127.0.0.1 vm localhost\n";
  Resolver::Options options = options_for(server);
  options.hosts_file = path;
  Resolver resolver(b.loop, b.wheel, options);
  Asker asker;
  resolver.lookup("listed.TEST", 80, asker.lookup);
  CHECK_EQ(asker.text, "192.0.2.1:80 [2001:db8::1]:80");
  resolver.lookup("localhost", 80, asker.lookup);
  CHECK_EQ(asker.text, "127.0.0.1:80 [::1]:80");
  resolver.lookup("a.LOCALHOST", 80, asker.lookup);
  CHECK_EQ(asker.text, "127.0.0.1:80 [::1]:80");
  CHECK_EQ(asker.answers, 3);
  CHECK_EQ(server.questions, 0);
  ::unlink(path);
}

void clear_and_other_servers_forget() {
  Bench b;
  NameServer server(b), other(b);
  server.names["backend.test"] = {"192.0.2.1"};
  other.names["backend.test"] = {"192.0.2.2"};
  Resolver resolver(b.loop, b.wheel, options_for(server));
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.1:80");
  server.names["backend.test"] = {"192.0.2.3"};
  resolver.clear();
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.3:80");
  resolver.configure(options_for(server));  // the same: nothing is forgotten
  Asker asker;
  resolver.lookup("backend.test", 80, asker.lookup);
  CHECK_EQ(asker.answers, 1);
  resolver.configure(options_for(other));
  CHECK_EQ(resolve(b, resolver, "backend.test"), "192.0.2.2:80");
}

void who_waits_during_a_change_is_answered_by_the_new_server() {
  Bench b;
  NameServer silent(b), server(b);
  silent.mood = NameServer::Mood::silent;
  server.names["backend.test"] = {"192.0.2.1"};
  Resolver resolver(b.loop, b.wheel, options_for(silent));
  Asker asker;
  resolver.lookup("backend.test", 80, asker.lookup);
  b.run_for(50);
  resolver.configure(options_for(server));
  CHECK(b.run_until([&] { return asker.answers == 1; }));
  CHECK_EQ(asker.text, "192.0.2.1:80");
}

// A callback that forgets everything and asks again must not pull the ground from under the resolver.
struct Restless : Asker {
  explicit Restless(Resolver& r) : resolver(r) { lookup.bind<&Restless::again>(this); }
  void again(const Result<Resolver::Addresses>& result) {
    told(result);
    if (answers > 3) return;
    resolver.clear();
    resolver.lookup("backend.test", 80, lookup);
  }
  Resolver& resolver;
};

void callbacks_may_do_anything() {
  Bench b;
  NameServer server(b);
  server.names["backend.test"] = {"192.0.2.1"};
  Resolver resolver(b.loop, b.wheel, options_for(server));
  Restless one(resolver), two(resolver);
  resolver.lookup("backend.test", 80, one.lookup);
  resolver.lookup("backend.test", 80, two.lookup);
  CHECK(b.run_until([&] { return one.answers > 3 && two.answers > 3; }));
  CHECK_EQ(one.text, "192.0.2.1:80");
}

void the_end_with_open_questions_is_quiet() {
  Bench b;
  NameServer server(b);
  server.mood = NameServer::Mood::silent;
  Asker asker;
  {
    Resolver resolver(b.loop, b.wheel, options_for(server));
    resolver.lookup("backend.test", 80, asker.lookup);
    b.run_for(20);
  }
  CHECK_EQ(asker.answers, 0);
  CHECK(!asker.lookup.pending());
}

}  // namespace

GOMA_TESTS(addresses_are_answered_at_once, nonsense_is_refused_at_once, names_are_asked_once_and_kept, many_wait_for_one_question,
           addresses_take_turns, unknown_names_are_remembered_as_unknown, old_answers_are_asked_anew_and_last_ones_kept, an_empty_answer_takes_nothing_away, refresh_tells_news_only, the_hosts_file_is_followed, silence_is_bounded,
           a_second_server_helps, long_answers_come_over_tcp, the_hosts_file_comes_first, clear_and_other_servers_forget,
           who_waits_during_a_change_is_answered_by_the_new_server, callbacks_may_do_anything, the_end_with_open_questions_is_quiet)
