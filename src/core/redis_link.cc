// SPDX-License-Identifier: Apache-2.0
//
// Opening, writing, reading, and giving up.
#include "core/redis_link.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/socket.h"
#include "core/tls_context.h"

namespace goma::core {

namespace {

constexpr int64_t first_pause_ms = 50;
constexpr int64_t longest_pause_ms = 1'000;  // hosts that come back one after the other let in more meanwhile
constexpr int64_t loading_pause_ms = 250;
constexpr int64_t proving_ms = 2'000;  // a connection that ends sooner has proved nothing
constexpr size_t most_elements = 262'144;  // of all lists of a reply
constexpr std::string_view asking_wire = "*1\r\n$6\r\nASKING\r\n";

// Somewhere between half of a pause and all of it, so that hosts that lost the same Redis do not return together.
int64_t jittered(int64_t ms) {
  static std::minstd_rand random{std::random_device{}()};
  return ms / 2 + static_cast<int64_t>(random() % static_cast<unsigned>(ms / 2 + 1));
}

// The lists of the reply that is being read: a few bytes can announce more elements than there is memory.
size_t elements_of_reply = 0;

template <class N>
void* bounded_array(const redisReadTask* task, N elements) {
  static redisReader* const usual = redisReaderCreate();
  elements_of_reply += static_cast<size_t>(elements);
  return elements_of_reply <= most_elements ? usual->fn->createArray(task, elements) : nullptr;
}

redisReader* new_reader() {
  redisReader* reader = redisReaderCreate();
  static redisReplyObjectFunctions functions = *reader->fn;
  functions.createArray = &bounded_array;
  reader->fn = &functions;
  elements_of_reply = 0;
  return reader;
}

template <class... Words>
void add_command(std::string& wire, const Words&... words) {
  begin_command(wire, sizeof...(words));
  (append_command(wire, words), ...);
}

}  // namespace

RedisLink::RedisLink(const Parts& parts, RedisLinkOwner& owner, std::shared_ptr<const RedisSettings> settings, RedisAddress address, Check check)
    : loop_(parts.loop),
      buffers_(parts.buffers),
      resolver_(parts.resolver),
      metrics_(parts.metrics),
      owner_(owner),
      settings_(std::move(settings)),
      address_(std::move(address)),
      check_(check),
      stream_(parts.buffers) {
  opening_late_.bind<&RedisLink::on_opening_late>(parts.wheel, this);
  timer_.bind<&RedisLink::on_timer>(loop_, this);
  flush_.bind<&RedisLink::flush>(this);
  lookup_.bind<&RedisLink::on_resolved>(this);
}

RedisLink::~RedisLink() {
  dropping_ = true;
  become(State::resting);
  lose_all();
  if (reader_ != nullptr) redisReaderFree(reader_);
}

bool RedisLink::is_plain() const { return settings_->tls == nullptr || (check_ == Check::sentinel && !settings_->sentinel_tls); }

// The gauges follow the state, whichever way it changes.
void RedisLink::become(State state) {
  const auto is_up = [](State s) { return s == State::ready || s == State::silent; };
  if (is_up(state) && !is_up(state_)) {
    metrics_.connected();
    metrics_.opened();
  }
  if (!is_up(state) && is_up(state_)) metrics_.disconnected();
  if ((state == State::silent) != (state_ == State::silent)) metrics_.breaker(state == State::silent);
  state_ = state;
}

// ---------------------------------------------------------------- opening

void RedisLink::open() {
  if (state_ == State::resting && !timer_.running()) connect();
}

void RedisLink::connect() {
  become(State::opening);
  connected_ = securing_ = false;
  greetings_ = 0;
  opening_late_.in(settings_->connect_timeout_ms);
  if (!address_.is_unix()) return resolver_.lookup(address_.host, address_.port, lookup_);
  const Result<int> made = connect_unix(address_.host, SOCK_STREAM | SOCK_NONBLOCK);
  if (!made.ok()) return drop(made.error().text, RedisError::connect);
  use(made.value());
}

void RedisLink::on_resolved(const Result<Resolver::Addresses>& addresses) {
  if (!addresses.ok()) return drop(fmt::format("its name has no address: {}", addresses.error().text), RedisError::connect);
  addresses_ = addresses.value();
  next_address_ = 0;
  try_next_address();
}

void RedisLink::try_next_address() {
  std::string why = "it has no address";
  while (next_address_ < addresses_.size()) {
    const Result<int> made = connect_nonblocking(addresses_[next_address_++]);
    if (made.ok()) return use(made.value());
    why = made.error().text;
  }
  drop(why, RedisError::connect);
}

void RedisLink::use(int fd) {
  stream_.close();
  stream_.open<&RedisLink::on_ready>(loop_, fd, this);
}

void RedisLink::on_ready(unsigned ready) {
  stream_.note(ready);
  if (!connected_) {
    if ((ready & (ready_write | ready_close)) != 0) connected();
    return;
  }
  if ((ready & ready_write) != 0 && stream_.backlog() != 0 && stream_.flush() == Stream::Io::failed) return drop("the connection broke", RedisError::closed);
  if (securing_) {
    if ((ready & (ready_read | ready_close)) != 0) shake_hands();
    return;
  }
  if ((ready & (ready_read | ready_close)) != 0) read();
}

void RedisLink::connected() {
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(stream_.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error == EINPROGRESS || error == EALREADY) return;
  if (error != 0 && next_address_ < addresses_.size()) return try_next_address();
  if (error != 0) return drop(std::strerror(error), RedisError::connect);
  connected_ = true;
  if (is_plain()) return greet();
  const std::string& name = settings_->server_name.empty() ? address_.host : settings_->server_name;
  stream_.secure(TlsSession::connect(settings_->tls->get(), name, &resumption_));
  securing_ = true;
  shake_hands();
}

void RedisLink::shake_hands() {
  const Stream::Io state = stream_.handshake();
  if (state == Stream::Io::blocked) return;
  if (state != Stream::Io::ok) {
    const std::string why = stream_.tls()->error().empty() ? "the connection ended within the TLS handshake" : std::string(stream_.tls()->error());
    return drop("TLS: " + why, RedisError::tls);
  }
  securing_ = false;
  greet();
}

// Everything that makes the connection fit goes out together; the answers come in order.
void RedisLink::greet() {
  reader_ = new_reader();
  unread_ = 0;
  const bool sentinel = check_ == Check::sentinel;
  const std::string& user = sentinel ? settings_->sentinel_username : settings_->username;
  const std::string& password = sentinel ? settings_->sentinel_password : settings_->password;
  std::string wire;
  if (!password.empty() && user.empty()) add_command(wire, "AUTH", password);
  if (!user.empty()) add_command(wire, "AUTH", user, password);
  greetings_ = password.empty() && user.empty() ? 0 : 1;
  if (settings_->database != 0 && !sentinel && settings_->mode != RedisSettings::Mode::cluster) {
    add_command(wire, "SELECT", std::to_string(settings_->database));
    ++greetings_;
  }
  if (check_ == Check::server) {
    add_command(wire, "CLUSTER", "SLOTS");
    add_command(wire, "ROLE");
    greetings_ += 2;
  }
  add_command(wire, check_ == Check::primary ? "ROLE" : "PING");
  ++greetings_;
  if (stream_.write(wire) == Stream::Io::failed) drop("the connection broke", RedisError::closed);
}

// What is wrong with the node, from its answer to a part of the greeting; empty: nothing.
std::string RedisLink::unfit(const RedisReply& reply, RedisError& kind) const {
  const std::string_view said = reply.text();
  kind = RedisError::other;
  const bool asked_for_kind = check_ == Check::server && (greetings_ == 3 || greetings_ == 2);
  const bool is_about_us = said.starts_with("NOAUTH") || said.starts_with("LOADING");
  if (asked_for_kind && reply.kind() == RedisReply::Kind::error && !is_about_us) return {};  // no cluster; or who must not ask, or a proxy that does not know
  if (reply.kind() == RedisReply::Kind::error) {
    if (said.starts_with("NOAUTH")) kind = RedisError::auth;
    if (kind == RedisError::auth) return "it demands a password, and none is configured";
    if (said.starts_with("WRONGPASS") || said.starts_with("ERR invalid password") || said.starts_with("ERR AUTH") || said.starts_with("ERR Client sent AUTH")) kind = RedisError::auth;
    if (kind == RedisError::auth) return fmt::format("it does not accept the user name or password: {}", said);
    if (said.starts_with("LOADING")) kind = RedisError::loading;
    return fmt::format("it says \"{}\"", said);
  }
  kind = RedisError::wrong_role;
  if (asked_for_kind && greetings_ == 3) return "it is a node of a Redis Cluster: write \"mode: cluster\" (TYK_GW_STORAGE_ENABLECLUSTER=true)";
  const bool is_role = check_ == Check::server ? greetings_ == 2 : check_ == Check::primary && greetings_ == 1;
  if (!is_role || reply[0].text() == "master") return {};
  if (reply[0].text() == "sentinel") return "it is a Sentinel: write \"masterName\" and the addresses of the Sentinels";
  return fmt::format("it is a {}, not the primary", reply[0].text() == "slave" ? "replica" : std::string(reply[0].text()));
}

void RedisLink::greeted(const RedisReply& reply) {
  RedisError kind{};
  if (const std::string why = unfit(reply, kind); !why.empty()) return drop(why, kind);
  if (--greetings_ > 0) return;
  opening_late_.clear();
  misses_ = 0;
  ready_ms_ = loop_.now_ms();
  problem_.clear();
  become(State::ready);
  for (RedisRequest* request = queue_.front(); request != nullptr; request = queue_.next(*request)) {
    if (request->asking) out_ += asking_wire;
    out_ += request->wire;
    request->sent = true;
    request->sent_us = loop_.now_us();
  }
  flush();
  owner_.on_link_changed(*this);
}

void RedisLink::on_opening_late() {
  if (state_ != State::opening) return;
  drop(!connected_ ? "it does not accept connections in time" : securing_ ? "it does not answer the TLS handshake; perhaps it speaks no TLS" : "it does not answer", RedisError::connect);
}

// ---------------------------------------------------------------- giving up

void RedisLink::drop(std::string_view why, RedisError kind) {
  if (dropping_) return;
  dropping_ = true;
  const bool was_up = state_ == State::ready || state_ == State::silent;
  problem_ = why;
  metrics_.error(kind);
  opening_late_.clear();
  lookup_.cancel();
  stream_.close();
  if (reader_ != nullptr) redisReaderFree(reader_);
  reader_ = nullptr;
  out_.clear();
  const bool proved = was_up && kind != RedisError::silent && loop_.now_ms() - ready_ms_ >= proving_ms;
  failures_ = proved ? 0 : failures_ + 1;
  become(State::resting);
  const int64_t pause = failures_ == 0 ? 4 : std::min(first_pause_ms << std::min(failures_ - 1, 10), kind == RedisError::loading ? loading_pause_ms : longest_pause_ms);
  timer_.start(jittered(pause) + 1);
  lose_all();
  dropping_ = false;
  owner_.on_link_changed(*this);
}

void RedisLink::lose_all() {
  List<RedisRequest, &RedisRequest::queue> lost;
  lost.take(queue_);
  queued_ = 0;
  while (RedisRequest* request = lost.pop_front()) {
    request->link = nullptr;
    owner_.on_link_lost(*this, *request);
  }
}

// The pause is over, or it is time to see whether the node still answers.
void RedisLink::on_timer() {
  if (state_ == State::resting) return connect();
  RedisRequest* oldest = queue_.front();
  if (oldest == nullptr || state_ == State::opening) return;
  const int64_t silent_us = loop_.now_us() - std::max(oldest->sent_us, heard_us_);
  if (silent_us >= silence_ms * 1000) return drop(fmt::format("it has not answered for {} ms", silent_us / 1000), RedisError::silent);
  timer_.start(silence_ms - silent_us / 1000);
}

void RedisLink::missed() {
  if (++misses_ < breaker_after || state_ != State::ready) return;
  problem_ = "it does not answer in time";
  become(State::silent);
  owner_.on_link_changed(*this);
}

// ---------------------------------------------------------------- writing and reading

void RedisLink::send(RedisRequest& request) {
  request.link = this;
  queue_.push_back(request);
  ++queued_;
  request.sent = state_ == State::ready;
  if (!request.sent) return;
  request.sent_us = loop_.now_us();
  if (request.asking) out_ += asking_wire;
  out_ += request.wire;
  loop_.at_turn_end(flush_);
}

void RedisLink::withdraw(RedisRequest& request) {
  request.queue.unlink();
  request.link = nullptr;
  --queued_;
}

void RedisLink::say(std::string_view wire) {
  out_ += wire;
  loop_.at_turn_end(flush_);
}

void RedisLink::flush() {
  if (out_.empty() || !stream_.is_open()) return;
  const Stream::Io state = stream_.write(out_);
  out_.clear();
  if (state == Stream::Io::failed) return drop("the connection broke", RedisError::closed);
  if (queued_ > 0 && !timer_.running()) timer_.start(silence_ms);
}

void RedisLink::read() {
  BufferPool::Lease block(buffers_.blocks);
  while (stream_.is_open()) {
    const Stream::Read got = stream_.read(block.data(), block.size());
    if (got.state == Stream::Io::blocked) return;
    if (got.state != Stream::Io::ok) return drop("it closed the connection", RedisError::closed);
    heard_us_ = loop_.now_us();
    misses_ = 0;
    if (state_ == State::silent) {
      become(State::ready);
      problem_.clear();
      owner_.on_link_changed(*this);
    }
    unread_ += got.n;
    if (redisReaderFeed(reader_, block.data(), got.n) != REDIS_OK || !take_replies()) return drop("it speaks no RESP", RedisError::protocol);
    if (reader_ != nullptr && unread_ > settings_->max_reply_bytes) return drop(fmt::format("a reply is longer than {} bytes", settings_->max_reply_bytes), RedisError::protocol);
    if (!got.more) return;
  }
}

// False: what came is no reply. A reply may end the link.
bool RedisLink::take_replies() {
  while (reader_ != nullptr) {
    void* raw = nullptr;
    if (redisReaderGetReply(reader_, &raw) != REDIS_OK) return false;
    if (raw == nullptr) return true;
    unread_ = 0;
    elements_of_reply = 0;
    take_reply(RedisReply(raw));
    freeReplyObject(raw);
  }
  return true;
}

void RedisLink::take_reply(const RedisReply& reply) {
  if (greetings_ > 0) return greeted(reply);
  if (check_ == Check::subscriber) return owner_.on_link_push(*this, reply);
  RedisRequest* request = queue_.front();
  if (request == nullptr) return drop("it answers what was not asked", RedisError::protocol);
  if (request->asking) {  // the answer to ASKING comes before that to the command
    request->asking = false;
    return;
  }
  withdraw(*request);
  const int64_t took_us = loop_.now_us() - request->sent_us;
  latency_us_ = latency_us_ == 0 ? took_us : latency_us_ + (took_us - latency_us_) / 8;
  owner_.on_link_reply(*this, *request, reply);
}

}  // namespace goma::core
