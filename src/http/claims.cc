// SPDX-License-Identifier: Apache-2.0
//
// One table. Names that have a number are looked up once, when the program starts; of the others most show by pairs of
// their letters that they are not there. A request whose names all have numbers costs two tests.
#include "http/claims.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/text.h"

namespace goma::http {

namespace {

struct Entry {
  std::string_view name;  // lower case; '*' at its end: whatever begins so
  Claim claim;
};

// What widespread backends, frameworks and proxies believe; see docs/security.md, which lists the same. A signed token
// (Cf-Access-Jwt-Assertion) is no claim: who believes it has checked it.
constexpr Entry table[] = {
    {"cf-access-authenticated-user-*", Claim::person},
    {"cf-connecting-ip*", Claim::address},
    {"cf-pseudo-ipv4", Claim::address},
    {"cf-visitor", Claim::request},
    {"client-cert*", Claim::person},  // RFC 9440
    {"client-ip", Claim::address},
    {"cloudfront-forwarded-proto", Claim::request},
    {"cloudfront-viewer-address", Claim::address},
    {"fastly-client-ip", Claim::address},
    {"fastly-ssl", Claim::request},
    {"fly-client-ip", Claim::address},
    {"fly-forwarded-*", Claim::request},
    {"forwarded", Claim::request},
    {"forwarded-*", Claim::request},
    {"front-end-https", Claim::request},
    {"proxy-client-ip", Claim::address},
    {"proxy-user", Claim::person},
    {"remote-*", Claim::person},
    {"remote-addr", Claim::address},
    {"remote-ip", Claim::address},
    {"ssl-cert*", Claim::person},
    {"ssl-client*", Claim::person},
    {"true-client-ip", Claim::address},
    {"wl-proxy-client-cert", Claim::person},
    {"wl-proxy-client-ip", Claim::address},
    {"wl-proxy-ssl", Claim::request},
    {"x-amzn-mtls-*", Claim::person},
    {"x-amzn-oidc-identity", Claim::person},
    {"x-anonymous-consumer", Claim::person},
    {"x-appengine-user-*", Claim::person},
    {"x-appengine-user-ip", Claim::address},
    {"x-arr-clientcert", Claim::person},
    {"x-arr-ssl", Claim::request},
    {"x-auth-request-*", Claim::person},
    {"x-authenticated-*", Claim::person},
    {"x-authentik-*", Claim::person},
    {"x-azure-clientip", Claim::address},
    {"x-azure-socketip", Claim::address},
    {"x-client-cert*", Claim::person},
    {"x-client-dn", Claim::person},
    {"x-client-ip", Claim::address},
    {"x-client-verify", Claim::person},
    {"x-cluster-client-ip", Claim::address},
    {"x-consumer*", Claim::person},
    {"x-credential-*", Claim::person},
    {"x-envoy-external-address", Claim::address},
    {"x-envoy-original-*", Claim::request},
    {"x-forward*", Claim::request},
    {"x-forwarded-access-token", Claim::person},
    {"x-forwarded-client-cert", Claim::person},
    {"x-forwarded-email", Claim::person},
    {"x-forwarded-for", Claim::address},
    {"x-forwarded-groups", Claim::person},
    {"x-forwarded-preferred-username", Claim::person},
    {"x-forwarded-tls-client-*", Claim::person},
    {"x-forwarded-user", Claim::person},
    {"x-goog-authenticated-user-*", Claim::person},
    {"x-host", Claim::request},
    {"x-http-host-override", Claim::request},
    {"x-jwt-claim-*", Claim::person},
    {"x-ms-client-principal*", Claim::person},
    {"x-original-*", Claim::request},
    {"x-original-forwarded-for", Claim::address},
    {"x-originating-ip", Claim::address},
    {"x-override-url", Claim::request},
    {"x-pomerium-claim-*", Claim::person},
    {"x-proxyuser-ip", Claim::address},
    {"x-real-*", Claim::request},
    {"x-real-ip", Claim::address},
    {"x-remote-*", Claim::person},
    {"x-remote-addr", Claim::address},
    {"x-remote-ip", Claim::address},
    {"x-rewrite-url", Claim::request},
    {"x-scheme", Claim::request},
    {"x-ssl*", Claim::request},
    {"x-ssl-cert*", Claim::person},
    {"x-ssl-client*", Claim::person},
    {"x-tls-client-*", Claim::person},
    {"x-url-scheme", Claim::request},
    {"x-userinfo", Claim::person},
    {"x-vouch-*", Claim::person},
    {"x-webauth-*", Claim::person},
};

constexpr bool sorted() {
  for (size_t i = 1; i < std::size(table); ++i) {
    if (table[i - 1].name >= table[i].name) return false;
  }
  return true;
}
static_assert(sorted());

constexpr size_t shortest = 5;  // every entry says so many characters
static_assert(std::all_of(std::begin(table), std::end(table), [](const Entry& e) { return e.name.find('*') >= shortest && e.name.size() >= shortest; }));

// A character as the most careless reader sees it.
constexpr std::array<char, 256> folds = [] {
  std::array<char, 256> all{};
  for (size_t i = 0; i < all.size(); ++i) {
    const char low = core::lower(static_cast<char>(i));
    all[i] = (low >= 'a' && low <= 'z') || core::is_digit(low) ? low : '-';
  }
  return all;
}();
constexpr char folded(char c) { return folds[static_cast<uint8_t>(c)]; }

// Letters have one each; '-' and digits share them.
constexpr unsigned low_bits(char c) { return static_cast<uint8_t>(c) & 31U; }

// Which pairs of characters stand at two places of some entry's name; most names of requests are not there.
template <size_t first, size_t second>
constexpr std::array<uint32_t, 32> pairs = [] {
  std::array<uint32_t, 32> rows{};
  for (const Entry& entry : table) rows[low_bits(entry.name[first])] |= uint32_t{1} << low_bits(entry.name[second]);
  return rows;
}();

template <size_t first, size_t second>
bool any_has_pair(std::string_view name) {
  return (pairs<first, second>[low_bits(folded(name[first]))] >> low_bits(folded(name[second])) & 1) != 0;
}

bool begins_alike(std::string_view name, std::string_view with) {
  return name.size() >= with.size() && std::equal(with.begin(), with.end(), name.begin(), [](char w, char c) { return folded(c) == w; });
}

bool fits(std::string_view name, std::string_view entry) {
  if (entry.back() == '*') return begins_alike(name, entry.substr(0, entry.size() - 1));
  return name.size() == entry.size() && begins_alike(name, entry);
}

// Of several entries that fit the longest speaks, as it comes last.
Claim search(std::string_view name) {
  Claim found = Claim::none;
  const char third = folded(name[2]);  // the first is x, most often
  for (const Entry& entry : table) {
    if (entry.name[2] == third && fits(name, entry.name)) found = entry.claim;
  }
  return found;
}

Claim look_up(std::string_view name) {
  if (name.size() < shortest || !any_has_pair<0, 2>(name) || !any_has_pair<2, 3>(name) || !any_has_pair<3, 4>(name)) return Claim::none;
  return search(name);
}

constexpr size_t numbers = 64;

// The claims of the names that have a number.
struct Numbered {
  std::array<Claim, numbers> claims{};
  HeaderSet set{};
  Numbered() {
    for (size_t i = 1; i < numbers; ++i) {
      const auto id = static_cast<HeaderId>(i);
      claims[i] = look_up(header_name(id));
      if (claims[i] != Claim::none) set.add(id);
    }
  }
};
const Numbered numbered;

// Whether it has no character but those that the table has.
bool is_plain(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) { return c == '-' || folded(c) != '-'; });
}

}  // namespace

