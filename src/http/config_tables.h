// SPDX-License-Identifier: Apache-2.0
//
// The tables of Goma's file, for those who read it (config_load.cc) and those who print it (config_print.cc).
#pragma once

#include <string>
#include <vector>

#include "core/schema.h"
#include "http/config.h"

namespace goma::http {

// What an extraConfig file may hold.
struct ExtraFile {
  std::string version;
  const core::yaml::Node* metadata = nullptr;
  std::vector<RouteConf> routes;
  std::vector<MiddlewareConf> middlewares;
};

extern const core::Section file_section;        // the main file
extern const core::Section extra_file_section;  // a file of extraConfig.directory
extern const core::Section gateway_section;
extern const core::Section route_section;
extern const core::Section middleware_section;
extern const core::Section gateway_tls_section;  // config_tls.cc
extern const core::Section route_tls_section;
extern const core::Section redis_section;      // config_redis.cc
extern const core::Section redis_tls_section;

}  // namespace goma::http
