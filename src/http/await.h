// SPDX-License-Identifier: Apache-2.0
//
// How an exchange waits. An operation (a fetch, a lookup, a timer) is an object in the exchange's arena with a
// start, one completion and a destructor that cancels. A Wait pairs it with the method of the middleware that goes on
// afterwards; nobody else can hold that pair, so nothing can be resumed twice or by a stranger.
//
//   made -> started -> complete (at most once) -> continued
//                   -> expired: the operation completes with its own "too late" result
//                   -> destroyed with the arena: cancelled
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "http/module.h"

namespace goma::http {

class WaitBase {
 public:
  virtual ~WaitBase() = default;
  virtual void start() = 0;
  virtual Verdict go_on(Exchange& x) = 0;
  // The deadline passed: the operation must complete now.
  virtual void expire() = 0;
  // Milliseconds the operation may take; always more than 0.
  virtual int64_t limit_ms() const = 0;
  virtual std::string_view what() const = 0;

 protected:
  friend class Exchange;
  // Tells the exchange; folded when it happens inside start().
  static void tell(Exchange& x, WaitBase& wait);
  bool complete_ = false;
  bool starting_ = false;
};

// What an operation derives from. R is its result.
template <class R>
class Operation {
 public:
  using Result = R;
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  // Derived classes also have: void start(); void expire(); int64_t limit_ms() const; std::string_view what() const;
  // and a destructor that cancels whatever is pending. Their first constructor argument is Exchange&.

 protected:
  // Hands the result over. A second completion is a bug and aborts.
  void complete(R result) { sink_(owner_, std::move(result)); }

 private:
  template <class Op, class M>
  friend class Wait;
  void* owner_ = nullptr;
  void (*sink_)(void*, R&&) = nullptr;
};

template <class Op, class M>
class Wait final : public WaitBase {
 public:
  using Result = typename Op::Result;
  using Then = Verdict (M::*)(Exchange&, const Result&) const;

  template <class... Args>
  Wait(Exchange& x, const M* module, Then then, Args&&... args)
      : x_(x), module_(module), then_(then), op_(x, std::forward<Args>(args)...) {
    Operation<Result>& base = op_;
    base.owner_ = this;
    base.sink_ = [](void* self, Result&& result) { static_cast<Wait*>(self)->completed(std::move(result)); };
  }
  void start() override { op_.start(); }
  Verdict go_on(Exchange& x) override { return (module_->*then_)(x, *result_); }
  void expire() override { op_.expire(); }
  int64_t limit_ms() const override { return op_.limit_ms(); }
  std::string_view what() const override { return op_.what(); }

 private:
  void completed(Result&& result) {
    GOMA_CHECK(!complete_);
    complete_ = true;
    result_.emplace(std::move(result));
    if (!starting_) tell(x_, *this);
  }

  Exchange& x_;
  const M* module_;
  Then then_;
  std::optional<Result> result_;
  Op op_;
};

}  // namespace goma::http