Claim claim_of(HeaderId id, std::string_view name) {
  return id != HeaderId::other ? numbered.claims[static_cast<size_t>(id)] : look_up(name);
}

void drop_claims(Headers& headers, bool trusted) {
  if (!trusted) headers.remove(numbered.set);
  if (!headers.has_any({HeaderId::other})) return;
  for (const Header& h : headers) {
    if (h.id == HeaderId::other && look_up(h.name) != Claim::none && !(trusted && is_plain(h.name))) headers.remove(h);
  }
}

bool reads_alike(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return folded(x) == folded(y); });
}

void remove_alike(Headers& headers, std::string_view name) {
  for (const Header& h : headers) {
    if (reads_alike(h.name, name)) headers.remove(h);
  }
}

std::string_view forwarded_without_addresses(std::string_view value, core::Arena& arena) {
  std::string_view left;
  for (const std::string_view element : core::split(value, ',')) {
    std::string_view kept;
    for (std::string_view pair : core::split(element, ';')) {
      pair = core::trim(pair);
      if (core::istarts_with(pair, "for=") || core::istarts_with(pair, "by=")) continue;
      kept = kept.empty() ? pair : arena.join(kept, ";", pair);
    }
    if (!kept.empty()) left = left.empty() ? kept : arena.join(left, ", ", kept);
  }
  return left;
}

void drop_addresses(Headers& headers, core::Arena& arena) {
  std::string_view forwarded;
  for (const Header& h : headers) {
    if (h.id == HeaderId::forwarded) {
      const std::string_view left = forwarded_without_addresses(h.value, arena);
      forwarded = forwarded.empty() ? left : arena.join(forwarded, ", ", left);
    } else if (claim_of(h.id, h.name) == Claim::address && h.id != HeaderId::x_forwarded_for && h.id != HeaderId::x_real_ip) {
      headers.remove(h);
    }
  }
  if (forwarded.empty()) headers.remove(HeaderId::forwarded);
  else headers.set(HeaderId::forwarded, forwarded);
}

const Headers* without_claims(const Headers& trailers, std::span<const OwnField> own, core::Arena& arena) {
  const auto stays = [own](const Header& h) {
    return claim_of(h.id, h.name) == Claim::none &&
           std::none_of(own.begin(), own.end(), [&h](const OwnField& field) { return reads_alike(field.name, h.name); });
  };
  Headers* kept = nullptr;
  for (const Header& h : trailers) {
    if (!stays(h)) continue;
    if (kept == nullptr) kept = arena.make<Headers>(arena);
    kept->add(h.id, h.name, h.value);
  }
  return kept;
}

}  // namespace goma::http
