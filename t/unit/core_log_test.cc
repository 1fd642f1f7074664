// SPDX-License-Identifier: Apache-2.0
//
// Both forms, no second line whatever a value holds, nothing blocks, everything lost is counted.
#include "core/log.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/process.h"
#include "check.h"

namespace logging = goma::core::log;
using goma::core::process::read_small_file;

namespace {

// A log file for the length of a test.
class File {
 public:
  explicit File(bool json = false, logging::Level level = logging::Level::info) {
    char name[] = "/tmp/goma-unit-XXXXXX";
    ::close(::mkstemp(name));
    path = name;
    options.file = path;
    options.json = json;
    options.level = level;
    logging::configure(options);
  }
  ~File() {
    logging::configure({logging::Level::info, false, ""});
    ::unlink(path.c_str());
  }
  std::string content() const { return read_small_file(path); }
  std::string path;
  logging::Options options;
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
long lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

void the_text_form() {
  const File file;
  logging::info("Proxied request", {{"status", 200}, {"host", "a.test"}, {"referer", ""}, {"agent", "curl 8"}, {"n", -1}});
  const std::string line = file.content();
  CHECK(line.starts_with("time=20"));
  CHECK(has(line, " level=INFO msg=\"Proxied request\" status=200 host=a.test referer=\"\" agent=\"curl 8\" n=-1\n"));
  CHECK_EQ(line[9], '-');
  CHECK_EQ(line[15], 'T');
}

void the_json_form() {
  const File file(true);
  logging::error("no \"luck\"", {{"key", "a\\b\n\x01"}, {"n", 7}});
  CHECK(has(file.content(), "\"level\":\"ERROR\",\"msg\":\"no \\\"luck\\\"\",\"key\":\"a\\\\b\\n\\u0001\",\"n\":7}\n"));
  CHECK(file.content().starts_with("{\"time\":\""));
}

void no_value_makes_a_second_line() {
  for (const bool json : {false, true}) {
    const File file(json);
    logging::info("x\ny", {{"evil", "a\r\nlevel=ERROR msg=forged \x1b[31m \x7f"}});
    CHECK_EQ(lines(file.content()), 1);
    CHECK(!has(file.content(), "\r"));
    CHECK(!has(file.content(), "\x1b"));
  }
}

void levels_are_honoured() {
  const File file(false, logging::Level::warn);
  logging::info("no");
  logging::warn("yes");
  logging::error("yes");
  CHECK_EQ(lines(file.content()), 2);
  CHECK(logging::parse_level("WARN") == logging::Level::warn);
  CHECK(logging::parse_level("nonsense") == logging::Level::info);
  CHECK(logging::parse_level("off") == logging::Level::off);
}

void a_moved_file_is_opened_again() {
  const File file;
  logging::info("before");
  const std::string moved = file.path + ".1";
  CHECK_EQ(::rename(file.path.c_str(), moved.c_str()), 0);
  logging::info("still there");
  logging::reopen();
  logging::info("after");
  CHECK_EQ(lines(read_small_file(moved)), 2);
  CHECK(has(file.content(), "after"));
  ::unlink(moved.c_str());
}

void the_thread_writes_everything_in_order() {
  const File file;
  logging::start_thread();
  for (int i = 0; i < 10'000; ++i) CHECK(logging::write_lines("line " + std::to_string(i) + "\n"));
  logging::stop_thread();
  const std::string content = file.content();
  CHECK_EQ(lines(content), 10'000);
  CHECK(content.ends_with("line 9999\n"));
  CHECK(has(content, "line 4999\nline 5000\n"));
}

// A child that stands still ends by its alarm.
void a_child_finds_no_lock_held() {
  const File file;
  for (int round = 0; round < 100; ++round) {
    logging::start_thread();
    pid_t pid = -1;
    {
      const logging::Forking forking;
      pid = ::fork();
      if (pid == 0) {
        ::alarm(10);
        logging::after_fork();
        std::vector<std::string> all;
        for (size_t n = 0; n < 3'000; ++n) all.emplace_back(16 + n % 100 * 100, 'x');
        ::_exit(0);
      }
    }
    int status = -1;
    CHECK_EQ(::waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    logging::stop_thread();
  }
}

void a_full_disk_is_counted_and_survived() {
  const File file;
  logging::configure({logging::Level::info, false, "/dev/full"});
  const uint64_t dropped = logging::dropped_lines(), failed = logging::failed_writes();
  const int terminal = ::dup(STDERR_FILENO);
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, STDERR_FILENO);
  for (int i = 0; i < 5; ++i) logging::info("lost");
  ::dup2(terminal, STDERR_FILENO);
  ::close(terminal);
  ::close(null);
  CHECK_EQ(logging::dropped_lines() - dropped, 5U);
  CHECK_EQ(logging::failed_writes() - failed, 5U);
  logging::configure(file.options);
  logging::info("back");
  CHECK(has(file.content(), "back"));
}

void a_blocked_pipe_blocks_nobody() {
  std::signal(SIGPIPE, SIG_IGN);  // as goma does
  int ends[2];
  CHECK_EQ(::pipe(ends), 0);
  const File file;
  logging::configure({logging::Level::info, false, "/proc/self/fd/" + std::to_string(ends[1])});
  const uint64_t dropped = logging::dropped_lines();
  for (int i = 0; i < 2'000; ++i) logging::info("a line that is repeated until the pipe is full and nobody reads it");
  CHECK(logging::dropped_lines() > dropped);
  logging::start_thread();
  bool taken = true;
  for (int i = 0; i < 100 && taken; ++i) taken = logging::write_lines(std::string(65'535, 'x') + "\n");
  CHECK(!taken);  // the queue has an end
  ::close(ends[0]);  // now writes fail instead of waiting
  logging::stop_thread();
  logging::configure(file.options);
  ::close(ends[1]);
}

}  // namespace

GOMA_TESTS(the_text_form, the_json_form, no_value_makes_a_second_line, levels_are_honoured, a_moved_file_is_opened_again,
           the_thread_writes_everything_in_order, a_child_finds_no_lock_held, a_full_disk_is_counted_and_survived,
           a_blocked_pipe_blocks_nobody)
