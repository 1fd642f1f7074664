// SPDX-License-Identifier: Apache-2.0
//
// How connections to backends are secured (goma-config 5.4): whom a profile believes, how it shows itself, which name
// it expects. Routes with the same settings share a profile; a profile is told from others by its digest, also from
// those of an earlier site, so that connections survive a reload that changes nothing for them.
//
// The invariant: verification is on unless the configuration says otherwise in so many words. What cannot be read or
// understood refuses the configuration.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/problem.h"
#include "core/source.h"
#include "core/tls_client_context.h"
#include "http/config.h"

namespace goma::http {

struct BackendTls {
  std::shared_ptr<const core::TlsContext> context;
  std::string server_name;  // in place of the backend's host; empty: the host
  std::string digest;       // equal for equal settings, texts of files included
  bool http2 = false;       // offer HTTP/2 (RFC 7301)
};

// Makes the profiles of one site.
class BackendTlsMaker {
 public:
  // source null: nothing can be read (a site of a unit test).
  BackendTlsMaker(const Config& config, core::Source* source, core::Problems& problems) : config_(config), source_(source), problems_(problems) {}

  // The profile of a route; null after adding an error.
  std::shared_ptr<const BackendTls> of_route(const RouteConf& route);
  // The profile of a service that a middleware asks: the machine's authorities, HTTP/1.1.
  std::shared_ptr<const BackendTls> of_service(bool insecure);

 private:
  struct Text {
    std::string pem;
    std::string digest;
  };
  struct Texts {
    bool verify = true;
    bool http2 = false;
    std::string server_name;
    const Text* roots = nullptr;
    const Text* certificate = nullptr;
    const Text* key = nullptr;
    const BackendTlsConf* conf = nullptr;  // for messages; null: none
    core::Place place;                     // of the route
  };

  std::shared_ptr<const BackendTls> make(const Texts& texts);
  const Text* read(const core::PlacedText& value, const char* key);
  std::shared_ptr<const core::TlsRoots> roots_of(const Texts& texts);
  const Text& machine_roots();

  const Config& config_;
  core::Source* source_;
  core::Problems& problems_;
  std::map<std::string, Text> read_;                                    // by value; "" is empty
  std::optional<Text> machine_roots_;
  std::map<std::string, std::shared_ptr<const core::TlsRoots>> roots_;  // by digest
  std::map<std::string, std::shared_ptr<const BackendTls>> made_;       // by digest
};

}  // namespace goma::http
