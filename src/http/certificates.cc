// SPDX-License-Identifier: Apache-2.0
//
// Finding a context by name.
#include "http/certificates.h"

namespace goma::http {

ssl_ctx_st* Certificates::choose(std::string_view) const { return nullptr; }

TlsFacts Certificates::facts(const core::TlsSession& session) const {
  TlsFacts facts;
  facts.version = session.version();
  facts.cipher = session.cipher();
  facts.server_name = std::string(session.server_name());
  facts.resumed = session.resumed();
  facts.client_subject = session.peer_subject();
  return facts;
}

uint64_t Certificates::client_rule(std::string_view) const { return 0; }

}  // namespace goma::http
