// SPDX-License-Identifier: Apache-2.0
//
// The part of checking that needs the modules: is every type known, and is every rule one that its module accepts.
// Meant as the `more` of load_config, so that a wrong rule is told in the same run as a wrong route.
#pragma once

#include <span>

#include "core/describe.h"
#include "http/config.h"
#include "http/module.h"

namespace goma::http {

// Builds every middleware once and drops it, for the problems it reports. Building a site from the same configuration
// reports the same problems again, which `Problems` tells once.
void check_middlewares(const Config& config, std::span<const ModuleInfo* const> modules, core::Problems& problems);

// The tables of the whole file and of every module's rule, for core/describe.
core::DescribeInput describe_with(std::span<const ModuleInfo* const> modules);

}  // namespace goma::http
