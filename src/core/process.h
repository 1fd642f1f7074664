// SPDX-License-Identifier: Apache-2.0
//
// What a process is on this machine: its title, its user, its limits, its start time, its descriptors, and the file
// that says "one master per place". Nothing here knows what the processes do.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace goma::core::process {

// Remembers where the arguments lie, so that set_title can write there. Call first in main.
void remember_arguments(int argc, char** argv);
// What ps shows, and (its first 15 characters) what top shows.
void set_title(const std::string& title);

// Raises the limit of open descriptors to what the system allows.
void raise_descriptor_limit();

// Who the workers are. An empty user means: stay who we are. Everything that a name service knows is looked up once, at
// the start: it may hang when a worker must be replaced.
struct Identity {
  std::string user;
  std::string group;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  gid_t operators = 0;   // the group "goma", which may use the control socket; 0 = there is none
  std::string warning;   // a line for the operator; "" = all is as it should be
};
// Looks the names up. user "" means "goma", or "nobody" with a warning where there is no such user; group "" means the
// user's own.
Result<Identity> find_identity(const std::string& user, const std::string& group);
// Gives up root for good; does nothing in a process that is not root.
Result<void> become(const Identity& identity);

// When the process began, in clock ticks since boot; 0 when there is none (or it is a zombie). Together with the
// number it names a process for good.
uint64_t start_time(pid_t pid);
// Its parent; 0 when there is none (any more).
pid_t parent_of(pid_t pid);
// What it does, as the letter of /proc/PID/stat (R runs, S sleeps, D waits for a disk, T stopped, Z ended); 0 when there is
// none.
char state_of(pid_t pid);
// The name of the process, from /proc; "" when unknown.
std::string name_of(pid_t pid);

// Lets the calling thread run when nobody else wants the processor (nice 10), for good: for work that no client waits
// for.
void step_back();

// Closes every descriptor above standard error but these.
void close_all_but(std::vector<int> keep);

// What the kernel does when the parent of this process dies; at once when it is not this one any more. A change of user undoes it.
void die_with(pid_t parent);                            // SIGKILL
void last_alarm_after(pid_t parent, unsigned seconds);  // SIGALRM after so long, however busy the process is
// Returns when the parent is not this one any more.
void wait_for_death_of(pid_t parent);

// Every signal handler back to the default, SIGPIPE ignored, nothing blocked.
void reset_signals();
// Blocks every signal for good: who signals a process that has done its work does not change how it ends.
void block_signals();
// Blocks every signal for its lifetime: around fork, so that no child runs a handler of its parent.
class SignalsBlocked {
 public:
  SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked();

 private:
  unsigned long saved_[16];  // a sigset_t
};

// The pid file. The lock belongs to the process, so it goes with it and no child inherits it.
class PidFile {
 public:
  PidFile() = default;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  ~PidFile();

  // Takes the place. Error refused "already running (pid N)" when another process holds it.
  Result<void> take(const std::string& path);
  // Takes the place over from the process that holds it, which must not remove it.
  Result<void> replace(const std::string& path);
  // Removes the file, unless somebody took the place over.
  void remove();
  // Who took the place over and holds it; 0: nobody.
  pid_t successor() const;
  // The file at the path is the one that was written here.
  bool is_ours() const;
  // Leaves the file to a successor.
  void abandon();

 private:
  Result<void> lock_and_write(int fd);
  int fd_ = -1;
  std::string path_;
};

// The process that has locked this pid file for writing; 0 when nobody has.
pid_t holder_of(const std::string& path);

// The content of a small file of the system; "" when there is none.
std::string read_small_file(const std::string& path);

}  // namespace goma::core::process
