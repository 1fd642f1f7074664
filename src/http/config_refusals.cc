// SPDX-License-Identifier: Apache-2.0
//
// One table, keys against advice.
#include "http/config_refusals.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <vector>

#include "core/text.h"

namespace goma::http {

namespace {

constexpr std::string_view no_exploits = "goma has no exploit protection: remove it, and put a filter for it in front of goma or behind it";
constexpr std::string_view no_bots = "goma does not tell bots: remove it, and put a filter for it in front of goma or behind it";
constexpr std::string_view rate_limit = "write a middleware, {name: limit, type: rateLimit, rule: {unit: minute, requestsPerUnit: N}}, and its name into the route's middlewares";
constexpr std::string_view blocked_paths = "write a middleware, {name: blocked, type: respond, paths: [...], rule: {status: 403}}, and its name into the route's middlewares";
constexpr std::string_view no_addresses = "goma has no access lists of addresses yet: remove it, and let a firewall or the network in front do this";
constexpr std::string_view no_countries = "goma does not know countries yet: remove it, or keep Goma Gateway for this";
constexpr std::string_view no_agents = "goma does not refuse user agents yet: remove it, or keep Goma Gateway for this";
constexpr std::string_view no_login = "goma has forwardAuth for logins: write a middleware of that type, and its name into the route's middlewares";
constexpr std::string_view forward_auth = "write a middleware, {name: login, type: forwardAuth, rule: {authUrl: URL}}, and its name into the route's middlewares";
constexpr std::string_view no_body_limit = "goma does not limit bodies yet: remove it, and let the backend do this";
constexpr std::string_view no_interceptor = "goma does not replace error bodies of backends yet: remove it, or keep Goma Gateway for this";
constexpr std::string_view no_cors = "goma has no cross-origin policies yet: remove it, and let the backend send these headers";
constexpr std::string_view certificate = "write gateway.tls: {certificates: [{cert: FILE, key: FILE}]}";
constexpr std::string_view client_certificates = "write gateway.tls: {clientAuth: {clientCA: FILE, required: true}}";
constexpr std::string_view to_https = "write a middleware, {name: https, type: redirectScheme, rule: {scheme: https}}, and its name into the route's middlewares";
constexpr std::string_view definitions = "definitions of middlewares belong to the top level: write \"middlewares:\" without indentation";
constexpr std::string_view of_route = "it is a key of a route";
constexpr std::string_view of_proxy = "it belongs into \"gateway.proxy\"";
constexpr std::string_view extra_directory = "write extraConfig: {directory: ..., watch: ...}";
constexpr std::string_view extra_file = "a file of extraConfig has routes and middlewares at its top level, without \"gateway:\"";
constexpr std::string_view no_maintenance = "write a middleware, {name: closed, type: respond, rule: {status: 503, body: TEXT}}, and its name into the route's middlewares";
constexpr std::string_view no_signatures = "goma reads no signed bundles: remove it";
constexpr std::string_view hidden_client = "goma always tells backends who the client is: remove it";
constexpr std::string_view about_tls = "goma would not do what it says about TLS: see the tls sections in the reference, or remove it";
constexpr std::string_view about_security = "goma would not do what it says about security: remove it, or see \"security\" of a route in the reference";

struct Refused {
  std::string_view key;  // letters and digits, small
  std::string_view instead;
};

constexpr Refused refused[] = {
    // Goma Gateway 0.1 to 0.3, at the gateway and at routes.
    {"blockcommonexploits", no_exploits}, {"enableexploitprotection", no_exploits}, {"exploitprotection", no_exploits},
    {"enablebotdetection", no_bots}, {"botdetection", no_bots},
    {"ratelimit", rate_limit}, {"ratelimiter", rate_limit}, {"ratelimits", rate_limit}, {"ratelimiting", rate_limit},
    {"blocklist", blocked_paths}, {"blacklist", blocked_paths}, {"blockedpaths", blocked_paths}, {"access", blocked_paths}, {"accesslist", no_addresses},
    {"intercepterrors", no_interceptor}, {"errorinterceptor", no_interceptor},
    {"disableheaderxforward", hidden_client},
    {"sslcertfile", certificate}, {"sslkeyfile", certificate}, {"tlscertfile", certificate}, {"tlskeyfile", certificate}, {"certfile", certificate}, {"keyfile", certificate},
    {"enforcehttps", to_https}, {"forcehttps", to_https}, {"forcessl", to_https}, {"redirecttohttps", to_https}, {"httpsredirect", to_https}, {"redirecthttps", to_https},
    {"extraroutes", extra_directory}, {"gateway", extra_file}, {"middlewares", definitions},
    // Keys of today where no table reads them.
    {"security", of_route}, {"maintenance", no_maintenance}, {"cors", no_cors}, {"signing", no_signatures},
    {"trustedproxies", of_proxy}, {"ipheaders", of_proxy},
    {"clientauth", client_certificates}, {"clientca", client_certificates}, {"requireclientcert", client_certificates}, {"mtls", client_certificates},
    // Types of middlewares, and the keys of their rules.
    {"requestsperunit", rate_limit}, {"banafter", rate_limit}, {"banduration", rate_limit}, {"keystrategy", rate_limit},
    {"accesspolicy", no_addresses}, {"sourceranges", no_addresses}, {"allowedips", no_addresses}, {"deniedips", no_addresses}, {"ipallowlist", no_addresses}, {"ipwhitelist", no_addresses},
    {"ipblocklist", no_addresses}, {"whitelist", no_addresses}, {"allowlist", no_addresses}, {"denylist", no_addresses},
    {"geoblock", no_countries}, {"countries", no_countries}, {"allowunknown", no_countries},
    {"useragentblock", no_agents}, {"useragents", no_agents},
    {"bodylimit", no_body_limit},
    {"basic", no_login}, {"basicauth", no_login}, {"ldap", no_login}, {"ldapauth", no_login}, {"jwt", no_login}, {"jwtauth", no_login}, {"oauth", no_login}, {"oauth2", no_login},
    {"oidc", no_login}, {"users", no_login}, {"claimsexpression", no_login}, {"jwksurl", no_login}, {"jwksfile", no_login}, {"requiredheaders", no_login}, {"auth", no_login},
    {"authentication", no_login}, {"authorization", no_login}, {"userfilter", no_login},
    {"forwardauth", forward_auth}, {"authurl", forward_auth},
};

std::string letters_of(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (core::is_alpha(c) || core::is_digit(c)) out += core::lower(c);
  }
  return out;
}

const Refused* find_refused(std::string_view letters) {
  const Refused* found = std::find_if(std::begin(refused), std::end(refused), [letters](const Refused& one) { return one.key == letters; });
  return found == std::end(refused) ? nullptr : found;
}

// A long name with a typing mistake.
const Refused* find_nearly(std::string_view letters) {
  constexpr size_t long_enough = 8;
  if (letters.size() < long_enough) return nullptr;
  std::vector<std::string_view> names;
  for (const Refused& one : refused) {
    if (one.key.size() >= long_enough) names.push_back(one.key);
  }
  return find_refused(core::suggest(letters, names));
}

// "tls" in "tlsFile", "enable_tls", "useTls" and "forcetls"; "accesslog" has nothing to do with "ssl".
bool names(std::string_view key, std::string_view abbreviation) {
  for (size_t i = 0; i + abbreviation.size() <= key.size(); ++i) {
    if (!core::iequals(key.substr(i, abbreviation.size()), abbreviation)) continue;
    if (i == 0 || i + abbreviation.size() == key.size() || !core::is_alpha(key[i - 1]) || (key[i] < 'a' && key[i - 1] >= 'a')) return true;
  }
  return false;
}

// Versions, ciphers, certificates: whatever it is, it was meant to make connections safer.
bool is_about_tls(std::string_view key, std::string_view letters) {
  constexpr std::string_view parts[] = {"cipher", "certificate", "verify", "minversion", "maxversion", "curvepreferences"};
  return names(key, "tls") || names(key, "ssl") ||
         std::any_of(std::begin(parts), std::end(parts), [letters](std::string_view part) { return letters.find(part) != std::string_view::npos; });
}

}  // namespace

std::string refusal_of(std::string_view key, std::string_view where) {
  const std::string letters = letters_of(key);
  if (const Refused* found = find_refused(letters)) return std::string(found->instead);
  if (is_about_tls(key, letters) || where.ends_with("tls") || where.ends_with("clientAuth")) return std::string(about_tls);
  if (where.ends_with("security")) return std::string(about_security);
  const Refused* nearly = find_nearly(letters);
  return nearly == nullptr ? std::string() : std::string(nearly->instead);
}

}  // namespace goma::http
