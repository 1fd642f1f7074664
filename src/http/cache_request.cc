// SPDX-License-Identifier: Apache-2.0
//
// Reasons and keys.
#include "http/cache_request.h"

#include <algorithm>

#include "core/pack.h"
#include "core/text.h"
#include "core/tls_client_context.h"
#include "http/claims.h"
#include "http/arrival.h"
#include "http/public_url.h"
#include "http/uri.h"

namespace goma::http {

namespace {

// Fields by which some backends take another method than the request line says. Nothing tells whether this one does;
// what it answers then is for nobody else.
constexpr std::string_view misleading[] = {"x-http-method", "x-method-override"};

bool misleads(const Headers& headers) {
  if (headers.find(HeaderId::x_http_method_override) != nullptr) return true;
  if (!headers.has_any({HeaderId::other})) return false;
  for (const Header& h : headers) {
    if (h.id != HeaderId::other) continue;
    for (const std::string_view name : misleading) {
      if (reads_alike(h.name, name)) return true;
    }
  }
  return false;
}

// What trusted proxies claim about the request (everybody else's claims are gone by now), but for addresses, which do
// not reach the backend then, and for host and scheme, which have their place in the key.
template <class Texts>
void add_claims(Texts& key, const Headers& headers, core::Arena& arena) {
  for (const Header& h : headers) {
    if (claim_of(h.id, h.name) != Claim::request || h.id == HeaderId::x_forwarded_host || h.id == HeaderId::x_forwarded_proto) continue;
    key.add("claim").add(h.id == HeaderId::other ? h.name : header_name(h.id));
    key.add(h.id == HeaderId::forwarded ? forwarded_without_addresses(h.value, arena) : h.value);
  }
}

template <class Texts>
void add_query(Texts& key, const Exchange& x, const CacheKeyRule& rule) {
  if (!rule.with_query || !x.has_query()) return;
  if (rule.params.empty()) {
    key.add("?").add(x.query());
    return;
  }
  for (const std::string& name : rule.params) {
    for (const Parameter& p : Query(x.query())) {
      if (p.name == name) key.add("&").add(name).add(p.value);
    }
  }
}

template <class Texts>
void add_credentials(Texts& key, const Exchange& x) {
  key.add("credentials");
  for (const Header& h : x.request().headers) {
    if (h.id == HeaderId::authorization || h.id == HeaderId::cookie) key.add(header_name(h.id)).add(h.value);
    else if (claim_of(h.id, h.name) == Claim::person) key.add(h.name).add(h.value);
  }
  key.add(x.identity());
  if (x.client().tls != nullptr && x.client().tls->client != nullptr) key.add("certificate").add(x.client().tls->client->fingerprint);
}

}  // namespace

bool has_credentials(const Exchange& x) {
  const Headers& headers = x.request().headers;
  if (headers.has_any({HeaderId::authorization, HeaderId::cookie}) || !x.identity().empty()) return true;
  if (x.client().tls != nullptr && x.client().tls->client != nullptr) return true;
  for (const Header& h : headers) {
    if (claim_of(h.id, h.name) == Claim::person) return true;
  }
  return false;
}

std::string_view why_past_cache(const Exchange& x, const CacheKeyRule& rule) {
  const RequestHead& request = x.request();
  const Headers& headers = request.headers;
  if (request.upgrade) return "upgrade";
  if (request.body.framing == Framing::chunked || request.body.length != 0) return "request body";
  if (!rule.personal && has_credentials(x)) return "credentials";
  if (headers.find(HeaderId::range) != nullptr) return "range";
  if (headers.find(HeaderId::if_match) != nullptr || headers.find(HeaderId::if_unmodified_since) != nullptr) return "precondition";
  if (headers.get(HeaderId::accept) == "text/event-stream") return "event stream";
  return misleads(headers) ? "misleading header" : std::string_view();
}

namespace {

// Everything that makes a URL of its own. What begins with a word of its own may be missing.
template <class Texts>
void add_identity(Texts& key, Exchange& x, std::string_view host, const CacheKeyRule& rule, const Headers& fields) {
  key.add(x.route_name()).add(rule.middleware).add(x.client().scheme).add(host).add(x.path().encoded);
  add_query(key, x, rule);
  add_claims(key, fields, x.arena());
  if (rule.personal) add_credentials(key, x);
}

struct TextList {
  TextList& add(std::string_view text) {
    texts.text(text);
    return *this;
  }
  core::Pack texts;
};

}  // namespace

StoreQuestion store_question(Exchange& x, const ResponseStore& store, const CacheKeyRule& rule, const Headers& fields) {
  const std::string_view host = without_default_port(x.request().host, x.client().scheme);
  StoreKeyMaker key = store.key();
  add_identity(key, x, host, rule, fields);
  return {key.made(), host, x.path(), &fields};
}

std::string_view shared_name(Exchange& x, const CacheKeyRule& rule, const Headers& fields) {
  TextList list;
  add_identity(list, x, without_default_port(x.request().host, x.client().scheme), rule, fields);
  return x.arena().join("goma:cache:{", core::sha256_hex(list.texts.bytes()), "}");
}

}  // namespace goma::http
