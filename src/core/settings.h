// SPDX-License-Identifier: Apache-2.0
//
// What one instance was told on its command line, and the places that follow from it. Made once by main, read by
// every process of the instance; only a reload may change the number of workers.
#pragma once

#include <string>
#include <vector>

#include "core/process.h"

namespace goma::core {

struct Settings {
  std::string version;
  std::string binary;                  // absolute path, for an upgrade
  std::vector<std::string> arguments;  // after the name, for an upgrade
  std::string prefix;                  // -p, absolute; "" = none, relative paths start at the working directory
  std::string config;                  // the main file, absolute or relative to the prefix
  int workers = 1;
  bool strict = false;                 // warnings refuse a configuration
  bool sandbox = true;                 // workers and manager are refused dangerous system calls
  process::Identity identity;          // who workers and manager become when the master is root

  std::string pid_file;
  std::string control_socket;
  std::string state_file;              // children, for a start after the master was killed
};

}  // namespace goma::core
