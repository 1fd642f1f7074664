// SPDX-License-Identifier: Apache-2.0
//
// core/secret: names, values by their form, and lines of files in any state.
#include "core/secret.h"

#include <map>

#include "check.h"
#include "core/text.h"
#include "core/variable.h"

using namespace goma::core;

namespace {

void names_that_tell() {
  for (const char* name : {"password", "redis_password", "sentinelPassword", "clientSecret", "purgeToken", "token", "key", "clientKey", "key_file", "ssl_key_file",
                           "sshKeyPath", "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "x-auth-token", "X-Vault-Token",
                           "Ocp-Apim-Subscription-Key", "bindPass", "hmacKey", "apiToken", "credentials", "users", "passphrase", "api_key", "GITHUB_TOKEN", "apikey"}) {
    CHECK_EQ(std::string(names_secret(name) ? name : "no"), std::string(name));
  }
}

void names_that_only_mention_it() {
  for (const char* name : {"keys", "keyStrategy", "tokenUrl", "accessTokenHeader", "publicKey", "publicKeyFile", "includeQueryInKey", "forwardAuthorization", "authUrl",
                           "passThrough", "key_prefix", "secretName", "hosts", "cookies", "authRequestHeaders", "certificates", "Sec-WebSocket-Key", "hostKey", "username", "path"}) {
    CHECK_EQ(std::string(names_secret(name) ? "secret" : name), std::string(name));
  }
}

void names_with_a_mistake() {
  for (const char* name : {"pasword", "passwrod", "purgeTokn", "clientSecrte", "Authorisation", "api-kay"}) CHECK_EQ(std::string(resembles_secret(name) ? name : "no"), std::string(name));
  for (const char* name : {"secure", "section", "weight", "target", "timeout", "certificates"}) CHECK_EQ(std::string(resembles_secret(name) ? "secret" : name), std::string(name));
}

void credentials_of_values() {
  const std::pair<const char*, const char*> cases[] = {
      {"redis://:hunter2@db:6379/0", "redis://:*******@db:6379/0"},
      {"redis://ann:hun/ter2@db", "redis://ann:*******@db"},
      {"redis://ann:hun@ter2@db", "redis://ann:*******@db"},
      {"https://ghp_hunter2@git.example.com/x", "https://*******@git.example.com/x"},
      {"http://host:80/users/@me", "http://host:80/users/@me"},
      {"ann:hunter2@db:6379", "ann:*******@db:6379"},
      {"http//ann:hunter2@db", "http//ann:*******@db"},
      {"ann@example.com: [a@b]", "ann@example.com: [a@b]"},
      {"http://a/?api_key=hunter2&b=1", "http://a/?api_key=*******&b=1"},
      {"http://a/?access_token=hunter2#x", "http://a/?access_token=*******#x"},
      {"Bearer hunter2", "Bearer *******"},
      {"Authorization: Basic aHVudGVyMg==", "Authorization: Basic *******"},
      {"Bearer ${API_TOKEN}", "Bearer ${API_TOKEN}"},
      {"redis://:${REDIS_PASSWORD}@db", "redis://:${REDIS_PASSWORD}@db"},
      {"redis://:${REDIS_PASSWORD:-hunter2}@db", "redis://:*******@db"},
      {"http://127.0.0.1:9000", "http://127.0.0.1:9000"},
  };
  for (const auto& [text, shown] : cases) CHECK_EQ(without_credentials(text), std::string(shown));
}

// Every line as it may be shown.
std::string shown(std::string_view text) {
  const SecretLines lines(text);
  std::string out;
  int number = 0;
  for (const std::string_view line : split(text, '\n')) {
    size_t at = 0;
    for (const SecretSpan& span : lines.of(++number)) {
      out += std::string(line.substr(at, span.begin - at)) + "*";
      at = span.end;
    }
    out += std::string(line.substr(std::min(at, line.size()))) + "\n";
  }
  return out;
}

// The secret is hunter2 or some of it; "left" must stay.
constexpr const char* shapes[] = {
    "password: hunter2\nleft: 1",
    "password: [hunter2]\nleft: 1",
    "password: {a: hunter2}\nleft: 1",
    "password: \"hunter2\nleft",
    "password: 'hunter2'\nleft: 1",
    "password: |\n  hunter2\n  hunter2\nleft: 1",
    "password: >-\n\n  hunter2\nleft: 1",
    "password:\n  hunter2\nleft: 1",
    "password:\n- hunter2\n- hunter2\nleft: 1",
    "password:\n  - [hunter2,\n hunter2]\nleft: 1",
    "password: [\n hunter2,\nhunter2\n]\nleft: 1",
    "password: {\na: hunter2\n}\nleft: 1",
    "password: \"hunt\\\"er2\n hunter2\"\nleft: 1",
    "password: hunter2\n  hunter2\nleft: 1",
    "- password: hunter2\n  left: 1",
    "- {left: 1, password: hunter2, left: 2}",
    "- {left: 1, password: [hunter2, \"}hunter2\"], left: 2}",
    "- {left: 1, password: \"a,hunter2\", left: 2}",
    "redis: {left: 1, password:\n  hunter2, a: 1}\nleft: 1",
    "redis: {left: 1,\npassword:\nhunter2}\nleft: 1",
    "\"password\" : hunter2\nleft: 1",
    "? password\n: hunter2\nleft: 1",
    "password:hunter2\nleft: 1",
    "password hunter2\nleft: 1",
    "password= hunter2\nleft: 1",
    "passwrod: hunter2\nleft: 1",
    "password: @hunter2\nleft: 1",
    "password: a: hunter2\nleft: 1",
    "password: #hunter2\nleft: 1",
    "# password: hunter2\nleft: 1",
    "\tpassword: hunter2\nleft: 1",
    "password: !!str hunter2\nleft: 1",
    "password: &a hunter2\nleft: 1",
    "left: &a hunter2\npassword: *a",
    "left: &a\n  hunter2\npassword: *a\nleft: 1",
    "left: &a [hunter2]\npassword: *a",
    "setHeaders: {Authorization: hunter2, left: 1}",
    "setHeaders:\n  Authorization: Bearer hunter2\n  left: 1",
    "headers: [\"X-Api-Key: hunter2\"]\nleft: 1",
    "addr: redis://:hunter2@left",
    "target: http://left/?api_key=hunter2",
    "left: Bearer hunter2",
    "key: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n  -----END PRIVATE KEY-----\nleft: 1",
    "cert: |\n  -----BEGIN PRIVATE KEY-----\n  hunter2\n  -----END PRIVATE KEY-----\nleft: 1",
    "left: {users: [\"ann:hunter2\"]}",
    "password: ${PASSWORD:-hunter2}\nleft: 1",
    "p\xc3\xa4ssword: 1\npassword: \xc3\xa4hunter2\nleft: 1",
    "password: \"hunter2\" \"hunter2\nleft",
    "password: hunter2\r\nleft: 1\r",
};

void lines_of_every_shape() {
  for (const char* shape : shapes) {
    const std::string out = shown(shape);
    const bool hidden = out.find("hunter2") == std::string::npos && out.find("er2") == std::string::npos;
    CHECK_EQ(hidden ? std::string() : out, std::string());
    const bool open = std::string_view(shape).ends_with("left");  // a quote that is never closed hides what follows
    CHECK_EQ(open || out.find("left") != std::string::npos ? std::string() : out, std::string());
  }
}

void variables_may_be_seen() {
  CHECK_EQ(shown("password: \"${REDIS_PASSWORD}\""), std::string("password: \"${REDIS_PASSWORD}\"\n"));
  CHECK_EQ(shown("a: {Authorization: \"Bearer ${T}\", b: 1}"), std::string("a: {Authorization: \"Bearer ${T}\", b: 1}\n"));
}

void uses_of_variables() {
  const auto first = find_variable("a ${A} {B}");
  CHECK(first && first->name == "A" && first->begin == 2 && first->end == 6 && first->has_dollar);
  const auto second = find_variable("a ${A} {B}", first->end);
  CHECK(second && second->name == "B" && !second->has_dollar && second->end == 10);
  const auto fallback = find_variable("${A:-x{y}z}!");
  CHECK(fallback && fallback->has_fallback && fallback->fallback == "x{y}z" && fallback->end == 11);
  const auto empty = find_variable("${A:-}");
  CHECK(empty && empty->has_fallback && empty->fallback.empty());
  const auto odd = find_variable("${A:?no}");
  CHECK(odd && !odd->is_understood && !odd->has_fallback);
  for (const char* text : {"{2,3}", "{route.name}", "$A", "${1}", "{", "${A", "{A:-b}", "{}"}) CHECK(!find_variable(text));
}

}  // namespace

GOMA_TESTS(names_that_tell, names_that_only_mention_it, names_with_a_mistake, credentials_of_values, lines_of_every_shape, variables_may_be_seen, uses_of_variables)
