// SPDX-License-Identifier: Apache-2.0
//
// The module interface: what a feature sees of the gateway. A middleware is one configured instance of a module. It
// is built once per site and is const while serving, so a worker cannot scribble request state into configuration;
// what belongs to one request lives in the exchange's arena.
//
// A middleware answers each call with a Verdict: next (go on) or done (an answer was given with Exchange::reply).
// It cannot say "suspended": that verdict comes only out of Exchange::await, together with the operation that will
// end the waiting. So a module cannot fall asleep with nothing pending.
//
// Built-in modules use exactly this interface; there is no private door.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/problem.h"
#include "core/schema.h"
#include "http/claims.h"
#include "http/config.h"
#include "http/path_set.h"

namespace goma::http {

class BackendTlsMaker;
class Exchange;

class [[nodiscard]] Verdict {
 public:
  enum class Kind : unsigned char { next, done, suspended };

  // Go on with the next step.
  static Verdict next() { return Verdict(Kind::next); }
  // An answer was given (Exchange::reply and friends return this); the chain ends here.
  static Verdict done() { return Verdict(Kind::done); }
  Kind kind() const { return kind_; }

 private:
  friend class Exchange;  // the only maker of "suspended"
  explicit Verdict(Kind kind) : kind_(kind) {}
  Kind kind_;
};

// A stage in the way of a response body, made in the exchange's arena. It gets every piece once, in order, and hands
// on what it wants with pass(). The last call has last = true and may carry no bytes.
class BodyFilter {
 public:
  virtual ~BodyFilter() = default;
  virtual void write(std::string_view data, bool last) = 0;
  // Whether it hands on exactly the bytes it gets: then the length that was announced stays true.
  virtual bool only_watches() const { return false; }

 protected:
  void pass(std::string_view data, bool last) { next_->write(data, last); }

 private:
  friend class Exchange;
  BodyFilter* next_ = nullptr;
};

class Middleware {
 public:
  virtual ~Middleware() = default;
  // The request head is complete; nothing has been sent.
  virtual Verdict on_request(Exchange&) const { return Verdict::next(); }
  // The response head is there (from the backend, another middleware or the gateway), nothing has been sent. Called
  // for every middleware whose on_request said next or done, innermost first, and for all wrapping ones.
  virtual Verdict on_response(Exchange&) const { return Verdict::next(); }
  // A stage for the response body, from the exchange's arena, or null. Called after on_response.
  virtual BodyFilter* filter_body(Exchange&) const { return nullptr; }
  // Exactly once per exchange, whatever happened, for every middleware that saw it. A tunnel (101) finishes when it
  // opens: it does not hold the configuration it came from.
  virtual void on_finish(const Exchange&) const noexcept {}
  // The request fields that it sets or removes. Clients cannot bring them in a trailer section, and identities not at
  // all: their own copies are gone before the first step, on all paths of a route that lists it.
  virtual std::vector<OwnField> own_fields() const { return {}; }
  // Bytes of the host's shared response store that this middleware asks for (http/response_store.h).
  virtual uint64_t store_bytes() const { return 0; }
};

// Where in Goma's life cycle a module acts (goma-config 7.1).
enum class Stage : unsigned char {
  chain,  // a step: defaults first, then the route's list, in order
  wrap,   // configures the frame around the chain wherever it is listed (responseHeaders, accessLog, errorInterceptor)
};

// What a module is told when it builds a middleware.
struct BuildContext {
  const MiddlewareConf& conf;    // name, type, paths, rule
  core::Problems& problems;      // anything added here with severity error refuses the configuration
  const Config& config;          // the whole configuration
  BackendTlsMaker* tls = nullptr;  // for services reached over TLS; null when only the rules are checked
};

// What a module makes of a middleware's `paths`.
enum class PathUse : unsigned char {
  chain,   // runs only on them; without any on the whole route
  itself,  // runs always, and looks at them
  none,    // the whole route: `paths` have no effect, which is told
};

struct ModuleInfo {
  std::string_view name;                       // in documentation
  std::span<const std::string_view> types;     // accepted spellings of `type`
  std::string_view doc;                        // one line
  std::span<const core::Field> fields;         // keys of `rule`
  Stage stage = Stage::chain;
  PathUse path_use = PathUse::chain;
  PathSet::Rules paths = {};                   // what a middleware's `paths` mean
  // Reads conf.rule and makes the middleware. Null after adding an error to problems.
  std::unique_ptr<Middleware> (*make)(BuildContext&) = nullptr;
};

// Reads the rule of a middleware into a plain struct through its table. False after adding problems.
// (A missing rule reads as an empty one.)
bool read_rule(BuildContext& context, std::span<const core::Field> fields, void* into);

}  // namespace goma::http
