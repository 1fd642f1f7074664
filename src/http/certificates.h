// SPDX-License-Identifier: Apache-2.0
//
// Which certificate, and which rule for client certificates, a TLS client gets (goma-config 11.2): the most specific
// match of its server name, exact before wildcard (one label), else the default. Hash look-ups, whatever the number.
//
// Built with the site; immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/problem.h"
#include "core/source.h"
#include "core/tls.h"
#include "core/tls_context.h"
#include "http/connection.h"

namespace goma::http {

struct Config;

class Certificates final : public core::TlsChooser {
 public:
  Certificates() = default;

  ssl_ctx_st* choose(std::string_view server_name) const override;
  // What a completed handshake says; the rule is that of the context that was chosen.
  TlsFacts facts(const core::TlsSession& session) const;
  // The rule for client certificates of a host (0: none): a request for a host must have come through a handshake
  // under its rule (RFC 9110 15.5.20, CVE-2025-23419).
  uint64_t client_rule(std::string_view host) const;
};

}  // namespace goma::http
