// SPDX-License-Identifier: Apache-2.0
//
// A value or the reason why there is none. goma does not throw across its own code: a function that can fail
// returns Result<T>, and the compiler warns when nobody looks at it.
//
// An Error answers three questions: what went wrong in words for a person (text), which kind it is for a program
// (code), and which operating-system error stood behind it (system, an errno value or 0).
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace goma::core {

enum class Code : unsigned char {
  invalid,      // the input is wrong and will stay wrong
  not_found,    // the thing asked for does not exist
  refused,      // somebody else said no (permission, address in use, connection refused)
  timeout,      // it took longer than allowed
  exhausted,    // a limit was reached (descriptors, memory, table full)
  closed,       // the other side went away
  internal,     // a bug or an operating-system failure that is nobody's input
};

struct Error {
  Code code = Code::internal;
  std::string text;
  int system = 0;

  // An error made from errno: "TEXT: strerror".
  static Error from_errno(Code code, std::string text, int number) {
    return Error{code, std::move(text) + ": " + std::strerror(number), number};
  }
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  // Requires: ok().
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &value(); }
  T& operator*() & { return value(); }
  // Requires: !ok().
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}

  bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return error_; }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace goma::core
