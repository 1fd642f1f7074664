// SPDX-License-Identifier: Apache-2.0
//
// Events in, ares_process_fd, answers out. Two tries per server, 1 s and 2 s; the resolver bounds the whole.
#include "core/dns_channel.h"

#include <ares.h>
#include <poll.h>

#include <algorithm>

namespace goma::core {

namespace {

constexpr int try_ms = 1000;
constexpr int tries = 2;
constexpr int max_rounds = 1000;  // of processing one socket after one event

bool library_ready() {
  static const bool ready = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
  return ready;
}

std::string server_list(const std::vector<std::string>& servers) {
  std::string list;
  for (const std::string& server : servers) {
    const std::optional<Address> address = Address::parse(server, 53);
    if (!address) continue;  // refused when the configuration was read
    if (!list.empty()) list += ',';
    list += address->text();
  }
  return list;
}

bool has_input(int fd) {
  pollfd asked{fd, POLLIN, 0};
  return ::poll(&asked, 1, 0) > 0 && asked.revents != 0;
}

DnsChannel::Outcome outcome_of(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME: return DnsChannel::Outcome::absent;
    case ARES_ETIMEOUT: return DnsChannel::Outcome::timeout;
    default: return DnsChannel::Outcome::failed;
  }
}

// The addresses of a result without repetitions; the shortest TTL counts.
void take_addresses(const ares_addrinfo& result, DnsChannel::Answer& answer) {
  int ttl = INT32_MAX;
  for (const ares_addrinfo_node* node = result.nodes; node != nullptr; node = node->ai_next) {
    if (answer.addresses.size() == DnsChannel::max_addresses) break;
    const Address address = Address::from_sockaddr(node->ai_addr).with_port(0);
    if (address.family() == Address::Family::none) continue;
    ttl = std::min(ttl, node->ai_ttl);
    if (std::find(answer.addresses.begin(), answer.addresses.end(), address) == answer.addresses.end()) answer.addresses.push_back(address);
  }
  answer.ttl_seconds = ttl;
}

}  // namespace

struct DnsChannel::Question {
  DnsChannel& channel;
  Done done;
};

struct DnsChannel::Socket {
  Socket(DnsChannel& owner, int descriptor) : channel(owner), fd(descriptor) { watch.open<&Socket::on_ready>(owner.loop_, fd, this); }
  // Processing may end this socket.
  void on_ready(unsigned ready) { channel.process(fd, (ready & (ready_read | ready_close)) != 0, wants_write && (ready & ready_write) != 0); }
  DnsChannel& channel;
  int fd;
  bool wants_write = false;
  Watch watch;
};

DnsChannel::DnsChannel(Loop& loop, const std::vector<std::string>& servers) : loop_(loop) {
  timer_.bind<&DnsChannel::on_timer>(loop, this);
  writers_.bind<&DnsChannel::try_writers>(this);
  ares_options options{};
  char lookups[] = "b";  // name servers only
  options.timeout = try_ms;
  options.tries = tries;
  options.lookups = lookups;
  options.sock_state_cb = &DnsChannel::state_changed;
  options.sock_state_cb_data = this;
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
  int status = library_ready() ? ares_init_options(&channel_, &options, mask) : ARES_ENOTINITIALIZED;
  if (status == ARES_SUCCESS && !servers.empty()) status = ares_set_servers_ports_csv(channel_, server_list(servers).c_str());
  if (status != ARES_SUCCESS) broken_ = ares_strerror(status);
}

DnsChannel::~DnsChannel() {
  if (channel_ != nullptr) ares_destroy(channel_);
}

void DnsChannel::query(const std::string& name, Done done) {
  if (!broken_.empty()) {
    done(Answer{Outcome::failed, {}, 0, broken_});
    return;
  }
  auto question = std::make_unique<Question>(Question{*this, std::move(done)});
  ++open_questions_;
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, &DnsChannel::answered, question.release());
  arm();
}

void DnsChannel::answered(void* question, int status, int, ares_addrinfo* result) {
  const std::unique_ptr<Question> asked(static_cast<Question*>(question));
  const std::unique_ptr<ares_addrinfo, void (*)(ares_addrinfo*)> owned(result, &ares_freeaddrinfo);
  --asked->channel.open_questions_;
  if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED) return;
  Answer answer;
  if (status == ARES_SUCCESS && result != nullptr) take_addresses(*result, answer);
  if (answer.addresses.empty()) {
    answer.outcome = outcome_of(status == ARES_SUCCESS ? ARES_ENODATA : status);
    answer.text = ares_strerror(status == ARES_SUCCESS ? ARES_ENODATA : status);
  } else {
    answer.outcome = Outcome::found;
  }
  asked->done(std::move(answer));
}

void DnsChannel::state_changed(void* self, int fd, int readable, int writable) {
  auto& channel = *static_cast<DnsChannel*>(self);
  if (!readable && !writable) {
    channel.sockets_.erase(fd);
    return;
  }
  std::unique_ptr<Socket>& socket = channel.sockets_[fd];
  if (!socket) socket = std::make_unique<Socket>(channel, fd);
  socket->wants_write = writable != 0;
  if (writable) channel.loop_.defer(channel.writers_);
}

void DnsChannel::process(int fd, bool read, bool write) {
  int rounds = 0;
  do {
    ares_process_fd(channel_, read ? fd : ARES_SOCKET_BAD, write ? fd : ARES_SOCKET_BAD);
    write = false;
  } while (read && ++rounds < max_rounds && sockets_.count(fd) != 0 && has_input(fd));
  arm();
}

void DnsChannel::try_writers() {
  std::vector<int> wanting;
  for (const auto& [fd, socket] : sockets_) {
    if (socket->wants_write) wanting.push_back(fd);
  }
  for (const int fd : wanting) {
    if (sockets_.count(fd) != 0) process(fd, false, true);
  }
}

void DnsChannel::on_timer() {
  ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  arm();
}

void DnsChannel::arm() {
  if (open_questions_ == 0) {
    timer_.stop();
    return;
  }
  timeval next{};
  timeval most{1, 0};
  const timeval* wait = ares_timeout(channel_, &most, &next);
  timer_.start(wait->tv_sec * 1000 + wait->tv_usec / 1000 + 1);
}

}  // namespace goma::core
