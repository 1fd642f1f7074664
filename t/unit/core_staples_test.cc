// SPDX-License-Identifier: Apache-2.0
//
// Responses in shared memory: found by their certificate from every view of the slab, until they expire; a slot that
// nobody needs is taken over, and a torn one is never shown. And when to ask again.
#include "core/staples.h"

#include <atomic>
#include <thread>

#include "check.h"
#include "core/ocsp_fetch.h"
#include "core/stapler.h"

using namespace goma::core;

namespace {

constexpr int64_t now = 1'000'000;

std::string print_of(size_t number) {
  std::string print(32, 'x');
  std::memcpy(print.data(), &number, sizeof number);
  return print;
}

struct Bench {
  Slab slab = std::move(Slab::create()).value();
  Staples writer = std::move(Staples::open(slab)).value();
  Staples reader = std::move(Staples::open(slab)).value();
};

void what_one_puts_another_finds() {
  Bench b;
  CHECK(!b.reader.find(print_of(1), now));
  CHECK(b.writer.put(print_of(1), {"one", now + 10}, now).ok());
  CHECK(b.writer.put(print_of(0), {std::string(Staples::max_bytes, 'z'), now + 20}, now).ok());
  CHECK_EQ(b.reader.find(print_of(1), now)->der, "one");
  CHECK_EQ(b.reader.find(print_of(0), now)->der.size(), Staples::max_bytes);
  CHECK(!b.reader.find(print_of(2), now));
  CHECK(b.writer.put(print_of(1), {"newer", now + 30}, now).ok());
  CHECK_EQ(b.reader.find(print_of(1), now)->der, "newer");
  CHECK(!b.writer.put(print_of(3), {std::string(Staples::max_bytes + 1, 'z'), now + 20}, now).ok());
}

void an_expired_one_is_not_found() {
  Bench b;
  CHECK(b.writer.put(print_of(1), {"one", now + 10}, now).ok());
  CHECK(b.reader.find(print_of(1), now + 9).has_value());
  CHECK(!b.reader.find(print_of(1), now + 10));
}

void prints_that_begin_alike_are_told_apart() {
  Bench b;
  std::string other = print_of(1);
  other.back() = 'y';
  CHECK(b.writer.put(print_of(1), {"one", now + 10}, now).ok());
  CHECK(!b.reader.find(other, now));
  CHECK(b.writer.put(other, {"other", now + 10}, now).ok());
  CHECK_EQ(b.reader.find(print_of(1), now)->der, "one");
  CHECK_EQ(b.reader.find(other, now)->der, "other");
}

void a_full_table_takes_over_what_expired() {
  Bench b;
  for (size_t i = 0; i < Staples::capacity; ++i) CHECK(b.writer.put(print_of(i * 7919), {"x", now + (i == 5 ? 1 : 100)}, now).ok());
  CHECK(!b.writer.put(print_of(1), {"late", now + 100}, now).ok());
  CHECK(b.writer.put(print_of(1), {"late", now + 100}, now + 2).ok());
  CHECK_EQ(b.reader.find(print_of(1), now + 2)->der, "late");
  CHECK(!b.reader.find(print_of(5 * 7919), now + 2));
  for (size_t i = 6; i < Staples::capacity; ++i) CHECK(b.reader.find(print_of(i * 7919), now + 2).has_value());
}

void a_slot_of_a_dead_writer_is_empty_until_it_is_written() {
  Bench b;
  CHECK(b.writer.put(print_of(0), {"one", now + 10}, now).ok());
  // The marks come first, then the slots; this one's mark is 1, so it is the second.
  auto* words = static_cast<std::atomic<uint64_t>*>(b.slab.zone("ocsp", "ocsp", 1, 8).value().memory);
  const size_t slot_words = 1 + 4 + 1 + 1 + Staples::max_bytes / 8;
  std::atomic<uint64_t>& sequence = words[Staples::capacity + slot_words];
  CHECK_EQ(sequence.load(), uint64_t{2});
  sequence.store(3);
  CHECK(!b.reader.find(print_of(0), now));
  CHECK(b.writer.put(print_of(0), {"two", now + 10}, now).ok());
  CHECK_EQ(b.reader.find(print_of(0), now)->der, "two");
}

void a_reader_never_sees_half_of_one() {
  Bench b;
  CHECK(b.writer.put(print_of(1), {std::string(4000, 'a'), now + 10}, now).ok());
  std::atomic<bool> ended{false};
  std::thread other([&] {
    for (int i = 0; i < 3000; ++i) static_cast<void>(b.writer.put(print_of(1), {std::string(i % 2 == 0 ? 100 : 4000, static_cast<char>('a' + i % 26)), now + 10}, now));
    ended = true;
  });
  size_t torn = 0;
  while (!ended) {
    const std::optional<OcspStaple> found = b.reader.find(print_of(1), now);
    if (found && found->der.find_first_not_of(found->der[0]) != std::string::npos) ++torn;
  }
  other.join();
  CHECK_EQ(torn, size_t{0});
}

void the_next_question_comes_at_half_the_validity() {
  const auto pause = [](int64_t from, int64_t until) { return Stapler::pause_after({{"", now + until}, now + from, false}, now); };
  CHECK_EQ(pause(0, 7200), 3600);
  CHECK_EQ(pause(-1800, 5400), 1800);
  CHECK_EQ(pause(-7200, 3600), Stapler::min_pause_s);
  CHECK_EQ(pause(0, 7 * 86400), Stapler::max_pause_s);
}

void failures_are_followed_by_growing_pauses() {
  CHECK_EQ(Stapler::pause_after_failures(1), 60);
  CHECK_EQ(Stapler::pause_after_failures(2), 120);
  CHECK_EQ(Stapler::pause_after_failures(6), 1920);
  CHECK_EQ(Stapler::pause_after_failures(7), Stapler::max_back_off_s);
  CHECK_EQ(Stapler::pause_after_failures(1'000'000), Stapler::max_back_off_s);
}

void private_networks_are_not_asked() {
  for (const char* ip : {"127.0.0.1", "::1", "93.184.216.34", "2606:2800:220:1::1"}) CHECK(may_ask(*Address::parse_ip(ip, 80)));
  for (const char* ip : {"10.0.0.1", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "fd00::1", "fe80::1",
                         "ff02::1", "::ffff:10.0.0.1"}) {
    CHECK(!may_ask(*Address::parse_ip(ip, 80)));
  }
}

}  // namespace

GOMA_TESTS(what_one_puts_another_finds, an_expired_one_is_not_found, prints_that_begin_alike_are_told_apart, a_full_table_takes_over_what_expired,
           a_slot_of_a_dead_writer_is_empty_until_it_is_written, a_reader_never_sees_half_of_one, the_next_question_comes_at_half_the_validity,
           failures_are_followed_by_growing_pauses, private_networks_are_not_asked)
