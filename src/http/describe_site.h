// SPDX-License-Identifier: Apache-2.0
//
// A site told to others: what the master must do for it (core::Plan), and what gomactl shows of it.
#pragma once

#include <span>
#include <string>

#include "core/resolver.h"
#include "core/service.h"
#include "http/module.h"
#include "http/site.h"

namespace goma::http {

// `modules` are those that the site was built with.
core::Plan plan_of(const Site& site, std::span<const ModuleInfo* const> modules);

// "routes", "backends", "certificates" or "config"; empty for anything else. Slab: where the workers note the health of backends.
std::string describe_site(const Site& site, core::Slab& slab, const std::string& what, bool json);

// Name look-up as gateway.networking.dnsCache says.
core::Resolver::Options resolver_options(const Config& config);

// The tables of all modules for the documents and `goma -T`.
std::vector<core::RuleSection> rule_sections(std::span<const ModuleInfo* const> modules);

}  // namespace goma::http
