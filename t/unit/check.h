// SPDX-License-Identifier: Apache-2.0
//
// Unit tests on CMocka, made safe for C++. A failing assertion of CMocka leaves by longjmp past every destructor;
// CHECK throws instead, the trampoline catches, everything unwinds, and only then is CMocka told.
//
//   void finds_nothing_in_an_empty_table() { CHECK_EQ(Table().find("x"), nullptr); }
//   GOMA_TESTS(finds_nothing_in_an_empty_table)
//
// Invariant: cmocka.h is included last and only here, because its macros (fail, skip) break other headers.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <csetjmp>  // cmocka.h needs these three before it
#include <cstdarg>
#include <cstddef>
extern "C" {
#include <cmocka.h>
}
#undef fail
#undef skip

namespace goma::test {

// What CHECK throws; private to this header and its trampoline.
struct Failure {
  std::string text;
  const char* file;
  int line;
};

// A value as a person wants to see it in a failure; values without a printed form are shown as "?".
template <class T>
std::string shown(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_null_pointer_v<T>) {
    return "nullptr";
  } else if constexpr (std::is_convertible_v<T, std::string_view>) {
    return fmt::format("\"{}\"", std::string_view(value));
  } else if constexpr (std::is_enum_v<T>) {
    return fmt::format("{}", static_cast<long long>(value));
  } else if constexpr (std::is_pointer_v<T>) {
    return fmt::format("{}", static_cast<const void*>(value));
  } else if constexpr (fmt::is_formattable<T>::value) {
    return fmt::format("{}", value);
  } else {
    return "?";
  }
}

template <class T>
inline constexpr bool is_number = std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char>;

// Equality without surprises between signed and unsigned numbers.
template <class A, class B>
bool same(const A& a, const B& b) {
  if constexpr (is_number<A> && is_number<B>) {
    return std::cmp_equal(a, b);
  } else {
    return a == b;
  }
}

template <class A, class B>
void check_equal(const A& a, const B& b, const char* text, const char* file, int line) {
  if (!same(a, b)) throw Failure{fmt::format("{}: {} is not {}", text, shown(a), shown(b)), file, line};
}

// The seed of a property test: GOMA_SEED, or a fresh one; printed, so that a failure can be repeated.
inline uint64_t seed() {
  const char* given = std::getenv("GOMA_SEED");
  const uint64_t value = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("# GOMA_SEED=%llu\n", static_cast<unsigned long long>(value));
  std::fflush(stdout);
  return value;
}

template <void (*Test)()>
void trampoline(void**) {
  char text[2048] = "";
  const char* file = "";
  int line = 0;
  try {
    Test();
    return;
  } catch (const Failure& failure) {
    std::snprintf(text, sizeof text, "%s", failure.text.c_str());
    file = failure.file;
    line = failure.line;
  } catch (const std::exception& exception) {
    std::snprintf(text, sizeof text, "exception: %s", exception.what());
  }
  print_error("# %s:%d: %s\n", file, line, text);
  _fail(file, line);
}

// Runs the tests in order; `names` is the comma-separated text of the same list.
template <void (*... Tests)()>
int run_all(const char* group, std::string names) {
  CMUnitTest tests[] = {CMUnitTest{nullptr, trampoline<Tests>, nullptr, nullptr, nullptr}...};
  char* next = names.data();
  for (CMUnitTest& test : tests) {
    next += std::strspn(next, " ,");
    test.name = next;
    next += std::strcspn(next, " ,");
    if (*next != '\0') *next++ = '\0';
  }
  return _cmocka_run_group_tests(group, tests, sizeof tests / sizeof *tests, nullptr, nullptr);
}

}  // namespace goma::test

// Fails the test unless the condition holds.
#define CHECK(...) \
  do {             \
    if (!(__VA_ARGS__)) throw ::goma::test::Failure{"CHECK(" #__VA_ARGS__ ")", __FILE__, __LINE__}; \
  } while (false)

// Fails the test unless a == b, and shows both.
#define CHECK_EQ(a, b) ::goma::test::check_equal((a), (b), "CHECK_EQ(" #a ", " #b ")", __FILE__, __LINE__)

// The main of a test binary.
#define GOMA_TESTS(...) \
  int main() { return ::goma::test::run_all<__VA_ARGS__>(__FILE__, #__VA_ARGS__); }
