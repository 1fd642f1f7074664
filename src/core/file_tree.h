// SPDX-License-Identifier: Apache-2.0
//
// Opening what a configuration names, often as root, in places where others may write. A file is first held without
// being opened (O_PATH), then asked what and where it is, and only then opened, through what is held: so nobody can
// exchange it in between, and no FIFO, device or socket is ever opened.
//
// A symbolic link is followed when its owner could have read the target anyway: root, ourselves, or the target's owner.
// Below a directory of configurations links must also stay below it, or below the releases beside it.
//
// The invariant: whatever lies in a directory, a walk ends, after a bounded number of entries, levels and seconds.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/socket.h"

namespace goma::core {

// How far links in a directory may lead.
enum class Reach : unsigned char { anywhere, within };

// Where links may lead: anywhere, or below one of these.
struct Scope {
  bool bounded = false;
  std::vector<std::string> roots;

  // For links of this directory: itself, and "releases" beside it, as deployments by link have it
  // (current -> releases/42). Links on the way to the directory are the operator's, and count.
  static Scope of(const std::string& directory);
  bool holds(std::string_view path) const;
};

// A file or directory that is held, but not opened.
struct Held {
  Descriptor fd;
  struct stat about {};
};

// Holds what the path leads to. Errors: not_found (also a link that leads nowhere), refused (no permission; a link of
// somebody else; out of the scope), invalid (a circle of links). `about` is filled in also where a link is refused.
Result<void> hold(const std::string& path, const Scope& scope, Held& held);

constexpr size_t max_file_size = size_t{16} << 20;

// The whole content of a regular file. Errors: those of hold, and invalid (not a regular file, larger than 16 MiB).
Result<std::string> read_file(const std::string& path, const Scope& scope);

// The files below a directory. Names that start with '.' are not looked at.
struct FileTree {
  static constexpr int max_depth = 16;
  static constexpr size_t max_entries = 50'000;
  static constexpr int64_t patience_ms = 10'000;

  struct File {
    std::string path;  // begins with the name the directory was given
    struct stat about {};
  };
  struct stat about {};                  // of the directory itself
  std::vector<File> files;               // regular ones, or links that lead to such, in lexical order
  std::vector<std::string> broken;       // links that lead nowhere or to a directory that is refused, and what is no file
  std::vector<std::string> directories;  // all that were read, the first included; each once, by whatever name
  std::vector<std::string> links;        // all that were met
  int64_t newest_ms = 0;                 // wall clock: when the last of all these changed

  // Hears what is looked at next: directories, links, and what a directory does not say to be a file.
  using At = std::function<void(const std::string& path)>;

  // Reads the directory at `real`, called `shown` in the result. Errors: those of hold, and exhausted (a limit).
  static Result<FileTree> walk(const std::string& real, const std::string& shown, const Scope& scope, const At& at = {});
};

// What a person wants to hear about a file that cannot be read: "no such file".
std::string why_unreadable(const Error& error);

// The directory a path lies in: "." when it has no slash.
std::string parent_of(std::string_view path);

// What a change of its file changes: device, number, size, times; as bytes to compare.
void append_stamp(std::string& text, const struct stat& about);
// The later of its two times, by the wall clock.
int64_t changed_ms(const struct stat& about);

}  // namespace goma::core
