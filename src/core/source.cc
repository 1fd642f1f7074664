// SPDX-License-Identifier: Apache-2.0
//
// Recording and replaying. The bundle is a flat run of records (kind, outcome, key, content, error text) behind a
// magic number; all integers are in host order, because a bundle never leaves the host it was made on.
//
// Invariant: BundleSource answers exactly as DiskSource did when the bundle was sealed, failures included.
#include "core/source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace goma::core {

namespace {

const std::string made_prefix = "made:";  // among the files of a bundle; no path that is asked for begins like this
constexpr size_t max_total = size_t{128} << 20;
constexpr char magic[8] = {'G', 'O', 'M', 'A', 'B', 'D', 'L', '2'};

enum Kind : uint32_t { kind_file = 1, kind_directory = 2, kind_environment = 3 };

struct Record {
  uint32_t kind;
  uint32_t ok;
  uint32_t code;
  int32_t system;
  uint32_t key_size;
  uint32_t error_size;
  uint64_t content_size;
};

bool write_all(int fd, const void* data, size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd, next, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    next += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// Each entry ends with NUL and begins with what it is.
constexpr char is_file = 'f', is_broken = 'b', is_self = 's';

// Which directory it is, whatever its name.
std::string identity_of(const FileTree& tree) { return fmt::format("{}:{}", tree.about.st_dev, tree.about.st_ino); }

std::string pack(const FileTree& tree) {
  std::string text = is_self + identity_of(tree) + '\0';
  for (const FileTree::File& file : tree.files) text.append(1, is_file).append(file.path).push_back('\0');
  for (const std::string& path : tree.broken) text.append(1, is_broken).append(path).push_back('\0');
  return text;
}

Listing unpack(std::string_view text) {
  Listing listing;
  while (!text.empty()) {
    const size_t end = text.find('\0');
    if (text.front() != is_self) (text.front() == is_file ? listing.files : listing.broken).emplace_back(text.substr(1, end - 1));
    text.remove_prefix(end + 1);
  }
  return listing;
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

Result<std::string_view> Source::once(const std::string&, const std::function<std::string()>&) {
  return Error{Code::not_found, "nothing is remembered here", 0};
}

DiskSource::DiskSource(std::string prefix) : prefix_(std::move(prefix)) {
  if (!prefix_.empty() && prefix_.back() != '/') prefix_ += '/';
}

const DiskSource::Answer& DiskSource::ask_file(const std::string& path) {
  const auto known = files_.find(path);
  if (known != files_.end()) return known->second;
  Answer& answer = files_[path];
  Result<std::string> content = read_file(place_of(path), scope_of(path));
  if (content && (total_ += content->size()) > max_total) {
    content = Error{Code::exhausted, fmt::format("it makes more than {} MiB in all", max_total >> 20), 0};
  }
  answer.ok = content.ok();
  if (content) {
    answer.content = std::move(content).value();
  } else {
    answer.error = content.error();
  }
  return answer;
}

Result<std::string_view> DiskSource::read(const std::string& path) {
  const Answer& answer = ask_file(path);
  if (!answer.ok) return answer.error;
  return std::string_view(answer.content);
}

Scope DiskSource::scope_of(const std::string& path) const {
  for (const auto& [directory, scope] : scopes_) {
    if (path.size() > directory.size() && path.starts_with(directory) && path[directory.size()] == '/') return scope;
  }
  return {};
}

Result<Listing> DiskSource::list(const std::string& directory, Reach reach) {
  auto [entry, fresh] = directories_.try_emplace(directory);
  Answer& answer = entry->second;
  if (fresh) {
    const std::string shown = without_slash(directory);
    const Scope scope = reach == Reach::within ? Scope::of(place_of(shown)) : Scope();
    Result<FileTree> tree = FileTree::walk(place_of(shown), shown, scope);
    if (tree && was_exchanged(directory, tree.value())) {
      tree = Error{Code::not_found, "it is empty, and not the directory that was read before: a volume that is not mounted, or files that are still to come", 0};
    }
    answer.ok = tree.ok();
    if (tree) {
      answer.content = pack(tree.value());
    } else {
      answer.error = tree.error();
    }
    if (reach == Reach::within) scopes_[shown] = scope;
  }
  if (!answer.ok) return answer.error;
  return unpack(answer.content);
}

bool DiskSource::was_exchanged(const std::string& directory, const FileTree& tree) const {
  const auto before = full_.find(directory);
  return before != full_.end() && tree.files.empty() && before->second != identity_of(tree);
}

bool DiskSource::served(const std::string& path) const {
  const std::string below = path + "/";
  const auto next = served_.lower_bound(below);
  return served_.contains(path) || (next != served_.end() && next->starts_with(below));
}

void DiskSource::succeed(const BundleSource& bundle) {
  for (const auto* answers : {&bundle.files_, &bundle.directories_}) {
    for (const auto& [path, entry] : *answers) {
      if (entry.ok) served_.insert(path);
    }
  }
  for (const auto& [path, entry] : bundle.directories_) {
    const std::string_view own = entry.content.substr(0, entry.content.find('\0'));
    if (entry.ok && !unpack(entry.content).files.empty()) full_[path] = own.substr(1);
  }
}

std::optional<std::string_view> DiskSource::env(const std::string& name) {
  auto [entry, fresh] = environment_.try_emplace(name);
  Answer& answer = entry->second;
  if (fresh) {
    const char* value = std::getenv(name.c_str());
    answer.ok = value != nullptr;
    if (value != nullptr) answer.content = value;
  }
  if (!answer.ok) return std::nullopt;
  return std::string_view(answer.content);
}

Result<std::string_view> DiskSource::once(const std::string& name, const std::function<std::string()>& make) {
  auto [entry, fresh] = files_.try_emplace(made_prefix + name);
  if (fresh) {
    entry->second.ok = true;
    entry->second.content = make();
  }
  return std::string_view(entry->second.content);
}

void DiskSource::recall(const BundleSource& bundle, const std::function<bool(std::string_view)>& stale) {
  const auto take = [](const auto& from, std::map<std::string, Answer>& into, const auto& skip) {
    for (const auto& [key, entry] : from) {
      if (!skip(key)) into[key] = Answer{entry.ok, std::string(entry.content), entry.error};
    }
  };
  take(bundle.files_, files_, stale);
  take(bundle.directories_, directories_, stale);
  take(bundle.environment_, environment_, [](std::string_view) { return false; });
}

Result<int> DiskSource::seal() const {
  const int fd = ::memfd_create("goma-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Error::from_errno(Code::internal, "cannot create the bundle", errno);
  bool good = write_all(fd, magic, sizeof magic);
  const auto put = [&](uint32_t kind, const std::map<std::string, Answer>& answers) {
    for (const auto& [key, answer] : answers) {
      const Record record{kind, answer.ok ? 1U : 0U, static_cast<uint32_t>(answer.error.code), answer.error.system,
                          static_cast<uint32_t>(key.size()), static_cast<uint32_t>(answer.error.text.size()),
                          answer.content.size()};
      good = good && write_all(fd, &record, sizeof record) && write_all(fd, key.data(), key.size()) &&
             write_all(fd, answer.error.text.data(), answer.error.text.size()) &&
             write_all(fd, answer.content.data(), answer.content.size());
    }
  };
  put(kind_file, files_);
  put(kind_directory, directories_);
  put(kind_environment, environment_);
  constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (good && ::fcntl(fd, F_ADD_SEALS, seals) == 0) return fd;
  const int number = errno;
  ::close(fd);
  return Error::from_errno(Code::exhausted, "cannot write the bundle", number);
}

Result<std::unique_ptr<BundleSource>> BundleSource::open(int fd) {
  struct stat about {};
  if (::fstat(fd, &about) != 0) return Error::from_errno(Code::internal, "cannot examine the bundle", errno);
  struct Opened : BundleSource {};  // a local class may use the private constructor
  std::unique_ptr<BundleSource> source = std::make_unique<Opened>();
  source->size_ = static_cast<size_t>(about.st_size);
  if (source->size_ < sizeof magic) return Error{Code::invalid, "the bundle is too short", 0};
  void* map = ::mmap(nullptr, source->size_, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED) return Error::from_errno(Code::exhausted, "cannot map the bundle", errno);
  source->map_ = static_cast<const char*>(map);
  if (std::memcmp(source->map_, magic, sizeof magic) != 0) return Error{Code::invalid, "not a bundle", 0};
  std::string_view rest(source->map_ + sizeof magic, source->size_ - sizeof magic);
  while (!rest.empty()) {
    Record record{};
    if (rest.size() < sizeof record) return Error{Code::invalid, "the bundle is cut off", 0};
    std::memcpy(&record, rest.data(), sizeof record);
    rest.remove_prefix(sizeof record);
    const uint64_t need = uint64_t{record.key_size} + record.error_size;
    if (rest.size() < need || rest.size() - need < record.content_size) return Error{Code::invalid, "the bundle is cut off", 0};
    Entry entry;
    entry.ok = record.ok != 0;
    entry.error = Error{static_cast<Code>(record.code), std::string(rest.substr(record.key_size, record.error_size)), record.system};
    entry.content = rest.substr(need, record.content_size);
    auto& answers = record.kind == kind_file ? source->files_ : record.kind == kind_directory ? source->directories_ : source->environment_;
    answers.emplace(rest.substr(0, record.key_size), std::move(entry));
    rest.remove_prefix(need + record.content_size);
  }
  return source;
}

BundleSource::~BundleSource() {
  if (map_ != nullptr) ::munmap(const_cast<char*>(map_), size_);
}

Result<std::string_view> BundleSource::read(const std::string& path) {
  const auto known = files_.find(path);
  if (known == files_.end()) return Error{Code::not_found, "not in the bundle", 0};
  if (!known->second.ok) return known->second.error;
  return known->second.content;
}

Result<std::string_view> BundleSource::once(const std::string& name, const std::function<std::string()>&) { return read(made_prefix + name); }

Result<Listing> BundleSource::list(const std::string& directory, Reach) {
  const auto known = directories_.find(directory);
  if (known == directories_.end()) return Error{Code::not_found, "not in the bundle", 0};
  if (!known->second.ok) return known->second.error;
  return unpack(known->second.content);
}

std::optional<std::string_view> BundleSource::env(const std::string& name) {
  const auto known = environment_.find(name);
  if (known == environment_.end() || !known->second.ok) return std::nullopt;
  return known->second.content;
}

}  // namespace goma::core
