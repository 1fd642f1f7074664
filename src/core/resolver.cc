// SPDX-License-Identifier: Apache-2.0
//
// The cache and its rules. A name is
//
//   fresh     its addresses are answered
//   old       they have expired: it is asked anew, and lookups wait for that, or for a moment
//   failing   the last answer was none: its addresses are answered, and asked for anew
//   failed    the same without addresses: its error is answered until it may be asked again
//
// Answers of name servers are noted when they come and told to waiting lookups after the callback, never from inside c-ares.
#include "core/resolver.h"

#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "core/dns_channel.h"
#include "core/hosts_file.h"
#include "core/text.h"

namespace goma::core {

namespace {

constexpr int64_t failure_ms = 5'000;        // how long a failure is believed
constexpr int64_t look_up_ms = 5'000;
constexpr int64_t old_ms = 500;              // how long a lookup waits where there is an old answer
constexpr int64_t ahead_ms = 500;            // who keeps up with a name asks this long before its answer expires
constexpr int64_t look_at_files_ms = 5'000;  // at most; what they say lives no longer than answers do
constexpr size_t max_names = 4096;
constexpr size_t max_name = 253;
constexpr const char* resolv_conf = "/etc/resolv.conf";

// Letters, digits, '-', '_' and '.', and not a number in its last label: that would be a strange way to write an address.
bool is_name(std::string_view name) {
  if (name.empty() || name.size() > max_name) return false;
  const bool allowed = std::all_of(name.begin(), name.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_' || c == '.'; });
  if (!allowed || name.front() == '.' || name.find("..") != std::string_view::npos) return false;
  if (name.back() == '.') name.remove_suffix(1);
  const std::string_view last = name.substr(name.rfind('.') + 1);
  return !std::all_of(last.begin(), last.end(), is_digit);
}

timespec changed_at(const char* path) {
  struct stat status {};
  return ::stat(path, &status) == 0 ? status.st_mtim : timespec{};
}

// The addresses with the port; those of the first one's family take turns.
Resolver::Addresses in_turn(const Resolver::Addresses& addresses, size_t turn, uint16_t port) {
  Resolver::Addresses out;
  out.reserve(addresses.size());
  for (const Address& address : addresses) out.push_back(address.with_port(port));
  const auto family = out.front().family();
  const auto others = std::find_if(out.begin(), out.end(), [&](const Address& a) { return a.family() != family; });
  const auto group = static_cast<size_t>(others - out.begin());
  std::rotate(out.begin(), out.begin() + static_cast<ptrdiff_t>(turn % group), others);
  return out;
}

Error error_of(const std::string& name, const DnsChannel::Answer& answer) {
  switch (answer.outcome) {
    case DnsChannel::Outcome::absent: return {Code::not_found, "there is no address of " + name, 0};
    case DnsChannel::Outcome::timeout: return {Code::timeout, "no name server answered for " + name, 0};
    default: return {Code::refused, "the name servers failed for " + name + ": " + answer.text, 0};
  }
}

}  // namespace

// What is known of a name.
struct Resolver::Known {
  bool fresh(int64_t now) const { return !addresses.empty() && !failing && now < expires_ms; }

  Addresses addresses;
  int64_t expires_ms = 0;
  int64_t failed_until_ms = 0;
  Error error;
  bool failing = false;  // the last answer was none
};

struct Resolver::Name {
  Name(Resolver& r, std::string text) : resolver(r), name(std::move(text)) { deadline.bind<&Name::on_deadline>(r.wheel_, this); }
  void on_deadline() { resolver.waited_long(*this); }

  Resolver& resolver;
  std::string name;
  Known known;
  size_t turn = 0;
  bool asking = false;
  List<Lookup, &Lookup::hook> waiting;
  Deadline deadline;
  ListHook settled_hook;
};

struct Resolver::Table {
  Table(Loop& loop, const Options& options) : hosts(options.hosts_file), channel(std::make_unique<DnsChannel>(loop, options.servers)) {}

