// SPDX-License-Identifier: Apache-2.0
//
// One message comes back: the outcome as a memfd, and the bundle. Silence until the child is reaped means that it
// died.
#include "core/loader.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/file_look.h"
#include "core/problem.h"

namespace goma::core {

namespace {

constexpr uint32_t outcome = 1;

std::string pack(const Loaded& loaded) {
  Pack p;
  p.number(loaded.ok).number(static_cast<uint64_t>(loaded.code)).text(loaded.problems).text(loaded.problems_json).text(loaded.summary);
  for (const std::optional<uint64_t>& state : {loaded.seen.certificates, loaded.seen.directories}) p.number(state.has_value()).number(state.value_or(0));
  pack_plan(p, loaded.plan);
  return p.bytes();
}

bool unpack(std::string_view bytes, Loaded& loaded) {
  Unpack u(bytes);
  loaded.ok = u.number() != 0;
  loaded.code = static_cast<int>(u.number());
  loaded.problems = u.text();
  loaded.problems_json = u.text();
  loaded.summary = u.text();
  for (std::optional<uint64_t>* state : {&loaded.seen.certificates, &loaded.seen.directories}) {
    const bool known = u.number() != 0;
    const uint64_t number = u.number();
    if (known) *state = number;
  }
  loaded.plan = unpack_plan(u);
  return u.ok();
}

Loaded failure(const std::string& reason) {
  Loaded loaded;
  loaded.code = 78;
  loaded.problems = fmt::format("goma: error: {}\n", reason);
  loaded.problems_json = "[]";
  loaded.summary = fmt::format("goma: {}", reason);
  return loaded;
}

// The whole life of the child.
void run(pid_t master, int fd, const Service& service, const Settings& settings, const Trial& trial, const Serving& serving) {
  process::die_with(master);
  process::set_title("goma: loader");
  process::step_back();
  const int64_t began_ms = wall_ms();
  DiskSource source(settings.prefix);
  if (serving.bundle >= 0) {
    Result<std::unique_ptr<BundleSource>> old = BundleSource::open(serving.bundle);
    if (old && !serving.may_be_less) source.succeed(**old);
    if (old && serving.renew) source.recall(**old, [&serving](std::string_view path) { return serving.renews(path); });
  }
  Loaded loaded = load(service, source, settings.config, settings.strict, trial, serving);
  std::vector<int> fds;
  if (loaded.ok) {
    loaded.seen.certificates = state_as_read(watched_certificates(loaded.plan, settings.prefix), began_ms);
    loaded.seen.directories = state_as_read(watched_directories(loaded.plan, settings.prefix), began_ms);
    Result<int> bundle = source.seal();
    if (bundle) {
      fds.push_back(*bundle);
    } else {
      loaded = failure(bundle.error().text);
    }
  }
  Result<int> text = memory_file(pack(loaded));
  if (!text) return;
  fds.insert(fds.begin(), *text);
  Loop loop;
  Channel channel;
  struct Nobody {
    void message(Message&) {}
    void closed() {}
  } nobody;
  channel.open<&Nobody::message, &Nobody::closed>(loop, fd, &nobody);
  channel.send(outcome, {}, fds);
}

}  // namespace

void pack_plan(Pack& p, const Plan& plan) {
  p.number(plan.addresses.size());
  for (const Plan::Address& address : plan.addresses) p.text(address.text).text(address.place);
  p.text(plan.log_level).text(plan.log_format).text(plan.log_file);
  p.number(static_cast<uint64_t>(plan.log_max_size_mb)).number(static_cast<uint64_t>(plan.log_max_backups));
  p.number(static_cast<uint64_t>(plan.log_max_age_days)).number(plan.watch.size());
  for (const std::string& directory : plan.watch) p.text(directory);
  p.number(plan.limit_zone_bytes).number(plan.routes).number(plan.middlewares).number(static_cast<uint64_t>(plan.drain_ms)).number(static_cast<uint64_t>(plan.silence_ms));
  for (const Plan::Marks* marks : {&plan.route_marks, &plan.middleware_marks}) {
    p.number(marks->size());
    for (const auto& [name, mark] : *marks) p.text(name).number(mark);
  }
  p.number(plan.certificates.size());
  for (const std::string& path : plan.certificates) p.text(path);
  p.text(plan.summary);
}

Plan unpack_plan(Unpack& u) {
  Plan plan;
  for (uint64_t n = u.number(); n > 0 && u.ok(); --n) {
    Plan::Address& address = plan.addresses.emplace_back();
    address.text = u.text();
    address.place = u.text();
  }
  plan.log_level = u.text();
  plan.log_format = u.text();
  plan.log_file = u.text();
  plan.log_max_size_mb = static_cast<int>(u.number());
  plan.log_max_backups = static_cast<int>(u.number());
  plan.log_max_age_days = static_cast<int>(u.number());
  for (uint64_t n = u.number(); n > 0 && u.ok(); --n) plan.watch.push_back(u.text());
  plan.limit_zone_bytes = u.number();
  plan.routes = u.number();
  plan.middlewares = u.number();
  plan.drain_ms = static_cast<int64_t>(u.number());
  plan.silence_ms = static_cast<int64_t>(u.number());
  for (Plan::Marks* marks : {&plan.route_marks, &plan.middleware_marks}) {
    for (uint64_t n = u.number(); n > 0 && u.ok(); --n) {
      std::string name = u.text();
      (*marks)[std::move(name)] = u.number();
    }
  }
  for (uint64_t n = u.number(); n > 0 && u.ok(); --n) plan.certificates.push_back(u.text());
  plan.summary = u.text();
  return plan;
}

Loaded load(const Service& service, Source& source, const std::string& config, bool strict, const Trial& trial, const Serving& serving) {
  Loaded loaded;
  Problems problems;
  const std::unique_ptr<Built> built = service.build(source, config, problems);
  if (built != nullptr) loaded.plan = service.plan(*built);
  if (built != nullptr && loaded.plan.routes == 0 && serving.routes > 0 && !serving.may_be_less) {
    problems.error("no-routes-left", Place{config, 0, 0, 0}, fmt::format("no route would be left, where {} now", serving.routes == 1 ? "1 serves" : fmt::format("{} serve", serving.routes)),
                   "if that is meant: gomactl reload --force");
  }
  if (strict) problems.make_strict();
  loaded.code = built == nullptr || problems.has_errors() ? 78 : 0;
  if (loaded.code == 0 && trial) loaded.code = trial(loaded.plan, problems);
  loaded.ok = loaded.code == 0;
  loaded.problems = problems.render();
  loaded.problems_json = problems.render_json();
  loaded.summary = problems.summary(config);
  return loaded;
}

bool Serving::renews(std::string_view path) const {
  return std::any_of(paths.begin(), paths.end(), [path](const std::string& p) {
    return path == p || (path.size() > p.size() && path.starts_with(p) && (p.ends_with('/') || path[p.size()] == '/'));
  });
}

Loader::~Loader() {
  if (running()) ::kill(pid_, SIGKILL);
}

void Loader::start(Loop& loop, const Fork& fork, const Service& service, const Settings& settings, const Trial& trial, std::function<void(Loaded)> done,
                   const Serving& serving) {
  GOMA_CHECK(!running());
  done_ = std::move(done);
  Result<std::pair<int, int>> line = Channel::pair();
  if (!line) return finish(failure(line.error().text));
  const int theirs = line->second;
  std::vector<int> keep{theirs};
  if (serving.bundle >= 0) keep.push_back(serving.bundle);
  pid_ = fork(keep, [&service, &settings, &trial, &serving, theirs, master = ::getpid()] { run(master, theirs, service, settings, trial, serving); });
  const int number = errno;
  ::close(theirs);
  channel_.open<&Loader::on_message, &Loader::on_closed>(loop, line->first, this);
  overdue_.bind<&Loader::on_overdue>(loop, this);
  overdue_.start(patience_ms);
  if (pid_ < 0) finish(failure(fmt::format("cannot start the loader: {}", std::strerror(number))));
}

void Loader::on_message(Message& message) {
  std::vector<Descriptor> fds;
  for (const int fd : message.fds) fds.emplace_back(fd);
  if (message.kind != outcome || fds.empty()) return;
  Result<std::string> text = read_memory_file(fds[0].get());
  Loaded loaded;
  if (!text || !unpack(*text, loaded) || (loaded.ok && fds.size() < 2)) {
    loaded = failure("the loader gave no understandable answer");
  } else if (loaded.ok) {
    loaded.bundle = std::move(fds[1]);
  }
  finish(std::move(loaded));
}

void Loader::cancel() {
  if (running()) ::kill(pid_, SIGKILL);
  done_ = nullptr;
  finish({});
}

// A process that waits for a dead disk cannot even be killed: it is left to itself.
void Loader::on_overdue() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
  finish(failure(fmt::format("the configuration could not be read within {} s: a file or directory of it does not answer", patience_ms / 1000)));
}

bool Loader::reaped(pid_t pid, int status) {
  if (pid != pid_) return false;
  channel_.drain();  // the answer may still lie in the line
  if (!running()) return true;
  const std::string how = WIFSIGNALED(status) ? fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)))
                                              : fmt::format("exit code {}", WEXITSTATUS(status));
  finish(failure(fmt::format("the loader died while it read the configuration: {}", how)));
  return true;
}

// From here on the child is nobody's: it ends by itself and is reaped with the others, and another load may begin.
void Loader::finish(Loaded loaded) {
  pid_ = -1;
  overdue_.stop();
  channel_.close();
  if (done_) std::exchange(done_, nullptr)(std::move(loaded));
}

}  // namespace goma::core
