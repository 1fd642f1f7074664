// SPDX-License-Identifier: Apache-2.0
//
// From a configuration to a site. Pure: it may run on any thread, and builds the same from the same texts.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/problem.h"
#include "core/source.h"
#include "core/staples.h"
#include "core/tls_tickets.h"
#include "http/config.h"
#include "http/module.h"
#include "http/site.h"

namespace goma::http {

// What building needs of the process it is in.
struct SiteTools {
  std::span<const ModuleInfo* const> modules;
  // Makes the built-in endpoints' answers; null in the loader's check.
  std::function<std::string()> render_metrics;
  // Where certificates are read from; null serves no HTTPS and knows no authorities.
  core::Source* source = nullptr;
  core::TlsTickets* tickets = nullptr;
  const core::Staples* staples = nullptr;
};

// Null after adding errors to problems.
std::unique_ptr<Site> build_site(std::unique_ptr<Config> config, const SiteTools& tools, core::Problems& problems);

}  // namespace goma::http
