// SPDX-License-Identifier: Apache-2.0
//
// A line that cannot be understood is skipped, as the C library does.
#include "core/hosts_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/text.h"

namespace goma::core {

namespace {

constexpr size_t max_size = size_t{1} << 20;

// The next word of the line, which is shortened; empty at the end.
std::string_view next_word(std::string_view& line) {
  line = trim(line);
  size_t n = 0;
  while (n < line.size() && !is_space(line[n])) ++n;
  const std::string_view word = line.substr(0, n);
  line.remove_prefix(n);
  return word;
}

}  // namespace

void HostsFile::refresh() {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) {
    names_.clear();
    changed_ = {-1, 0};
    add_loopback();
    return;
  }
  if (status.st_mtim.tv_sec == changed_.tv_sec && status.st_mtim.tv_nsec == changed_.tv_nsec) return;
  changed_ = status.st_mtim;
  read();
}

void HostsFile::read() {
  names_.clear();
  const Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return;
  std::string text(max_size, '\0');
  size_t used = 0;
  while (used < max_size) {
    const ssize_t n = ::read(file.get(), text.data() + used, max_size - used);
    if (n <= 0) break;
    used += static_cast<size_t>(n);
  }
  for (const std::string_view line : split(std::string_view(text).substr(0, used), '\n')) take_line(line);
  add_loopback();
}

// Many files list localhost for one family only.
void HostsFile::add_loopback() {
  std::vector<Address>& local = names_["localhost"];
  for (const std::string_view ip : {"127.0.0.1", "::1"}) {
    const Address address = *Address::parse_ip(ip);
    const bool listed = std::any_of(local.begin(), local.end(), [&](const Address& a) { return a.family() == address.family(); });
    if (!listed) local.push_back(address);
  }
}

void HostsFile::take_line(std::string_view line) {
  line = line.substr(0, line.find('#'));
  const std::optional<Address> address = Address::parse_ip(next_word(line));
  if (!address) return;
  for (std::string_view name = next_word(line); !name.empty(); name = next_word(line)) {
    std::vector<Address>& known = names_[to_lower(name)];
    if (std::find(known.begin(), known.end(), *address) == known.end()) known.push_back(*address);
  }
}

const std::vector<Address>* HostsFile::find(std::string_view name) const {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  auto found = names_.find(name);
  if (found == names_.end() && name.ends_with(".localhost")) found = names_.find("localhost");
  return found != names_.end() ? &found->second : nullptr;
}

}  // namespace goma::core
