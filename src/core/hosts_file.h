// SPDX-License-Identifier: Apache-2.0
//
// The hosts file (hosts(5)): one address and its names per line. Read again when it has changed, at most 1 MiB of it.
// "localhost" and what lies under it are this machine, in both families, whatever the file says or lacks (RFC 6761 6.3).
#pragma once

#include <ctime>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/socket.h"

namespace goma::core {

class HostsFile {
 public:
  explicit HostsFile(std::string path) : path_(std::move(path)) {}
  // Reads the file if it is new or has changed.
  void refresh();
  // The addresses of a name in lower case; null when the file does not know it.
  const std::vector<Address>* find(std::string_view name) const;

 private:
  void read();
  void take_line(std::string_view line);
  void add_loopback();

  std::string path_;
  timespec changed_{-1, 0};
  std::map<std::string, std::vector<Address>, std::less<>> names_;
};

}  // namespace goma::core
