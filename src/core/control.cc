// SPDX-License-Identifier: Apache-2.0
//
// Server side on the loop, client side blocking. The words of a request are separated by tabs.
#include "core/control.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "core/process.h"
#include "core/safe_open.h"
#include "core/units.h"

namespace goma::core {

struct Control::Client {
  Client(Control& owner, uint64_t id, int fd) : control(owner), number(id), connection(fd) {
    watch.open<&Client::on_ready>(control.loop_, fd, this);
    overdue.bind<&Client::on_overdue>(control.loop_, this);
    overdue.start(patience_ms);
  }
  void on_ready(unsigned ready);
  void on_overdue();
  void flush();

  Control& control;
  uint64_t number;
  Descriptor connection;
  Watch watch;
  Timer overdue;
  std::string in, out;
  bool asked = false, answered = false;
};

namespace {

std::vector<std::string> split(std::string_view line) {
  std::vector<std::string> words;
  for (;;) {
    const size_t tab = line.find('\t');
    words.emplace_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return words;
    line.remove_prefix(tab + 1);
  }
}

void append_lines(std::string& to, char kind, std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    to.append(1, kind).append(" ").append(text.substr(0, end)).append("\n");
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

void Control::Client::on_ready(unsigned ready) {
  if (!out.empty()) flush();
  if (answered || !connection) return;
  char block[1024];
  for (;;) {
    const ssize_t n = ::recv(connection.get(), block, sizeof block, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return control.drop(number);
    in.append(block, static_cast<size_t>(n));
    if (in.size() > max_request) return control.drop(number);
  }
  const size_t end = in.find('\n');
  if (end != std::string::npos && !asked) {
    asked = true;
    overdue.start(beat_ms);
    control.handler_(number, split(std::string_view(in).substr(0, end)));
  } else if (ready & ready_close) {
    control.drop(number);
  }
}

// Whoever has not asked or not read by now goes; who waits for an outcome hears that it is on its way.
void Control::Client::on_overdue() {
  if (!asked || answered) return control.drop(number);
  if (out.empty()) out = "\n";
  overdue.start(beat_ms);
  flush();
}

void Control::Client::flush() {
  while (!out.empty()) {
    const ssize_t n = ::send(connection.get(), out.data(), out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) return control.drop(number);
    out.erase(0, static_cast<size_t>(n));
  }
  if (answered) control.drop(number);
}

Control::Control(Loop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {}
Control::~Control() = default;
void Control::sweep() { dropped_.clear(); }

Result<void> Control::open(const std::string& path, gid_t operators) {
  const auto failed = [&path](const Error& why) { return Error{why.code, fmt::format("cannot listen on {}: {}", path, why.text), why.system}; };
  const Result<Spot> spot = Spot::find(path);
  if (!spot.ok()) return failed(spot.error());
  const Spot fresh = spot.value().beside(spot.value().name() + ".new");
  fresh.remove();
  Result<int> bound = listen_unix(path + ".new", 0660);
  if (!bound) return failed(bound.error());
  Descriptor listening(*bound);
  const bool given = ::geteuid() != 0 || fresh.give_socket(operators);
  if (!given || !fresh.rename(spot.value().name())) {
    const int number = errno;
    fresh.remove();
    return failed(Error::from_errno(Code::refused, "the socket was taken away", number));
  }
  listening_ = std::move(listening);
  path_ = path;
  struct stat about {};
  if (::stat(path.c_str(), &about) == 0) device_ = about.st_dev, inode_ = about.st_ino;
  sweep_.bind<&Control::sweep>(this);
  watch_.close();
  watch_.open_level<&Control::on_connection>(loop_, listening_.get(), this);
  return {};
}

void Control::remove() {
  struct stat there {};
  const bool ours = listening_ && ::stat(path_.c_str(), &there) == 0 && there.st_dev == device_ && there.st_ino == inode_;
  if (ours) remove_safely(path_);
  abandon();
}

void Control::abandon() {
  watch_.close();
  listening_.reset();
}

void Control::hand_over() {
  while (listening_ && admit()) {
  }
  std::vector<uint64_t> waiting;
  for (const auto& [number, client] : clients_) {
    if (!client->answered) waiting.push_back(number);
  }
  for (const uint64_t number : waiting) finish(*clients_.at(number), "a \n");
  abandon();
}

void Control::answer_all(const Answer& all) {
  std::vector<uint64_t> waiting;
  for (const auto& [number, client] : clients_) {
    if (client->asked && !client->answered) waiting.push_back(number);
  }
  for (const uint64_t number : waiting) answer(number, all);
}

void Control::on_connection(unsigned) { admit(); }

// False when nobody waits.
bool Control::admit() {
  const int fd = ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return errno == EINTR;
  if (clients_.size() >= max_clients) {
    ::close(fd);
    return true;
  }
  const uint64_t number = next_++;
  clients_.emplace(number, std::make_unique<Client>(*this, number, fd));
  return true;
}

void Control::drop(uint64_t client) {
  const auto found = clients_.find(client);
  if (found == clients_.end()) return;
  found->second->watch.close();
  found->second->connection.reset();
  dropped_.push_back(std::move(found->second));
  clients_.erase(found);
  loop_.defer(sweep_);
}

void Control::answer(uint64_t client, const Answer& answer) {
  const auto found = clients_.find(client);
  if (found == clients_.end()) return;
  std::string text;
  append_lines(text, 'o', answer.out);
  append_lines(text, 'e', answer.err);
  finish(*found->second, text + fmt::format("x {}\n", answer.code));
}

void Control::finish(Client& to, std::string text) {
  to.out = std::move(text);
  to.answered = true;
  to.overdue.start(patience_ms);
  to.flush();
}

// ---------------------------------------------------------------- the other end

namespace {

constexpr int most_masters = 5;  // that one request is sent to, one after the other
constexpr int ask_again = -1;
constexpr int slice_ms = 250;
constexpr size_t longest_line = 16 << 20;

Error silence(int64_t ms) { return Error{Code::timeout, fmt::format("no answer within {}", print_duration(Duration::from_ms(ms))), 0}; }

// A queue of connections that is full is waited for as for an answer.
Result<Descriptor> connect_to(const std::string& path, int64_t ms) {
  const Result<int> connected = connect_unix(path, SOCK_STREAM, ms);
  if (connected.ok()) return Descriptor(connected.value());
  const int number = connected.error().system;
  if (number == EAGAIN) return silence(ms);
  const Code code = number == EACCES || number == EPERM ? Code::refused : Code::not_found;
  return Error{code, connected.error().text, number};
}

pid_t listener_of(int fd) {
  ucred who{};
  socklen_t size = sizeof who;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 ? who.pid : 0;
}

bool is_halted(pid_t pid) {
  const char state = process::state_of(pid);
  return state == 'T' || state == 't' || state == 'Z' || state == 'X';
}

// One conversation.
struct Conversation {
  const Descriptor& connection;
  const ControlPatience& patience;
  const std::function<void(char kind, std::string_view text)>& line;
  pid_t master;
  std::string in;
  bool alive = false;     // it has said something

  // Waits for more; error timeout when the silence has lasted too long.
  Result<void> receive() {
    char block[65536];
    for (int64_t waited = 0;;) {
      const ssize_t n = ::recv(connection.get(), block, sizeof block, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n > 0) {
        alive = true;
        in.append(block, static_cast<size_t>(n));
        return {};
      }
      if (n == 0 || errno != EAGAIN) return Error{Code::closed, "goma closed the connection before it answered", 0};
      waited += slice_ms;
      const bool hope = !alive && patience.first_ms > patience.silence_ms && !is_halted(master);
      const int64_t limit = hope ? patience.first_ms : patience.silence_ms;
      if (patience.silence_ms > 0 && waited >= limit) return silence(waited);
    }
  }
  // The exit code, once it is there; the lines before it are passed on.
  Result<std::optional<int>> take_lines() {
    size_t begin = 0;
    for (size_t end = 0; (end = in.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const std::string_view whole = std::string_view(in).substr(begin, end - begin);
      if (whole.empty()) continue;
      if (whole.size() < 2 || whole[1] != ' ' || std::string_view("oexa").find(whole[0]) == std::string_view::npos) return stranger();
      if (whole[0] == 'x') return std::optional<int>(std::atoi(in.c_str() + begin + 2));
      if (whole[0] == 'a') return std::optional<int>(ask_again);
      line(whole[0], whole.substr(2));
    }
    in.erase(0, begin);
    if (in.size() > longest_line) return stranger();
    return std::optional<int>();
  }
  static Error stranger() { return Error{Code::invalid, "who answers there is no goma, or one of another version", 0}; }
};

Asked ask_once(const std::string& path, const std::vector<std::string>& words, const ControlPatience& patience,
               const std::function<void(char kind, std::string_view text)>& line) {
  const Result<Descriptor> connected = connect_to(path, patience.silence_ms);
  if (!connected.ok()) return {connected.error(), process::holder_of(path.substr(0, path.rfind('/') + 1) + "goma.pid")};
  const Descriptor& connection = connected.value();
  Conversation talk{connection, patience, line, listener_of(connection.get()), {}};
  const std::string request = fmt::format("{}\n", fmt::join(words, "\t"));
  // Who has hung up may have said before where to ask.
  const ssize_t sent = ::send(connection.get(), request.data(), request.size(), MSG_NOSIGNAL);
  static_cast<void>(sent);
  const timeval slice{0, slice_ms * 1000};
  ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
  for (;;) {
    if (Result<void> received = talk.receive(); !received) return {received.error(), talk.master};
    const Result<std::optional<int>> code = talk.take_lines();
    if (!code.ok()) return {code.error(), talk.master};
    if (code.value().has_value()) return {*code.value(), talk.master};
  }
}

}  // namespace

Asked ask_control(const std::string& path, const std::vector<std::string>& words, const ControlPatience& patience,
                  const std::function<void(char kind, std::string_view text)>& line) {
  for (int i = 0; i < most_masters; ++i) {
    Asked asked = ask_once(path, words, patience, line);
    if (!asked.code || *asked.code != ask_again) return asked;
  }
  return {Error{Code::closed, "one upgrade follows the other, and nobody answers", 0}, 0};
}

}  // namespace goma::core
