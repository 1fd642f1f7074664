// SPDX-License-Identifier: Apache-2.0
//
// Claims in every spelling (attack cases C36, C37, C39, C40), and what is none.
#include "http/claims.h"

#include "check.h"
#include "core/text.h"

using namespace goma;
using http::Claim;
using http::Headers;

namespace {

struct Fixture {
  core::ChunkPool pool;
  core::Arena arena{pool};
  Headers headers{arena};
  explicit Fixture(std::initializer_list<const char*> names) {
    for (const char* name : names) headers.add(name, "v");
  }
  static std::string names(const Headers& headers) {
    std::string all;
    for (const http::Header& h : headers) all += std::string(all.empty() ? "" : " ") + std::string(h.name);
    return all;
  }
};

Claim claim(std::string_view name) { return http::claim_of(http::header_id(name), name); }

constexpr const char* claims[] = {
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Uri",
    "X-Forwarded-Method", "X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-User", "X-Forwarded-Groups", "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info",
    "X-Forwarded-Client-Cert", "X-Forwarded-Anything-At-All", "X-Forwarded", "Forwarded", "X-Real-IP", "X-Real-Port", "X-Client-IP", "Client-IP",
    "True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Original-Forwarded-For", "X-Remote-IP",
    "X-Original-URL", "X-Rewrite-URL", "X-Original-Host", "X-Host", "X-Client-Cert", "X-Client-Cert-Subject", "X-Client-Cert-Anything", "X-SSL-Cert",
    "X-SSL-Client-Verify", "SSL-Client-Verify", "Client-Cert", "Client-Cert-Chain", "X-ARR-ClientCert", "X-Auth-Request-User", "X-Auth-Request-Email",
    "Remote-User", "Remote-Groups", "X-Remote-User", "X-Remote-Extra-Scopes", "X-WebAuth-User", "X-Authenticated-User", "X-Consumer-Username",
    "X-Goog-Authenticated-User-Email", "X-MS-Client-Principal", "X-Envoy-External-Address", "WL-Proxy-Client-IP", "Proxy-Client-IP", "X-JWT-Claim-Sub"};

// Every place of a dash may hold something else, and letters may have any case.
void every_spelling_is_a_claim() {
  for (const std::string name : claims) {
    CHECK(claim(name) != Claim::none);
    for (const char dash : {'_', '.', '~', '+'}) {
      for (size_t at = 0; at < name.size(); ++at) {
        std::string spelled = name;
        if (spelled[at] == '-') spelled[at] = dash;
        CHECK(claim(spelled) == claim(name));
        spelled[at] = static_cast<char>(std::toupper(spelled[at]));
        CHECK(claim(spelled) == claim(name));
        CHECK(claim(core::to_lower(spelled)) == claim(name));
      }
    }
  }
}

void ordinary_names_are_none() {
  for (const char* name : {"", "X", "x-", "X-Request-ID", "X-Requested-With", "X-User", "X-Client-Version", "X-Api-Key", "Sec-Fetch-Mode", "Via", "Host", "Remote",
                           "X-Reality", "Client-IPs", "X-Hosts", "Cf-Access-Jwt-Assertion", "Authorization", "Cookie", "Upgrade-Insecure-Requests",
                           "X-HTTP-Method-Override", "SSL", "Forwarder", "\xD8-Real-IP"}) {
    CHECK(claim(name) == Claim::none);
  }
}

void the_longest_entry_says_what_is_claimed() {
  CHECK(claim("X-Forwarded-For") == Claim::address);
  CHECK(claim("X-Forwarded-User") == Claim::person);
  CHECK(claim("X-Forwarded-Proto") == Claim::request);
  CHECK(claim("X-Remote-Addr") == Claim::address);
  CHECK(claim("X-Remote-User") == Claim::person);
}

void strangers_claim_nothing() {
  Fixture f{"Host", "X-Forwarded-For", "x.forwarded.for", "X-Forwarded-User", "X-User", "Remote-User", "X-Real-IP", "Accept"};
  http::drop_claims(f.headers, false);
  CHECK_EQ(Fixture::names(f.headers), "Host X-User Accept");
  CHECK(f.headers.find(http::HeaderId::x_forwarded_for) == nullptr);
}

// A proxy writes its fields as everybody does; another spelling is its client's.
void proxies_claim_in_one_spelling() {
  Fixture f{"X-Forwarded-For", "x.forwarded.for", "x-forwarded-user", "X~Forwarded-User", "X-Real-IP"};
  http::drop_claims(f.headers, true);
  CHECK_EQ(Fixture::names(f.headers), "X-Forwarded-For x-forwarded-user X-Real-IP");
}

void fields_of_middlewares_are_nobody_elses() {
  Fixture f{"X-User", "x.user", "X-Users", "X-USER", "Cookie"};
  http::remove_alike(f.headers, "X_User");
  CHECK_EQ(Fixture::names(f.headers), "X-Users Cookie");
  http::remove_alike(f.headers, "cookie");
  CHECK(!f.headers.has_any({http::HeaderId::cookie}));
}

void trailers_claim_nothing() {
  Fixture f{"X-Checksum", "X-User", "x.user", "Remote-User", "X-Forwarded-For"};
  const http::OwnField own[] = {{"X_User", true}};
  CHECK_EQ(Fixture::names(*http::without_claims(f.headers, own, f.arena)), "X-Checksum");
  const http::OwnField all[] = {{"X-Checksum"}, {"X-User"}};
  CHECK(http::without_claims(f.headers, all, f.arena) == nullptr);
}

void shared_answers_know_no_address() {
  Fixture f{"X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "X-Client-IP", "X-Forwarded-Port"};
  f.headers.add("Forwarded", "for=192.0.2.1;proto=https;by=_x, For=\"[::1]\"");
  f.headers.add("Forwarded", "host=a.test; for=1.1.1.1");
  http::drop_addresses(f.headers, f.arena);
  CHECK_EQ(Fixture::names(f.headers), "X-Forwarded-For X-Real-IP X-Forwarded-Port Forwarded");
  CHECK_EQ(f.headers.get(http::HeaderId::forwarded), "proto=https, host=a.test");
  CHECK_EQ(http::forwarded_without_addresses("for=1.1.1.1", f.arena), "");
}

}  // namespace

GOMA_TESTS(every_spelling_is_a_claim, ordinary_names_are_none, the_longest_entry_says_what_is_claimed, strangers_claim_nothing, proxies_claim_in_one_spelling,
           fields_of_middlewares_are_nobody_elses, trailers_claim_nothing, shared_answers_know_no_address)
