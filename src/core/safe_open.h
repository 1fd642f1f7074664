// SPDX-License-Identifier: Apache-2.0
//
// Files that a master with root's rights opens, makes, gives away, renames or removes, by a path in which somebody
// else may have a hand: the log in a directory of the workers' user, a pid file under a prefix that others may write.
//
// The one idea: a path is walked once, directory by directory, and what is done then is done to a name in the directory
// that was reached (a Spot), never to the path again. On the way a symbolic link counts only where nobody but root can
// have put it: /var/log may be a link to another disk. What is opened is looked at before anything changes it: one
// regular file with one name, of root or of the workers' user; for a log also a FIFO or a character device.
//
// A process without root's rights has none to lose: it follows links on the way as the kernel does. Nothing here waits: whatever
// is opened is opened without blocking, so a FIFO that nobody reads is an error (ENXIO) and not a pause.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/descriptor.h"

namespace goma::core {

// A name in a directory that was reached without following a stranger's link.
class Spot {
 public:
  enum class Last : unsigned char { stays, followed };         // what becomes of a link at the end of the path
  enum class Kind : unsigned char { file, file_or_stream };  // what may be opened

  // Walks to the directory of `path`. Besides root and this process, `owner` may own what is opened. Errors: not_found,
  // refused; the text names the path, what is in the way, and what to do.
  static Result<Spot> find(const std::string& path, uid_t owner = 0, Last last = Last::stays);

  // What bears the name now, links not followed; nothing when nobody does.
  std::optional<struct stat> look() const;
  // Opens what is there; with `make` other than 0 a file of that mode is made where there is none. Errors as of find,
  // and system ENXIO for a FIFO without a reader.
  Result<Descriptor> open(int flags, Kind kind, mode_t make = 0) const;
  // What open would refuse, asked without opening.
  Result<void> may_open(Kind kind) const;
  // Whether names may be made and taken away beside it.
  Result<void> may_replace() const;
  // Whether open could write what is there, or make it; asked without doing so.
  Result<void> may_write(Kind kind) const;
  // Gives what is there to a user; a device keeps its own. Errors as of open, and refused.
  Result<void> give(uid_t user, gid_t group) const;
  // Puts a new file with this content in the place of what is there, in one step.
  Result<void> write(std::string_view content, mode_t mode) const;
  // The name becomes another one in the same directory. False with errno when it cannot.
  bool rename(const std::string& name) const;
  // Removes the name; true also when there was none.
  bool remove() const;
  // Gives a socket that was just bound here to this group. False when it is not what we bound.
  bool give_socket(gid_t group) const;

  Spot beside(const std::string& name) const;
  const std::string& path() const { return path_; }
  const std::string& name() const { return name_; }
  // The directory, for readdir and the like; stays ours, and is for looking only (O_PATH).
  int directory() const { return directory_.get(); }

 private:
  Result<void> judge(const struct stat& about, Kind kind) const;
  Result<Descriptor> open_once(int flags, Kind kind) const;

  Descriptor directory_;
  std::string name_;
  std::string path_;  // for messages
  uid_t owner_ = 0;
};

// Puts a new file with this content in the place of `path`, in one step. Error: refused.
Result<void> write_safely(const std::string& path, std::string_view content, mode_t mode);
// Removes what bears this path; a link is removed and not followed.
void remove_safely(const std::string& path);
// The content of a small file of root or of this process; "" when there is none, or when it is somebody else's.
std::string read_own_file(const std::string& path);

}  // namespace goma::core
