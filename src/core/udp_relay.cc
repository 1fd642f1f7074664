// SPDX-License-Identifier: Apache-2.0
//
// Datagrams in batches: one system call for up to sixteen, from clients and from targets alike.
#include "core/udp_relay.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace goma::core {

namespace {

constexpr size_t batch_size = 16;
constexpr size_t datagram_bytes = 65'536;  // more than UDP can carry: nothing is ever cut
constexpr int batches_per_turn = 4;
constexpr size_t early_datagrams = 16;     // kept while a name is looked up
constexpr size_t early_bytes = 65'536;
constexpr int64_t drain_quiet_ms = 2'000;

union Control {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo))];
};

// The address of the machine that a datagram was sent to.
Address asked_address(msghdr& message) {
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  sockaddr_in four{};
  four.sin_family = AF_INET;
  Address found;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      six.sin6_addr = info.ipi6_addr;
      return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&six));
    }
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      four.sin_addr = info.ipi_addr;
      found = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&four));
    }
  }
  return found;
}

template <class Info>
void put_control(msghdr& message, Control& control, int level, int type, const Info& info) {
  message.msg_control = control.bytes;
  message.msg_controllen = CMSG_SPACE(sizeof info);
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = level;
  head->cmsg_type = type;
  head->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(head), &info, sizeof info);
}

// Makes the answer leave from the address that was asked.
void answer_from(msghdr& message, Control& control, const Address& local, bool six) {
  if (local.family() == Address::Family::none) return;
  if (six) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, local.bytes().data(), 16);
    put_control(message, control, IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, local.bytes().data() + 12, 4);
    put_control(message, control, IPPROTO_IP, IP_PKTINFO, info);
  }
}

// An IPv4 client of an IPv6 socket is written in IPv6's form.
socklen_t client_sockaddr(const Address& client, bool six, sockaddr_storage& into) {
  if (!six || client.family() == Address::Family::ipv6) return client.to_sockaddr(into);
  std::memset(&into, 0, sizeof into);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(into);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(client.port());
  std::memcpy(&v6.sin6_addr, client.bytes().data(), 16);
  return sizeof v6;
}

bool is_refusal(int number) { return number == ECONNREFUSED || number == EHOSTUNREACH || number == ENETUNREACH; }

}  // namespace

// ---------------------------------------------------------------- parts

// Room for one batch; pages that are never written cost nothing.
struct UdpRelay::Batch {
  Batch() : memory(std::make_unique_for_overwrite<char[]>(batch_size * datagram_bytes)) {}

  char* room(size_t i) { return memory.get() + i * datagram_bytes; }
  std::string_view datagram(size_t i) { return {room(i), messages[i].msg_len}; }
  int receive(int fd) {
    for (size_t i = 0; i < batch_size; ++i) {
      pieces[i] = {room(i), datagram_bytes};
      messages[i] = {};
      msghdr& head = messages[i].msg_hdr;
      head.msg_iov = &pieces[i];
      head.msg_iovlen = 1;
      head.msg_name = &names[i];
      head.msg_namelen = sizeof names[i];
      head.msg_control = controls[i].bytes;
      head.msg_controllen = sizeof controls[i];
    }
    return ::recvmmsg(fd, messages.data(), batch_size, MSG_DONTWAIT, nullptr);
  }
  // Sends on what was received to a client. Returns how many were taken.
  int send(size_t count, const Socket& socket, const Key& key);

  std::unique_ptr<char[]> memory;
  std::array<mmsghdr, batch_size> messages;
  std::array<iovec, batch_size> pieces;
  std::array<sockaddr_storage, batch_size> names;
  std::array<Control, batch_size> controls;
};

struct UdpRelay::Socket {
  Socket(UdpRelay& o, int descriptor) : owner(o), fd(descriptor), six(local_address(descriptor).family() == Address::Family::ipv6) {}
  ~Socket() {
    watch.close();
    ::close(fd);
  }
  void on_ready(unsigned) { owner.receive(*this); }

  UdpRelay& owner;
  int fd;
  bool six;
  Watch watch;
};

struct UdpRelay::Session {
  Session(UdpRelay& o, const Key& k) : owner(o), key(k) { lookup.bind<&Session::on_resolved>(this); }

  void on_ready(unsigned) { owner.answers(*this); }
  void on_resolved(const Result<Resolver::Addresses>& addresses);
  void connect(const Address& to);

  UdpRelay& owner;
  Key key;
  Resolver::Lookup lookup;
  Descriptor socket;
  Address address;        // it is connected to
  int64_t again_ms = 0;   // when the name is asked again
  Watch watch;
  ListHook hook;  // by last datagram
  std::shared_ptr<const void> keep;
  UdpRelayOwner::Facts facts;
  std::vector<std::string> early;
  size_t early_size = 0;
  int64_t begun_ms = 0;
  int64_t last_ms = 0;
  bool over = false;
};

