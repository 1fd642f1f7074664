// SPDX-License-Identifier: Apache-2.0
//
// Names to addresses, without ever blocking. Addresses are their own answer, /etc/hosts comes before the name servers,
// and an answer is kept as long as its TTL says (at most Options::ttl_seconds), a failure for 5 seconds.
//
// The one idea: keep the last good answer. A name server that fails, or says that there is nothing, does not break working
// backends: their last addresses serve until there are others. Only an answer that is merely old is asked for anew
// before it is used, and for half a second at most.
//
// Who holds connections keeps up with a name by refresh(), which asks a little before an answer expires and tells what is
// new; so under traffic nobody ever waits for a look-up.
//
// Limits: names of 253 bytes, 64 addresses each, 5 seconds for a look-up, 4096 names.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/deadline.h"
#include "core/list.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/socket.h"

namespace goma::core {

class Resolver {
 public:
  using Addresses = std::vector<Address>;

  struct Options {
    int64_t ttl_seconds = 300;         // upper bound of an answer's life
    std::vector<std::string> servers;  // ip[:port], in order; empty: those of the machine
    std::string hosts_file = "/etc/hosts";
    bool operator==(const Options&) const = default;
  };

  // Somebody who waits for an answer. Destroying it leaves the queue.
  class Lookup {
   public:
    Lookup() = default;
    // Calls (owner->*Method)(const Result<Addresses>&) once per lookup.
    template <auto Method, class Owner>
    void bind(Owner* owner) {
      owner_ = owner;
      run_ = [](void* o, const Result<Addresses>& answer) { (static_cast<Owner*>(o)->*Method)(answer); };
    }
    void cancel() { hook.unlink(); }
    bool pending() const { return hook.linked(); }
    // When it is worth asking again, by Loop::now_ms(). Valid in the callback.
    int64_t again_ms() const { return again_ms_; }

    ListHook hook;

   private:
    friend class Resolver;
    void* owner_ = nullptr;
    void (*run_)(void*, const Result<Addresses>&) = nullptr;
    int64_t again_ms_ = 0;
    uint16_t port_ = 0;
    bool wants_news_ = false;
  };

  Resolver(Loop& loop, DeadlineWheel& wheel, Options options);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  // Whoever still waits is not called.
  ~Resolver();

  // Finds the addresses of a name or address (brackets allowed) and calls the lookup back, before it returns when
  // they are known. An answer has at least one address; every time another one comes first. Errors: invalid (no
  // name), not_found, timeout, exhausted. Requires: the lookup is bound and not pending.
  void lookup(std::string_view host, uint16_t port, Lookup& lookup);
  // The same, except that what is about to expire is asked for anew, and what is not known for certain is an error:
  // there are no news then, and the last addresses may be kept.
  void refresh(std::string_view host, uint16_t port, Lookup& lookup);
  // New options; other name servers forget every answer.
  void configure(const Options& options);
  // Forgets every answer; whoever waits still gets one.
  void clear();

 private:
  struct Known;
  struct Name;
  struct Table;  // keeps c-ares out of this header

  void find(std::string_view host, uint16_t port, Lookup& lookup);
  int64_t files_ms() const;
  Name& name_of(std::string key);
  bool answer_at_once(Name& name, Lookup& lookup);
  void answer(const Known& known, size_t turn, Lookup& lookup);
  void ask(Name& name);
  void waited_long(Name& name);
  void settle();
  void make_room();
  void look_at_files();

  Loop& loop_;
  DeadlineWheel& wheel_;
  Options options_;
  Deferred settle_;
  std::unique_ptr<Table> table_;
};

}  // namespace goma::core
