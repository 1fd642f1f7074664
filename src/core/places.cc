// SPDX-License-Identifier: Apache-2.0
//
// The run directory without -p: what systemd made (RUNTIME_DIRECTORY), /run/goma for root, the user's own otherwise.
#include "core/places.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace goma::core {

namespace {

constexpr const char* system_directory = "/run/goma";

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string working_directory() {
  char path[4096];
  return ::getcwd(path, sizeof path) != nullptr ? path : "";
}

std::string absolute(const std::string& path) {
  std::string whole = path.starts_with('/') ? path : working_directory() + "/" + path;
  while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
  return whole;
}

bool is_directory(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
}

std::string parent_of(const std::string& path) { return path.substr(0, std::max<size_t>(path.rfind('/'), 1)); }

std::vector<std::string> run_directories() {
  std::vector<std::string> found;
  if (const std::string given = from_environment("RUNTIME_DIRECTORY"); !given.empty()) found.push_back(given.substr(0, given.find(':')));
  if (::geteuid() == 0) found.emplace_back(system_directory);
  if (const std::string own = from_environment("XDG_RUNTIME_DIR"); !own.empty()) found.push_back(own + "/goma");
  return found;
}

}  // namespace

Result<void> find_places(const std::string& prefix, Settings& settings, bool make) {
  std::string directory;
  if (!prefix.empty()) {
    directory = settings.prefix = absolute(prefix);
    if (!is_directory(directory)) return Error{Code::not_found, fmt::format("there is no directory {}", directory), 0};
  } else {
    const std::vector<std::string> candidates = run_directories();
    if (candidates.empty()) {
      return Error{Code::not_found, "no place for the pid file and the control socket: start with -p DIR, as root, or with XDG_RUNTIME_DIR set", 0};
    }
    directory = candidates.front();
    const bool there = is_directory(directory);
    const bool could = there || (make ? ::mkdir(directory.c_str(), 0755) : ::faccessat(AT_FDCWD, parent_of(directory).c_str(), W_OK | X_OK, AT_EACCESS)) == 0;
    if (!could) return Error{Code::refused, fmt::format("cannot make {}: {}", directory, std::strerror(errno)), errno};
  }
  settings.pid_file = directory + "/goma.pid";
  settings.control_socket = directory + "/control.sock";
  settings.state_file = directory + "/goma.state";
  return {};
}

std::string control_socket_of(const std::string& prefix) {
  if (!prefix.empty()) return absolute(prefix) + "/control.sock";
  const std::string system = std::string(system_directory) + "/control.sock";
  std::vector<std::string> candidates = run_directories();
  candidates.emplace_back(system_directory);
  for (const std::string& directory : candidates) {
    if (::access((directory + "/control.sock").c_str(), F_OK) == 0 || errno == EACCES) return directory + "/control.sock";
  }
  return system;
}

std::string find_binary(const std::string& name) {
  if (name.find('/') != std::string::npos) return absolute(name);
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : name;
}

}  // namespace goma::core
