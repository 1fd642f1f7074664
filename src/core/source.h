// SPDX-License-Identifier: Apache-2.0
//
// Where a configuration comes from. Everything that building a site reads - files, directories, environment - goes
// through a Source, so that the loader can record it once (DiskSource) and every worker can replay exactly that
// (BundleSource) without touching the disk and without the master's privileges.
//
// A bundle is a sealed memfd: what was asked, and what the answer was, failures included.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_tree.h"
#include "core/result.h"

namespace goma::core {

// Names that start with '.' are skipped. Both in lexical order, as paths that begin with the directory.
struct Listing {
  std::vector<std::string> files;
  std::vector<std::string> broken;  // links that lead nowhere, and what is no file: reading one says why
};

class Source {
 public:
  virtual ~Source() = default;
  // The whole content of a file, at most 16 MiB; valid as long as the source. Relative paths are relative to the
  // instance's prefix. Errors: not_found, refused, invalid (too large, not a regular file), exhausted (128 MiB in all).
  virtual Result<std::string_view> read(const std::string& path) = 0;
  // What is below a directory, recursively. Links lead where `reach` says, also when a file is read later. Errors:
  // those of FileTree::walk (core/file_tree.h).
  virtual Result<Listing> list(const std::string& directory, Reach reach = Reach::anywhere) = 0;
  // The value of an environment variable; nothing when it is not set.
  virtual std::optional<std::string_view> env(const std::string& name) = 0;
  // Whether what serves was built with this file or directory, or with something below it. What was there must not be
  // lost because it cannot be read for a moment.
  virtual bool served(const std::string&) const { return false; }
  // Something made by chance, remembered like a file: whoever builds from the bundle gets what was made first. Error:
  // not_found, where nothing is remembered.
  virtual Result<std::string_view> once(const std::string& name, const std::function<std::string()>& make);
};

class BundleSource;

// Reads the machine and remembers every question and answer.
class DiskSource : public Source {
 public:
  // Relative paths start at prefix ("" = the working directory).
  explicit DiskSource(std::string prefix);
  Result<std::string_view> read(const std::string& path) override;
  Result<Listing> list(const std::string& directory, Reach reach = Reach::anywhere) override;
  std::optional<std::string_view> env(const std::string& name) override;
  Result<std::string_view> once(const std::string& name, const std::function<std::string()>& make) override;

  bool served(const std::string& path) const override;

  // This is the bundle that serves.
  void succeed(const BundleSource& bundle);
  // Takes over what a bundle knows, except where `stale` says that it must be asked again. Requires: nothing asked yet.
  void recall(const BundleSource& bundle, const std::function<bool(std::string_view)>& stale);
  // Writes everything recorded so far into a new sealed memfd; the caller owns the descriptor.
  Result<int> seal() const;

 private:
  struct Answer {
    bool ok = false;
    std::string content;  // file: its bytes; directory: a run of its entries; env: the value
    Error error;
  };
  const Answer& ask_file(const std::string& path);
  std::string place_of(const std::string& path) const { return path.starts_with('/') ? path : prefix_ + path; }
  Scope scope_of(const std::string& path) const;
  bool was_exchanged(const std::string& directory, const FileTree& tree) const;

  std::string prefix_;
  size_t total_ = 0;                     // bytes of all files
  std::map<std::string, Scope> scopes_;  // of the directories whose links are confined
  std::set<std::string> served_;
  std::map<std::string, std::string> full_;  // directories that had files when they were read for what serves -> which they were
  std::map<std::string, Answer> files_;
  std::map<std::string, Answer> directories_;
  std::map<std::string, Answer> environment_;
};

// Answers from a bundle. What was not recorded is not_found.
class BundleSource : public Source {
 public:
  // Maps the memfd; does not take the descriptor.
  static Result<std::unique_ptr<BundleSource>> open(int fd);
  ~BundleSource() override;
  Result<std::string_view> read(const std::string& path) override;
  Result<Listing> list(const std::string& directory, Reach reach = Reach::anywhere) override;
  std::optional<std::string_view> env(const std::string& name) override;
  Result<std::string_view> once(const std::string& name, const std::function<std::string()>& make) override;

 private:
  friend class DiskSource;
  struct Entry {
    bool ok = false;
    std::string_view content;
    Error error;
  };
  BundleSource() = default;
  const char* map_ = nullptr;
  size_t size_ = 0;
  std::map<std::string, Entry, std::less<>> files_, directories_, environment_;
};

}  // namespace goma::core
