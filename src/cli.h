// SPDX-License-Identifier: Apache-2.0
//
// The command line of goma: nginx's letters and Goma's verbs, read into one plain struct. Nothing is looked up or
// opened here; a mistake comes back as a text with a suggestion.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace goma {

struct Command {
  enum class Verb { serve, test, dump, version, build, help, signal, init, describe, demo_backend };
  Verb verb = Verb::serve;
  std::string config;       // -c, --config; "" = the default
  std::string prefix;       // -p
  std::string signal;       // -s: stop quit reopen reload
  std::string output;       // -o of config init
  std::string what;         // of describe: schema markdown man
  std::string listen;       // of demo-backend
  std::string name;         // of demo-backend
  std::string user, group;  // -g "user NAME; group NAME"
  int workers = 0;          // 0 = one per core
  bool quiet = false;
  bool file_only = false;   // a check of the file that leaves this machine out
  bool strict = false;
  bool json = false;        // --format json
  bool daemon = false;
  bool sandbox = true;
  bool force = false;
};

// Reads the words after the program's name. The error's text is complete, for standard error; exit code 2.
core::Result<Command> read_command(const std::vector<std::string>& words);
// What --help prints.
std::string help_text();

}  // namespace goma