  HostsFile hosts;
  std::unordered_map<std::string, std::unique_ptr<Name>> names;
  List<Name, &Name::settled_hook> settled;
  timespec resolv_changed = changed_at(resolv_conf);
  int64_t files_looked_at_ms = -look_at_files_ms;
  std::unique_ptr<DnsChannel> channel;  // last: its answers end first
};

Resolver::Resolver(Loop& loop, DeadlineWheel& wheel, Options options)
    : loop_(loop), wheel_(wheel), options_(std::move(options)), table_(std::make_unique<Table>(loop, options_)) {
  settle_.bind<&Resolver::settle>(this);
}

Resolver::~Resolver() = default;

void Resolver::lookup(std::string_view host, uint16_t port, Lookup& lookup) {
  lookup.wants_news_ = false;
  find(host, port, lookup);
}

void Resolver::refresh(std::string_view host, uint16_t port, Lookup& lookup) {
  lookup.wants_news_ = true;
  find(host, port, lookup);
}

void Resolver::find(std::string_view host, uint16_t port, Lookup& lookup) {
  GOMA_CHECK(lookup.run_ != nullptr && !lookup.pending());
  lookup.port_ = port;
  lookup.again_ms_ = std::numeric_limits<int64_t>::max();
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (const std::optional<Address> literal = Address::parse_ip(host, port)) {
    lookup.run_(lookup.owner_, Addresses{*literal});
    return;
  }
  if (!is_name(host)) {
    lookup.run_(lookup.owner_, Error{Code::invalid, "not a host name: " + std::string(host.substr(0, max_name)), 0});
    return;
  }
  look_at_files();
  std::string key = to_lower(host);
  const Addresses* listed = table_->hosts.find(key);
  Name& name = name_of(std::move(key));
  if (listed != nullptr) {  // kept like an answer, for when the file does not have it any more
    name.known.addresses = *listed;
    name.known.expires_ms = loop_.now_ms();
    name.known.failing = false;
    lookup.again_ms_ = loop_.now_ms() + files_ms();
    lookup.run_(lookup.owner_, in_turn(*listed, name.turn++, port));
    return;
  }
  if (answer_at_once(name, lookup)) return;
  const int64_t patience_ms = name.known.addresses.empty() || lookup.wants_news_ ? look_up_ms : old_ms;
  if (name.waiting.empty() || name.deadline.due_ms() > loop_.now_ms() + patience_ms) name.deadline.in(patience_ms);
  name.waiting.push_back(lookup);
  if (!name.asking) ask(name);
}

int64_t Resolver::files_ms() const { return std::min(look_at_files_ms, std::max<int64_t>(options_.ttl_seconds, 1) * 1000); }

Resolver::Name& Resolver::name_of(std::string key) {
  const auto found = table_->names.find(key);
  if (found != table_->names.end()) return *found->second;
  make_room();
  std::unique_ptr<Name>& made = table_->names[key];
  made = std::make_unique<Name>(*this, std::move(key));
  return *made;
}

// False when the lookup must wait.
bool Resolver::answer_at_once(Name& name, Lookup& lookup) {
  const int64_t now = loop_.now_ms();
  const Known& known = name.known;
  if (!known.fresh(lookup.wants_news_ ? now + ahead_ms : now) && now >= known.failed_until_ms) {
    const bool serves = known.failing && !known.addresses.empty();
    if (lookup.wants_news_ || !serves) return false;
    if (!name.asking) ask(name);
  }
  answer(known, name.turn++, lookup);
  return true;
}

void Resolver::answer(const Known& known, size_t turn, Lookup& lookup) {
  lookup.again_ms_ = known.failing ? known.failed_until_ms : known.expires_ms - ahead_ms;
  if (known.addresses.empty() || (known.failing && lookup.wants_news_)) {
    lookup.run_(lookup.owner_, Error(known.error));
  } else {
    lookup.run_(lookup.owner_, in_turn(known.addresses, turn, lookup.port_));
  }
}

void Resolver::ask(Name& name) {
  name.asking = true;
  table_->channel->query(name.name, [this, &name](DnsChannel::Answer got) {
    const int64_t now = loop_.now_ms();
    name.asking = false;
    if (got.outcome == DnsChannel::Outcome::found) {
      name.known.addresses = std::move(got.addresses);
      name.known.expires_ms = now + std::clamp<int64_t>(got.ttl_seconds, 1, std::max<int64_t>(options_.ttl_seconds, 1)) * 1000;
      name.known.failed_until_ms = 0;
      name.known.failing = false;
    } else {
      name.known.failing = true;
      name.known.failed_until_ms = now + failure_ms;
      name.known.error = error_of(name.name, got);
    }
    if (!name.settled_hook.linked()) table_->settled.push_back(name);
    loop_.defer(settle_);
  });
}

void Resolver::settle() {
  while (Name* settled = table_->settled.pop_front()) {
    Name& name = *settled;
    name.deadline.clear();
    // A callback may look up another name, or forget all: this one may be gone after it.
    List<Lookup, &Lookup::hook> waiting;
    waiting.take(name.waiting);
    const Known known = name.known;
    size_t turn = name.turn++;
    while (Lookup* lookup = waiting.pop_front()) answer(known, turn++, *lookup);
  }
}

// The question stays open: a late answer is still welcome to those who come later.
void Resolver::waited_long(Name& name) {
  if (name.settled_hook.linked()) return;
  name.known.failing = true;
  name.known.failed_until_ms = loop_.now_ms() + failure_ms;
  name.known.error = Error{Code::timeout, "no name server answered for " + name.name, 0};
  table_->settled.push_back(name);
  loop_.defer(settle_);
}

void Resolver::configure(const Options& options) {
  if (options == options_) return;
  const bool other_servers = options.servers != options_.servers;
  const bool other_hosts = options.hosts_file != options_.hosts_file;
  options_ = options;
  if (other_hosts) {
    table_->hosts = HostsFile(options_.hosts_file);
    table_->files_looked_at_ms = loop_.now_ms() - look_at_files_ms;
  }
  if (other_servers) clear();
}

void Resolver::clear() {
  // Open questions end without an answer; who waits asks the new channel.
  table_->channel = std::make_unique<DnsChannel>(loop_, options_.servers);
  for (auto at = table_->names.begin(); at != table_->names.end();) {
    Name& name = *at->second;
    name.known = Known();
    name.asking = false;
    if (name.waiting.empty()) {
      at = table_->names.erase(at);
    } else {
      ++at;
    }
  }
  for (auto& [key, name] : table_->names) ask(*name);
}

void Resolver::make_room() {
  if (table_->names.size() < max_names) return;
  auto oldest = table_->names.end();
  for (auto at = table_->names.begin(); at != table_->names.end(); ++at) {
    const Name& name = *at->second;
    if (name.asking || !at->second->waiting.empty() || name.settled_hook.linked()) continue;
    if (oldest == table_->names.end() || name.known.expires_ms < oldest->second->known.expires_ms) oldest = at;
  }
  if (oldest != table_->names.end()) table_->names.erase(oldest);
}

void Resolver::look_at_files() {
  const int64_t now = loop_.now_ms();
  if (now - table_->files_looked_at_ms < files_ms()) return;
  table_->files_looked_at_ms = now;
  table_->hosts.refresh();
  const timespec changed = changed_at(resolv_conf);
  const bool same = changed.tv_sec == table_->resolv_changed.tv_sec && changed.tv_nsec == table_->resolv_changed.tv_nsec;
  if (same) return;
  table_->resolv_changed = changed;
  if (options_.servers.empty()) clear();
}

}  // namespace goma::core
