// SPDX-License-Identifier: Apache-2.0
//
// The control socket. A request is one line of words; the answer is lines for standard output ("o TEXT"), lines for
// standard error ("e TEXT") and the exit code ("x N") as the last; or "a" when another master listens here now: ask again.
// Whatever there is to say is said by the master, so gomactl only prints. While the outcome is on its way an empty line
// says twice a second that the master lives.
//
// The master never waits for a client: answers are buffered, and a client that neither asks nor reads in time goes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/loop.h"
#include "core/result.h"
#include "core/socket.h"

namespace goma::core {

// What a request came to. Texts may have many lines.
struct Answer {
  int code = 0;
  std::string out;
  std::string err;
};

class Control {
 public:
  static constexpr size_t max_clients = 64;
  static constexpr size_t max_request = 4096;
  static constexpr int64_t patience_ms = 10'000;
  static constexpr int64_t beat_ms = 500;

  // Called with the number of the client and the words of its request; answer() follows, at once or later.
  using Handler = std::function<void(uint64_t client, const std::vector<std::string>& words)>;

  Control(Loop& loop, Handler handler);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  // Listens at this path, in the place of whoever did before (0660, of this group where it is not 0).
  Result<void> open(const std::string& path, gid_t operators);
  // Removes the socket from the file system.
  void remove();
  // Stops listening and leaves the path to a successor.
  void abandon();

  // For all who have not got theirs. The rest of them, and whoever waits to be let in, are sent to the successor that listens at
  // the path by now; then as abandon().
  void answer_all(const Answer& answer);
  void hand_over();

  // Sends the answer; harmless when the client is gone.
  void answer(uint64_t client, const Answer& answer);

 private:
  struct Client;
  void on_connection(unsigned ready);
  bool admit();
  void finish(Client& client, std::string text);
  void drop(uint64_t client);
  void sweep();

  Loop& loop_;
  Handler handler_;
  Descriptor listening_;
  Watch watch_;
  std::string path_;
  dev_t device_ = 0;   // what was made at the path
  ino_t inode_ = 0;
  uint64_t next_ = 1;
  std::map<uint64_t, std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Client>> dropped_;  // freed outside their own callbacks
  Deferred sweep_;
};

// How long the other end waits for a sign of life; 0 = for ever.
struct ControlPatience {
  int64_t silence_ms = 10'000;  // between two signs, and before the first where the answer comes at once
  int64_t first_ms = 10'000;    // before the first; not for a master that is seen to be stopped
};

// What came of a question.
struct Asked {
  Result<int> code;  // the exit code. Errors: not_found (nobody listens), refused (no permission), closed (cut off),
                     // timeout (silence), invalid (who answers is no goma, or of another version)
  pid_t master = 0;  // who was asked; 0 when that is not known
};

// The other end, for gomactl: sends the words and calls line(kind, text) for each line of the answer.
Asked ask_control(const std::string& path, const std::vector<std::string>& words, const ControlPatience& patience,
                  const std::function<void(char kind, std::string_view text)>& line);

}  // namespace goma::core
