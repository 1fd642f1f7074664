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

// A host, a path as it is forwarded, and a query.
struct Target {
  std::string_view host;
  const CanonicalPath* path;
  std::string_view query;
  bool has_query = false;
};

std::string_view host_of(const Exchange& x) { return without_default_port(x.request().host, x.client().scheme); }
Target target_of(const Exchange& x) { return {host_of(x), &x.path(), x.query(), x.has_query()}; }

// RFC 3986 5.2, for what has the scheme and host of the request.
std::optional<Target> resolve(Exchange& x, std::string_view reference) {
  reference = reference.substr(0, reference.find('#'));
  const size_t scheme = reference.find("://");
  if (scheme != std::string_view::npos && reference.find_first_of("/?") > scheme) {
    if (!core::iequals(reference.substr(0, scheme), x.client().scheme)) return std::nullopt;
    reference.remove_prefix(scheme + 1);
  }
  if (reference.starts_with("//")) {
    const size_t end = std::min(reference.find_first_of("/?", 2), reference.size());
    const std::string_view host = without_default_port(reference.substr(2, end - 2), x.client().scheme);
    if (!core::iequals(host, host_of(x))) return std::nullopt;
    reference.remove_prefix(end);
  } else if (const size_t colon = reference.find(':'); colon < reference.find_first_of("/?")) {
    return std::nullopt;  // another scheme
  } else if (reference.empty() || reference.front() == '?') {
    return reference.empty() ? target_of(x) : Target{host_of(x), &x.path(), reference.substr(1), reference.size() > 1};
  } else if (reference.front() != '/') {
    const std::string_view base = x.path().encoded;
    reference = x.arena().join(base.substr(0, base.rfind('/') + 1), reference);
  }
  const size_t mark = reference.find('?');
  const std::string_view query = mark == std::string_view::npos ? std::string_view() : reference.substr(mark + 1);
  const auto* path = x.arena().make<CanonicalPath>(canonical_path(reference.substr(0, mark), x.arena()));
  if (!path->ok) return std::nullopt;
  return Target{host_of(x), path, query, !query.empty()};
}

template <class Texts>
void add_query(Texts& key, const Target& target, const CacheKeyRule& rule) {
  if (!rule.with_query || !target.has_query) return;
  if (rule.params.empty()) {
    key.add("?").add(target.query);
    return;
  }
  for (const std::string& name : rule.params) {
    for (const Parameter& p : Query(target.query)) {
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

Credentials credentials_of(const Exchange& x) {
  const Headers& headers = x.request().headers;
  if (headers.has_any({HeaderId::cookie}) || !x.identity().empty()) return Credentials::others;
  if (x.client().tls != nullptr && x.client().tls->client != nullptr) return Credentials::others;
  for (const Header& h : headers) {
    if (claim_of(h.id, h.name) == Claim::person) return Credentials::others;
  }
  return headers.has_any({HeaderId::authorization}) ? Credentials::authorization : Credentials::none;
}

std::string_view why_past_cache(const Exchange& x, const CacheKeyRule& rule, Credentials credentials) {
  const RequestHead& request = x.request();
  const Headers& headers = request.headers;
  if (request.upgrade) return "upgrade";
  if (request.body.framing == Framing::chunked || request.body.length != 0) return "request body";
  if (!rule.personal && credentials == Credentials::others) return "credentials";
  if (headers.has_any({HeaderId::if_match, HeaderId::if_unmodified_since})) return "precondition";
  if (headers.get(HeaderId::accept) == "text/event-stream") return "event stream";
  return misleads(headers) ? "misleading header" : std::string_view();
}

namespace {

// Everything that makes a URL of its own. What begins with a word of its own may be missing.
template <class Texts>
void add_identity(Texts& key, Exchange& x, const Target& target, const CacheKeyRule& rule, const Headers& fields) {
  key.add(x.route_name()).add(rule.middleware).add(x.client().scheme).add(target.host).add(target.path->encoded);
  add_query(key, target, rule);
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

static StoreQuestion question_of(Exchange& x, const ResponseStore& store, const Target& target, const CacheKeyRule& rule, const Headers& fields) {
  StoreKeyMaker key = store.key();
  add_identity(key, x, target, rule, fields);
  return {key.made(), target.host, *target.path, &fields};
}

static std::string_view name_of(Exchange& x, const Target& target, const CacheKeyRule& rule, const Headers& fields) {
  TextList list;
  add_identity(list, x, target, rule, fields);
  return x.arena().join("goma:cache:{", core::sha256_hex(list.texts.bytes()), "}");
}

StoreQuestion store_question(Exchange& x, const ResponseStore& store, const CacheKeyRule& rule, const Headers& fields) {
  return question_of(x, store, target_of(x), rule, fields);
}

std::optional<StoreQuestion> store_question(Exchange& x, const ResponseStore& store, const CacheKeyRule& rule, const Headers& fields, std::string_view reference) {
  const std::optional<Target> target = resolve(x, reference);
  if (!target) return std::nullopt;
  return question_of(x, store, *target, rule, fields);
}

std::string_view shared_name(Exchange& x, const CacheKeyRule& rule, const Headers& fields) { return name_of(x, target_of(x), rule, fields); }

std::optional<std::string_view> shared_name(Exchange& x, const CacheKeyRule& rule, const Headers& fields, std::string_view reference) {
  const std::optional<Target> target = resolve(x, reference);
  if (!target) return std::nullopt;
  return name_of(x, *target, rule, fields);
}

}  // namespace goma::http
