// SPDX-License-Identifier: Apache-2.0
//
// Slots of keys, and the maps and redirections that nodes of a cluster answer, also in odd shapes.
#include "core/redis_slots.h"

#include <hiredis/hiredis.h>

#include "check.h"

using goma::core::missing_slots;
using goma::core::read_redirect;
using goma::core::read_slot_map;
using goma::core::Redirect;
using goma::core::redis_slot;
using goma::core::RedisAddress;
using goma::core::RedisReply;
using goma::core::SlotRange;

namespace {

// What a server would have sent.
class Said {
 public:
  explicit Said(std::string_view wire) : reader_(redisReaderCreate()) {
    redisReaderFeed(reader_, wire.data(), wire.size());
    CHECK_EQ(redisReaderGetReply(reader_, &raw_), REDIS_OK);
  }
  Said(const Said&) = delete;
  Said& operator=(const Said&) = delete;
  ~Said() {
    freeReplyObject(raw_);
    redisReaderFree(reader_);
  }
  RedisReply reply() const { return RedisReply(raw_); }

 private:
  redisReader* reader_;
  void* raw_ = nullptr;
};

const RedisAddress seed{"10.0.0.1", 7000};

// The values of the cluster specification.
void keys_have_the_slots_of_the_specification() {
  CHECK_EQ(redis_slot("123456789"), 0x31C3);
  CHECK_EQ(redis_slot(""), 0);
  CHECK_EQ(redis_slot("foo"), 12'182);
  CHECK_EQ(redis_slot("{user1000}.following"), redis_slot("{user1000}.followers"));
  CHECK_EQ(redis_slot("{user1000}.following"), redis_slot("user1000"));
  CHECK_EQ(redis_slot("foo{bar}{zap}"), redis_slot("bar"));
  CHECK_EQ(redis_slot("foo{{bar}}zap"), redis_slot("{bar"));
  CHECK(redis_slot("foo{}{bar}") != redis_slot("bar"));  // an empty tag is none
  CHECK(redis_slot("foo{bar") != redis_slot("bar"));
}

void a_map_is_read() {
  const Said said("*2\r\n*4\r\n:0\r\n:8191\r\n*3\r\n$8\r\n10.0.0.2\r\n:7001\r\n$1\r\nx\r\n*3\r\n$8\r\n10.0.0.3\r\n:7002\r\n$1\r\ny\r\n"
                  "*3\r\n:8192\r\n:16383\r\n*3\r\n$4\r\nhost\r\n:7003\r\n$1\r\nz\r\n");
  const std::vector<SlotRange> ranges = read_slot_map(said.reply(), seed);
  CHECK_EQ(ranges.size(), 2u);
  CHECK_EQ(ranges[0].last, 8191);
  CHECK_EQ(ranges[0].primary.text(), "10.0.0.2:7001");
  CHECK_EQ(ranges[1].primary.text(), "host:7003");
  CHECK_EQ(missing_slots(ranges), "");
}

// A host that is not told is the asked one's, a port 0 its port, and a loopback address of a far node its host.
void what_is_not_told_is_filled_in() {
  const Said said("*4\r\n*3\r\n:0\r\n:1\r\n*2\r\n$0\r\n\r\n:7001\r\n*3\r\n:2\r\n:3\r\n*2\r\n$1\r\n?\r\n:7002\r\n"
                  "*3\r\n:4\r\n:5\r\n*2\r\n$9\r\n127.0.0.1\r\n:7003\r\n*3\r\n:6\r\n:7\r\n*2\r\n$8\r\n10.0.0.9\r\n:0\r\n");
  const std::vector<SlotRange> ranges = read_slot_map(said.reply(), seed);
  CHECK_EQ(ranges.size(), 4u);
  CHECK_EQ(ranges[0].primary.text(), "10.0.0.1:7001");
  CHECK_EQ(ranges[1].primary.text(), "10.0.0.1:7002");
  CHECK_EQ(ranges[2].primary.text(), "10.0.0.1:7003");
  CHECK_EQ(ranges[3].primary.text(), "10.0.0.9:7000");
  CHECK_EQ(missing_slots(ranges), "8-16383");
}

void what_makes_no_sense_is_left_out() {
  const Said said("*5\r\n:1\r\n*2\r\n:0\r\n:1\r\n*3\r\n:5\r\n:2\r\n*2\r\n$1\r\na\r\n:1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$1\r\na\r\n:1\r\n*3\r\n:0\r\n:0\r\n*0\r\n");
  CHECK(read_slot_map(said.reply(), seed).empty());
  CHECK(read_slot_map(RedisReply(), seed).empty());
}

void redirections_are_read() {
  Redirect to;
  CHECK(read_redirect("MOVED 3999 127.0.0.1:6381", {"127.0.0.1", 1}, to));
  CHECK(!to.ask);
  CHECK_EQ(to.slot, 3999);
  CHECK_EQ(to.to.text(), "127.0.0.1:6381");
  CHECK(read_redirect("ASK 1 [::2]:6381", seed, to));
  CHECK(to.ask);
  CHECK_EQ(to.to.text(), "[::2]:6381");
  CHECK(read_redirect("MOVED 1 :6381", seed, to));
  CHECK_EQ(to.to.text(), "10.0.0.1:6381");
  for (const char* odd : {"MOVED", "MOVED 1", "MOVED x 1:2", "MOVED 16384 h:1", "ASK 1 host", "ERR MOVED 1 h:1", ""}) CHECK(!read_redirect(odd, seed, to));
}

void gaps_are_told() {
  CHECK_EQ(missing_slots({}), "0-16383");
  CHECK_EQ(missing_slots({{0, 99, seed}, {101, 16'382, seed}}), "100, 16383");
}

}  // namespace

GOMA_TESTS(keys_have_the_slots_of_the_specification, a_map_is_read, what_is_not_told_is_filled_in, what_makes_no_sense_is_left_out,
           redirections_are_read, gaps_are_told)
