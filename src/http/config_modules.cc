// SPDX-License-Identifier: Apache-2.0
//
// Where configuration and modules meet, by the module interface only.
#include "http/config_modules.h"

#include <algorithm>

namespace goma::http {

void check_middlewares(const Config& config, std::span<const ModuleInfo* const> modules, core::Problems& problems) {
  std::vector<std::string_view> types;
  for (const ModuleInfo* module : modules) types.insert(types.end(), module->types.begin(), module->types.end());
  check_types(config, types, problems);
  for (const MiddlewareConf& conf : config.middlewares) {
    const auto knows = [&conf](const ModuleInfo* module) { return std::find(module->types.begin(), module->types.end(), conf.type.text) != module->types.end(); };
    const auto module = std::find_if(modules.begin(), modules.end(), knows);
    if (module == modules.end()) continue;
    BuildContext context{conf, problems, config};
    (*module)->make(context);
  }
}

core::DescribeInput describe_with(std::span<const ModuleInfo* const> modules) {
  core::DescribeInput input = describe_input();
  for (const ModuleInfo* module : modules) input.rules.push_back({module->types, module->doc, module->fields});
  return input;
}

}  // namespace goma::http