struct UdpRelay::Lists {
  List<Session, &Session::hook> quietest_first;
  std::vector<std::unique_ptr<Session>> dead;
};

int UdpRelay::Batch::send(size_t count, const Socket& socket, const Key& key) {
  sockaddr_storage client;
  const socklen_t length = client_sockaddr(key.client, socket.six, client);
  for (size_t i = 0; i < count; ++i) {
    pieces[i].iov_len = messages[i].msg_len;
    msghdr head{};
    head.msg_iov = &pieces[i];
    head.msg_iovlen = 1;
    head.msg_name = &client;
    head.msg_namelen = length;
    answer_from(head, controls[i], key.local, socket.six);
    messages[i].msg_hdr = head;
  }
  return ::sendmmsg(socket.fd, messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
}

size_t UdpRelay::KeyHash::operator()(const Key& key) const {
  char bytes[34];
  std::memcpy(bytes, key.client.bytes().data(), 16);
  std::memcpy(bytes + 16, key.local.bytes().data(), 16);
  const uint16_t port = key.client.port();
  std::memcpy(bytes + 32, &port, 2);
  return std::hash<std::string_view>()({bytes, sizeof bytes});
}

// ---------------------------------------------------------------- the relay

UdpRelay::UdpRelay(TcpRelays& shared, UdpRelayOwner& owner)
    : shared_(shared), owner_(owner), batch_(std::make_unique<Batch>()), lists_(std::make_unique<Lists>()) {
  deadline_.bind<&UdpRelay::on_deadline>(shared.wheel, this);
  burial_.bind<&UdpRelay::bury>(this);
}

UdpRelay::~UdpRelay() = default;

void UdpRelay::configure(const Options& options) {
  options_ = options;
  on_deadline();
}

void UdpRelay::serve(const std::vector<int>& sockets) {
  std::vector<std::unique_ptr<Socket>> old = std::move(sockets_);
  sockets_.clear();
  for (const int fd : sockets) {
    const auto same = std::find_if(old.begin(), old.end(), [fd](const auto& s) { return s && s->fd == fd; });
    sockets_.push_back(same != old.end() ? std::move(*same) : std::make_unique<Socket>(*this, fd));
    Socket& socket = *sockets_.back();
    if (!draining_ && !socket.watch.is_open()) socket.watch.open_level<&Socket::on_ready>(shared_.loop, fd, &socket);
  }
  for (const std::unique_ptr<Socket>& socket : old) {
    if (socket) receive(*socket);
  }
  if (sockets_.empty()) stop();
}

void UdpRelay::answer_through(int fd) {
  for (const std::unique_ptr<Socket>& socket : sockets_) receive(*socket);
  sockets_.clear();
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return stop();
  sockets_.push_back(std::make_unique<Socket>(*this, copy));
  hurry();
}

int UdpRelay::socket() const { return sockets_.empty() ? -1 : sockets_.front()->fd; }

// Who has not been answered by then is not waited for.
void UdpRelay::hurry() {
  options_.idle_ms = options_.idle_ms == 0 ? drain_quiet_ms : std::min(options_.idle_ms, drain_quiet_ms);
  on_deadline();
}

void UdpRelay::drain() {
  draining_ = true;
  for (std::unique_ptr<Socket>& socket : sockets_) socket->watch.close();
  hurry();
}

void UdpRelay::stop() {
  while (Session* session = lists_->quietest_first.front()) end(*session, UdpRelayOwner::End::stopped);
}

// ---------------------------------------------------------------- from clients

void UdpRelay::receive(Socket& socket) {
  for (int i = 0; i < batches_per_turn; ++i) {
    const int count = batch_->receive(socket.fd);
    if (count <= 0) return;
    for (size_t at = 0; at < static_cast<size_t>(count); ++at) {
      const Key key{Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&batch_->names[at])), asked_address(batch_->messages[at].msg_hdr)};
      take(key, batch_->datagram(at));
    }
    if (static_cast<size_t>(count) < batch_size) return;
  }
}

void UdpRelay::take(const Key& key, std::string_view datagram) {
  const auto known = table_.find(key);
  Session& session = known != table_.end() ? *known->second : open_session(key);
  if (session.over) return owner_.on_dropped();
  touch(session);
  const bool old = session.socket && session.last_ms >= session.again_ms && !session.lookup.pending();
  if (old) shared_.resolver.refresh(session.facts.target->host, session.facts.target->port, session.lookup);
  if (!session.over) send_up(session, datagram);
}

