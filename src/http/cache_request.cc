// SPDX-License-Identifier: Apache-2.0
//
// Reasons and keys.
#include "http/cache_request.h"

#include <algorithm>

#include "core/channel.h"
#include "core/text.h"
#include "core/tls_client_context.h"
#include "http/connection.h"
#include "http/uri.h"

namespace goma::http {

namespace {

// Fields by which some backends take another host, path or method than the request line says. Nothing tells whether this
// one does; what it answers then is for nobody else.
constexpr std::string_view misleading[] = {"x-rewrite-url", "x-override-url", "x-http-method",   "x-method-override",
                                           "x-host",        "x-original-host", "x-forwarded-server", "x-http-host-override"};

bool misleads(const Headers& headers) {
  if (headers.find(HeaderId::x_original_url) != nullptr || headers.find(HeaderId::x_http_method_override) != nullptr) return true;
  for (const Header& h : headers) {
    if (h.id != HeaderId::other || (h.name[0] | 0x20) != 'x') continue;
    for (const std::string_view name : misleading) {
      if (core::iequals(h.name, name)) return true;
    }
  }
  return false;
}

std::string_view canonical_host(Exchange& x) {
  std::string_view host = x.request().host;
  const std::string_view standard = x.client().scheme == "https" ? ":443" : ":80";
  if (host.ends_with(standard)) host.remove_suffix(standard.size());
  bool upper = false;
  for (const char c : host) upper |= core::lower(c) != c;
  if (!upper) return host;
  char* lower = x.arena().array<char>(host.size());
  std::transform(host.begin(), host.end(), lower, [](char c) { return core::lower(c); });
  return {lower, host.size()};
}

// What trusted proxies say about the request (everybody else's words are gone by now), but for addresses.
template <class Texts>
void add_proxied(Texts& key, const Headers& headers) {
  constexpr HeaderId ids[] = {HeaderId::x_forwarded_port, HeaderId::x_forwarded_prefix, HeaderId::x_forwarded_scheme};
  constexpr HeaderSet any{HeaderId::x_forwarded_port, HeaderId::x_forwarded_prefix, HeaderId::x_forwarded_scheme, HeaderId::forwarded};
  if (!headers.has_any(any)) return;
  key.add("proxied");
  for (const HeaderId id : ids) key.add(headers.get(id));
  for (const Header& h : headers) {
    if (h.id != HeaderId::forwarded) continue;
    for (const std::string_view element : core::split(h.value, ',')) {
      for (const std::string_view pair : core::split(element, ';')) {
        const std::string_view trimmed = core::trim(pair);
        if (!core::istarts_with(trimmed, "for=") && !core::istarts_with(trimmed, "by=")) key.add("forwarded").add(trimmed);
      }
    }
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
  }
  if (x.client().tls != nullptr && x.client().tls->client != nullptr) key.add("certificate").add(x.client().tls->client->fingerprint);
}

}  // namespace

bool has_credentials(const Exchange& x) {
  const Headers& headers = x.request().headers;
  return headers.find(HeaderId::authorization) != nullptr || headers.find(HeaderId::cookie) != nullptr ||
         (x.client().tls != nullptr && x.client().tls->client != nullptr);
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
  add_proxied(key, fields);
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
  const std::string_view host = canonical_host(x);
  StoreKeyMaker key = store.key();
  add_identity(key, x, host, rule, fields);
  return {key.made(), host, x.path().encoded, &fields};
}

std::string_view shared_name(Exchange& x, const CacheKeyRule& rule, const Headers& fields) {
  TextList list;
  add_identity(list, x, canonical_host(x), rule, fields);
  return x.arena().join("goma:cache:{", core::sha256_hex(list.texts.bytes()), "}");
}

}  // namespace goma::http
