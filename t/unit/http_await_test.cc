// SPDX-License-Identifier: Apache-2.0
//
// The six properties of waiting (http/await.h), on a real exchange of a real connection: an operation that completes
// at once is an ordinary verdict; a second completion is a broken invariant; a client that leaves cancels; a module
// cannot suspend with nothing pending; every operation has a deadline; an exchange outlives the stack of its module.
#include "http/await.h"

#include <sys/wait.h>

#include <csignal>
#include <type_traits>

#include "gateway_fixture.h"
#include "http/exchange.h"

namespace {

using goma::core::Deferred;
using goma::http::Exchange;
using goma::http::Operation;
using goma::http::Verdict;
using goma::test::Answer;
using goma::test::Gateway;

// How the operation behaves, and what became of it. Reset per test.
struct Script {
  enum class When { at_once, later, never } when = When::at_once;
  int64_t limit_ms = 5000;
  bool twice = false;
  int started = 0, expired = 0, destroyed = 0, continued = 0, finished = 0;
  bool destroyed_inside = false;  // while the completing call was still on the stack
  bool answers = true;            // the continuation answers; else it goes on
};
Script script;

class Probe final : public Operation<int> {
 public:
  explicit Probe(Exchange& x) : x_(x) { later_.bind<&Probe::fire>(this); }
  ~Probe() {
    ++script.destroyed;
    if (firing_) script.destroyed_inside = true;
  }
  void start() {
    ++script.started;
    if (script.when == Script::When::at_once) complete(7);
    if (script.when == Script::When::later) x_.runtime().loop.defer(later_);
  }
  void expire() {
    ++script.expired;
    complete(-1);
  }
  int64_t limit_ms() const { return script.limit_ms; }
  std::string_view what() const { return "probe"; }

 private:
  void fire() {
    firing_ = true;
    complete(7);
    if (script.twice) complete(8);
    firing_ = false;
  }
  Exchange& x_;
  Deferred later_;
  bool firing_ = false;
};

class Waits final : public goma::http::Middleware {
 public:
  Verdict on_request(Exchange& x) const override { return x.await<Probe>(this, &Waits::then); }
  void on_finish(const Exchange&) const noexcept override { ++script.finished; }

 private:
  Verdict then(Exchange& x, const int& result) const {
    ++script.continued;
    if (!script.answers) return Verdict::next();
    return x.reply_with(200, "text/plain", result == 7 ? "seven" : "too late");
  }
};

class Last final : public goma::http::Middleware {
 public:
  Verdict on_request(Exchange& x) const override { return x.reply_with(200, "text/plain", "last"); }
};

template <class M>
std::unique_ptr<goma::http::Middleware> make(goma::http::BuildContext&) {
  return std::make_unique<M>();
}

constexpr std::string_view waits_types[] = {"waits"};
constexpr std::string_view last_types[] = {"last"};
const goma::http::ModuleInfo waits_module = {.name = "waits", .types = waits_types, .doc = "", .fields = {}, .make = make<Waits>};
const goma::http::ModuleInfo last_module = {.name = "last", .types = last_types, .doc = "", .fields = {}, .make = make<Last>};

constexpr const char* yaml = R"(version: 2
gateway:
  routes:
    - {name: one, path: /, target: "http://127.0.0.1:1", middlewares: [w, l]}
middlewares:
  - {name: w, type: waits}
  - {name: l, type: last}
)";

struct World : Gateway {
  World() : Gateway(yaml, {&waits_module, &last_module}) {
    CHECK_EQ(problems.render(), "");
    CHECK(built());
    script = Script();
  }
};

// Runs it in a child; how the child ended.
int fate_of(void (*play)()) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(STDERR_FILENO);
    std::signal(SIGABRT, SIG_DFL);
    play();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

void completing_at_once_is_an_ordinary_verdict() {
  World world;
  CHECK_EQ(world.get("/").body, "seven");
  CHECK_EQ(script.started, 1);
  CHECK_EQ(script.continued, 1);
  script.answers = false;
  CHECK_EQ(world.get("/").body, "last");
}

void completing_later_goes_on_where_it_stopped() {
  World world;
  script.when = Script::When::later;
  CHECK_EQ(world.get("/").body, "seven");
  script.answers = false;
  CHECK_EQ(world.get("/").body, "last");
  CHECK_EQ(script.continued, 2);
  CHECK_EQ(script.expired, 0);
}

void a_connection_serves_on_after_a_wait() {
  World world;
  script.when = Script::When::later;
  const int client = world.connect();
  for (int i = 1; i <= 3; ++i) {
    CHECK_EQ(world.ask(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").body, "seven");
    CHECK(world.run_until([&] { return script.finished == i && script.destroyed == i; }));
  }
  ::close(client);
}

void completing_twice_breaks_an_invariant() {
  CHECK_EQ(fate_of([] {
             World world;
             script.when = Script::When::later;
             script.twice = true;
             static_cast<void>(world.get("/"));
           }),
           SIGABRT);
}

void a_client_that_leaves_cancels() {
  World world;
  script.when = Script::When::never;
  const int client = world.connect();
  world.send(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(world.run_until([] { return script.started == 1; }));
  CHECK_EQ(script.destroyed, 0);
  ::close(client);
  CHECK(world.run_until([] { return script.destroyed == 1; }));
  CHECK_EQ(script.continued, 0);
  CHECK_EQ(script.expired, 0);
  CHECK_EQ(script.finished, 1);
}

// Verdict has two makers, and neither can say "suspended".
void nobody_suspends_with_nothing_pending() {
  static_assert(!std::is_constructible_v<Verdict, Verdict::Kind>);
  static_assert(!std::is_default_constructible_v<Verdict>);
  CHECK(Verdict::next().kind() == Verdict::Kind::next);
  CHECK(Verdict::done().kind() == Verdict::Kind::done);
}

void every_operation_has_an_end() {
  World world;
  script.when = Script::When::never;
  script.limit_ms = 150;
  const int64_t before = world.loop.now_ms();
  CHECK_EQ(world.get("/").body, "too late");
  CHECK_EQ(script.expired, 1);
  CHECK_EQ(script.continued, 1);
  CHECK(world.loop.now_ms() - before >= 100);
}

void an_operation_without_a_limit_breaks_an_invariant() {
  CHECK_EQ(fate_of([] {
             World world;
             script.when = Script::When::never;
             script.limit_ms = 0;
             static_cast<void>(world.get("/"));
           }),
           SIGABRT);
}

// Completing answers the whole exchange from inside the operation; both must still be there when the call returns.
void an_exchange_outlives_the_stack_of_its_module() {
  World world;
  script.when = Script::When::later;
  CHECK_EQ(world.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").body, "seven");
  CHECK(world.run_until([] { return script.destroyed == 1; }));
  CHECK(!script.destroyed_inside);
  CHECK_EQ(script.finished, 1);
}

}  // namespace

GOMA_TESTS(completing_at_once_is_an_ordinary_verdict, completing_later_goes_on_where_it_stopped, a_connection_serves_on_after_a_wait,
           completing_twice_breaks_an_invariant, a_client_that_leaves_cancels, nobody_suspends_with_nothing_pending,
           every_operation_has_an_end, an_operation_without_a_limit_breaks_an_invariant, an_exchange_outlives_the_stack_of_its_module)
