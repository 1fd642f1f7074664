// SPDX-License-Identifier: Apache-2.0
//
// Messages arrive whole, in order, with their descriptors, however many wait; the end of the line is told once.
#include "core/channel.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "check.h"

using goma::core::Channel;
using goma::core::Loop;
using goma::core::Message;

namespace {

struct Listener {
  explicit Listener(Loop& on) : loop(on) {}
  void message(Message& m) {
    kinds.push_back(m.kind);
    bodies.push_back(m.body);
    for (const int fd : m.fds) fds.push_back(fd);
    if (kinds.size() == wanted) loop.stop();
  }
  void closed() {
    ++closes;
    loop.stop();
  }
  Loop& loop;
  size_t wanted = 1;
  int closes = 0;
  std::vector<uint32_t> kinds;
  std::vector<std::string> bodies;
  std::vector<int> fds;
};

struct Line {
  Line() {
    auto made = Channel::pair();
    CHECK(made.ok());
    left.open<&Listener::message, &Listener::closed>(loop, made->first, &left_end);
    right.open<&Listener::message, &Listener::closed>(loop, made->second, &right_end);
  }
  Loop loop;
  Listener left_end{loop}, right_end{loop};
  Channel left, right;
};

void descriptors_travel() {
  Line line;
  int ends[2];
  CHECK_EQ(::pipe(ends), 0);
  line.left.send(7, "body", {ends[1]});
  ::close(ends[1]);
  line.loop.run();
  CHECK_EQ(line.right_end.kinds.at(0), 7U);
  CHECK_EQ(line.right_end.bodies.at(0), "body");
  CHECK_EQ(line.right_end.fds.size(), 1U);
  CHECK_EQ(::write(line.right_end.fds[0], "x", 1), 1);
  char got = 0;
  CHECK_EQ(::read(ends[0], &got, 1), 1);
  CHECK_EQ(got, 'x');
  ::close(ends[0]);
  ::close(line.right_end.fds[0]);
}

void what_the_kernel_does_not_take_waits() {
  Line line;
  constexpr size_t count = 200;  // 10 MB: far more than a socket buffer
  int ends[2];
  CHECK_EQ(::pipe(ends), 0);
  for (size_t i = 0; i < count; ++i) {
    const std::string body = std::to_string(i) + std::string(50'000, 'x');
    if (i == count - 1) {
      line.left.send(9, body, {ends[0]});
    } else {
      line.left.send(9, body);
    }
  }
  ::close(ends[0]);  // the queue keeps its own
  line.right_end.wanted = count;
  line.loop.run();
  for (size_t i = 0; i < count; ++i) CHECK_EQ(std::stoul(line.right_end.bodies[i]), i);
  CHECK_EQ(line.right_end.fds.size(), 1U);
  ::close(line.right_end.fds[0]);
  ::close(ends[1]);
}

void the_end_is_told_once_after_all_messages() {
  Line line;
  line.left.send(1, "last words");
  line.left.close();
  line.right_end.wanted = 99;
  line.loop.run();
  CHECK_EQ(line.right_end.kinds.size(), 1U);
  CHECK_EQ(line.right_end.closes, 1);
  CHECK(!line.right.is_open());
  line.right.send(1, "into the void");  // harmless
}

void memory_files_hold_any_length() {
  const std::string content(300'000, 'y');
  const auto fd = goma::core::memory_file(content);
  CHECK(fd.ok());
  const auto back = goma::core::read_memory_file(fd.value());
  CHECK(back.ok());
  CHECK(back.value() == content);
  ::close(fd.value());
}

}  // namespace

GOMA_TESTS(descriptors_travel, what_the_kernel_does_not_take_waits, the_end_is_told_once_after_all_messages, memory_files_hold_any_length)
