// SPDX-License-Identifier: Apache-2.0
//
// Which certificate, and which rule for client certificates, a TLS client gets (goma-config 11.2): the most specific
// match of its server name, exact before wildcard (one label), else the default. Hash look-ups, whatever the number.
//
// Certificates of one name with different kinds of keys share a context, and OpenSSL picks by what the client can.
// The rule is found apart from the certificate, because a certificate may serve hosts with different rules.
//
// Built with the site; immutable.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/ocsp.h"
#include "core/problem.h"
#include "core/source.h"
#include "core/staples.h"
#include "core/tls.h"
#include "core/tls_context.h"
#include "core/tls_identity.h"
#include "core/tls_tickets.h"
#include "http/arrival.h"

namespace goma::http {

struct Config;

class Certificates final : public core::TlsChooser {
 public:
  struct Entry {
    core::TlsIdentity identity;
    int level = 0;       // 0 certsDir, 1 gateway.tls, 2 a route, 3 default
    std::string source;  // "goma.yml:5:9" or a file of certsDir
  };

  Certificates() = default;
  // Reads every certificate the configuration names and makes the contexts. tickets and staples may be null.
  void build(const Config& config, core::Source& source, core::TlsTickets* tickets, const core::Staples* staples, core::Problems& problems);

  ssl_ctx_st* choose(std::string_view server_name) const override;
  // What a completed handshake says; the rule is that of the context that was chosen.
  TlsFacts facts(const core::TlsSession& session) const;
  // The rule for client certificates of a host (0: none): a request for a host must have come through a handshake
  // under its rule (RFC 9110 15.5.20, CVE-2025-23419).
  uint64_t client_rule(std::string_view host) const;
  // The rule a route has of its own, or null.
  const core::TlsClientRule* route_rule(std::string_view route) const;

  // What responders are to be asked, when the configuration wants that.
  const std::vector<core::OcspQuestion>& to_staple() const { return to_staple_; }

  const std::deque<Entry>& entries() const { return entries_; }
  // Files and directories that were read; a change of one of them means other certificates.
  const std::vector<std::string>& files() const { return files_; }

 private:
  friend class CertificatesBuilder;

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Names = std::unordered_map<std::string, size_t, Hash, std::equal_to<>>;

  // Certificates that are shown together, and their contexts by rule.
  struct Group {
    std::vector<size_t> entries;
    std::vector<std::pair<size_t, std::unique_ptr<core::TlsContext>>> contexts;
    ssl_ctx_st* find(size_t rule) const;
  };

  size_t rule_of(std::string_view name) const;
  Names route_rules_;  // route -> its own rule
  size_t group_of(std::string_view name) const;

  std::deque<Entry> entries_;
  std::vector<Group> groups_;
  size_t default_group_ = 0;
  Names exact_;      // name -> group
  Names wildcards_;  // what follows "*." -> group
  std::vector<core::TlsClientRule> rules_;  // the first is the gateway's
  Names host_rules_;      // host -> rule
  Names label_rules_;     // what follows one label -> rule
  Names wildcard_rules_;  // what follows any labels -> rule
  std::unordered_map<const ssl_ctx_st*, uint64_t> rule_ids_;
  std::vector<std::string> files_;
  std::vector<core::OcspQuestion> to_staple_;
};

}  // namespace goma::http