UdpRelay::Session& UdpRelay::open_session(const Key& key) {
  if (options_.max_sessions != 0 && table_.size() >= options_.max_sessions) end(*lists_->quietest_first.front(), UdpRelayOwner::End::evicted);
  Session& session = *table_.emplace(key, std::make_unique<Session>(*this, key)).first->second;
  lists_->quietest_first.push_back(session);
  session.begun_ms = session.last_ms = shared_.loop.now_ms();
  session.facts.client = key.client;
  session.facts.target = owner_.on_session_begun(session.keep);
  if (deadline_.due_ms() == 0) on_deadline();
  if (session.facts.target == nullptr) {
    end(session, UdpRelayOwner::End::unreachable);
  } else {
    shared_.resolver.lookup(session.facts.target->host, session.facts.target->port, session.lookup);
  }
  return session;
}

// The first time, and again when the name may have moved: a session goes on with what it has unless that is gone.
void UdpRelay::Session::on_resolved(const Result<Resolver::Addresses>& addresses) {
  again_ms = lookup.again_ms();
  const bool found = addresses.ok() && !addresses.value().empty();
  if (socket && (!found || std::find(addresses.value().begin(), addresses.value().end(), address) != addresses.value().end())) return;
  if (!found) return owner.end(*this, UdpRelayOwner::End::unreachable);
  connect(addresses.value().front());
}

void UdpRelay::Session::connect(const Address& to) {
  const Result<int> opened = connect_datagrams(to);
  if (!opened) return owner.end(*this, UdpRelayOwner::End::unreachable);
  watch.close();
  address = to;
  socket.reset(opened.value());
  watch.open_level<&Session::on_ready>(owner.shared_.loop, socket.get(), this);
  for (const std::string& datagram : std::exchange(early, {})) {
    if (!over) owner.send_up(*this, datagram);
  }
}

void UdpRelay::send_up(Session& session, std::string_view datagram) {
  if (!session.socket) {
    const bool room = session.early.size() < early_datagrams && session.early_size + datagram.size() <= early_bytes;
    if (!room) return owner_.on_dropped();
    session.early_size += datagram.size();
    session.early.emplace_back(datagram);
    return;
  }
  if (::send(session.socket.get(), datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
    session.facts.from_client += datagram.size();
    shared_.metrics.add(options_.from_client, datagram.size());
    return;
  }
  const bool refused = is_refusal(errno);
  owner_.on_dropped();
  if (refused) end(session, UdpRelayOwner::End::refused);
}

// ---------------------------------------------------------------- from targets

void UdpRelay::answers(Session& session) {
  for (int i = 0; i < batches_per_turn; ++i) {
    const int count = batch_->receive(session.socket.get());
    if (count < 0 && is_refusal(errno)) return end(session, UdpRelayOwner::End::refused);
    if (count <= 0 || sockets_.empty()) return;
    touch(session);
    uint64_t bytes = 0;
    for (size_t at = 0; at < static_cast<size_t>(count); ++at) bytes += batch_->messages[at].msg_len;
    const int sent = std::max(batch_->send(static_cast<size_t>(count), *sockets_.front(), session.key), 0);
    for (int lost = sent; lost < count; ++lost) owner_.on_dropped();
    session.facts.from_target += bytes;
    shared_.metrics.add(options_.from_target, bytes);
    if (static_cast<size_t>(count) < batch_size) return;
  }
}

// ---------------------------------------------------------------- the end of sessions

void UdpRelay::touch(Session& session) {
  session.last_ms = shared_.loop.now_ms();
  session.hook.unlink();
  lists_->quietest_first.push_back(session);
}

void UdpRelay::end(Session& session, UdpRelayOwner::End how) {
  if (session.over) return;
  session.over = true;
  session.lookup.cancel();
  session.watch.close();
  session.socket.reset();
  session.hook.unlink();
  session.facts.end = how;
  session.facts.took_ms = shared_.loop.now_ms() - session.begun_ms;
  auto place = table_.find(session.key);
  lists_->dead.push_back(std::move(place->second));
  table_.erase(place);
  shared_.loop.defer(burial_);
  owner_.on_session_over(session.facts);
}

void UdpRelay::bury() { lists_->dead.clear(); }

// One deadline for all: that of the quietest.
void UdpRelay::on_deadline() {
  deadline_.clear();
  if (options_.idle_ms <= 0) return;
  const int64_t now = shared_.loop.now_ms();
  while (Session* session = lists_->quietest_first.front()) {
    if (session->last_ms + options_.idle_ms > now) {
      deadline_.set(session->last_ms + options_.idle_ms);
      return;
    }
    end(*session, UdpRelayOwner::End::idle);
  }
}

}  // namespace goma::core
