// SPDX-License-Identifier: Apache-2.0
//
// Asks another service whether a request may pass: one GET that describes the request, and only the answer 200 lets
// it go on. Chosen fields of that answer become header fields or query parameters of the forwarded request.
//
// The invariant: it fails closed. No answer, a late one, a redirect, a cut or an endless one is a refusal. What it
// injects can come from nobody else: the client's own copies are removed on every path of the route, guarded or not.
//
// It does not follow redirects, send a body, or keep answers.
#include <fmt/format.h>

#include <unordered_map>

#include "core/schema.h"
#include "core/text.h"
#include "http/backend_tls.h"
#include "http/claims.h"
#include "http/client_address.h"
#include "http/exchange.h"
#include "http/fetch.h"
#include "http/field_rules.h"
#include "http/module.h"
#include "http/path_set.h"
#include "http/public_url.h"

namespace goma::mod {

namespace {

struct ForwardAuthConf {
  std::string auth_url;
  std::string auth_sign_in;
  bool forward_host_headers = false;
  bool insecure_skip_verify = false;
  std::vector<std::string> request_headers;
  std::vector<std::string> response_headers;
  std::vector<std::string> response_params;
  std::vector<std::string> add_auth_cookies;
  core::Duration timeout = core::Duration::from_seconds(5);
};

constexpr core::Field fields[] = {
    core::field<&ForwardAuthConf::auth_url>("authUrl", "URL that is asked with GET.", core::required, core::as(core::Kind::url)),
    core::field<&ForwardAuthConf::auth_sign_in>("authSignIn", "Where a client is sent on 401; the current URL is appended when this contains a '?'."),
    core::field<&ForwardAuthConf::forward_host_headers>("forwardHostHeaders", "Send the client's Host to the service.", core::formerly("enableHostForwarding")),
    core::field<&ForwardAuthConf::insecure_skip_verify>("insecureSkipVerify", "Do not verify the service's certificate.", core::formerly("skipInsecureVerify")),
    core::field<&ForwardAuthConf::request_headers>("authRequestHeaders", "Further request fields the service gets."),
    core::field<&ForwardAuthConf::response_headers>("authResponseHeaders", "Fields of its answer set in the forwarded request: `Name` or `From: To`."),
    core::field<&ForwardAuthConf::response_params>("authResponseHeadersAsParams", "Fields of its answer set as query parameters: `Name` or `From: To`."),
    core::field<&ForwardAuthConf::add_auth_cookies>("addAuthCookiesToResponse", "Accepted for compatibility: all cookies the service sets reach the client."),
    core::field<&ForwardAuthConf::timeout>("timeout", "How long the service may take.", core::addition, core::example("5s")),
};

// A field of the answer and the name it gets in the forwarded request.
struct Copied {
  std::string from;
  std::string to;
};

// Fields the service gets anyway.
constexpr std::string_view always_sent[] = {"Authorization", "Cookie", "User-Agent", "Host", "X-Forwarded-For", "X-Forwarded-Host",
                                            "X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-URI", "X-Original-URL", "X-Real-IP"};

struct Settings {
  http::FetchUrl url;
  std::string sign_in;
  bool forwards_host = false;
  int64_t timeout_ms = 5000;
  std::vector<std::string> request_headers;
  std::vector<Copied> headers;
  std::vector<Copied> params;
  // For routes where only some paths are guarded; a route that is not here is guarded whole.
  std::unordered_map<const http::RouteConf*, std::unique_ptr<http::PathSet>> paths;
};

std::string_view find(const http::Headers& headers, std::string_view name) {
  const http::Header* found = headers.find(name);
  return found != nullptr ? found->value : std::string_view();
}

class ForwardAuth final : public http::Middleware {
 public:
  explicit ForwardAuth(Settings settings) : s_(std::move(settings)) {}

  http::Verdict on_request(http::Exchange& x) const override {
    http::FetchRequest request;
    const bool asks = guards(x);
    if (asks) request.headers = describe(x);
    strip(x);
    if (!asks) return http::Verdict::next();
    request.url = &s_.url;
    request.timeout_ms = s_.timeout_ms;
    return x.await<http::Fetch>(this, &ForwardAuth::judge, request);
  }
  std::vector<http::OwnField> own_fields() const override;

 private:
  bool guards(http::Exchange& x) const;
  http::Headers* describe(http::Exchange& x) const;
  void strip(http::Exchange& x) const;
  http::Verdict judge(http::Exchange& x, const http::FetchResult& answer) const;
  http::Verdict admit(http::Exchange& x, const http::Headers& answer) const;
  http::Verdict refuse(http::Exchange& x, const http::FetchResult& answer) const;
  http::Verdict no_answer(http::Exchange& x, const http::FetchResult& answer) const;

  Settings s_;
};

bool ForwardAuth::guards(http::Exchange& x) const {
  const http::Route* route = x.route();
  const auto found = s_.paths.find(route != nullptr ? route->conf : nullptr);
  return found == s_.paths.end() || x.matches(*found->second);
}

// The header of the question: who asks for what, the client's credentials, and the fields that were chosen.
http::Headers* ForwardAuth::describe(http::Exchange& x) const {
  const http::RequestHead& request = x.request();
  auto* headers = x.arena().make<http::Headers>(x.arena());
  if (s_.forwards_host && !request.host.empty()) headers->add(http::HeaderId::host, request.host);
  const std::string_view url = http::public_url(x, x.client().scheme, request.host);
  headers->add(http::HeaderId::x_forwarded_host, request.host);
  headers->add("X-Forwarded-Method", request.method_text);
  headers->add(http::HeaderId::x_forwarded_proto, x.client().scheme);
  http::set_client_address(*headers, x.client().ip, x.client().ip, x.arena());
  headers->add("X-Forwarded-URI", url);
  headers->add(http::HeaderId::x_original_url, url);
  for (const http::Header& h : request.headers) {
    bool wanted = h.id == http::HeaderId::authorization || h.id == http::HeaderId::cookie || h.id == http::HeaderId::user_agent;
    for (size_t i = 0; i < s_.request_headers.size() && !wanted; ++i) wanted = core::iequals(h.name, s_.request_headers[i]);
    if (wanted) headers->add(h.id, h.name, h.value);
  }
  return headers;
}

// What it injects is an identity, unless the service is to be told the client's own: a credential that it judges and may
// replace by another. That one goes when it has been asked.
std::vector<http::OwnField> ForwardAuth::own_fields() const {
  std::vector<http::OwnField> own;
  for (const Copied& header : s_.headers) {
    bool judged = core::iequals(header.to, "Authorization") || core::iequals(header.to, "Cookie") || core::iequals(header.to, "User-Agent");
    for (const std::string& name : s_.request_headers) judged |= http::reads_alike(name, header.to);
    own.push_back({header.to, !judged});
  }
  return own;
}

// Takes the client's copies of everything injected out of the request.
void ForwardAuth::strip(http::Exchange& x) const {
  for (const Copied& header : s_.headers) http::remove_alike(x.request().headers, header.to);
  for (const Copied& param : s_.params) {
    if (!x.query().empty()) x.set_query(http::without_parameter(x.arena(), x.query(), param.to));
  }
}

http::Verdict ForwardAuth::judge(http::Exchange& x, const http::FetchResult& answer) const {
  if (answer.outcome != http::FetchResult::Outcome::answer) return no_answer(x, answer);
  for (const http::Header& h : *answer.headers) {
    if (h.id == http::HeaderId::set_cookie) x.add_response_header("Set-Cookie", h.value);
  }
  return answer.status == 200 ? admit(x, *answer.headers) : refuse(x, answer);
}

http::Verdict ForwardAuth::admit(http::Exchange& x, const http::Headers& answer) const {
  for (const Copied& header : s_.headers) {
    const std::string_view value = find(answer, header.from);
    x.request().headers.set(std::string_view(header.to), value);
    if (!value.empty()) x.add_identity(header.to, value);
  }
  for (const Copied& param : s_.params) {
    if (const std::string_view found = find(answer, param.from); !found.empty()) x.add_identity(param.to, found);
    const std::string_view value = http::escape_query(x.arena(), find(answer, param.from));
    const std::string_view name = http::escape_query(x.arena(), param.to);
    x.set_query(x.arena().join(x.query(), x.query().empty() ? "" : "&", name, "=", value));
  }
  return http::Verdict::next();
}

http::Verdict ForwardAuth::refuse(http::Exchange& x, const http::FetchResult& answer) const {
  if (answer.status == 500) return x.reply(500, "500 Internal Server Error");
  if (answer.status == 401 && !s_.sign_in.empty()) {
    if (s_.sign_in.find('?') == std::string::npos) return x.redirect(302, s_.sign_in);
    const std::string_view here = http::public_url(x, x.client().scheme, http::public_host(x));
    return x.redirect(302, x.arena().join(s_.sign_in, http::escape_query(x.arena(), here)));
  }
  const http::Verdict verdict = answer.status == 403 ? x.reply(403, "403 Forbidden") : x.reply(401, "401 Unauthorized");
  if (answer.status != 401 && answer.status != 403) return verdict;
  for (const http::Header& h : *answer.headers) {
    if (h.id == http::HeaderId::www_authenticate) x.reply_header(h.id, h.value);
  }
  return verdict;
}

// Unreachable is Goma's 500; that the service was too slow, too busy or did not stop talking is ours to say: 503.
http::Verdict ForwardAuth::no_answer(http::Exchange& x, const http::FetchResult& answer) const {
  x.add_log_field("forward_auth", answer.detail);
  if (answer.outcome == http::FetchResult::Outcome::unreachable) return x.reply(500, "500 Internal Server Error");
  return x.reply(503, "503 Service Unavailable");
}

// ---------------------------------------------------------------- building

// One entry, "Name" or "From: To". Names that only the gateway writes are dropped with a warning, as Goma ignores them.
void add_copied(http::BuildContext& context, std::string_view key, const std::string& entry, bool is_header, std::vector<Copied>& into) {
  const size_t colon = entry.find(':');
  const std::string from(core::trim(std::string_view(entry).substr(0, colon)));
  const std::string to = colon == std::string::npos ? from : std::string(core::trim(std::string_view(entry).substr(colon + 1)));
  const std::string where = fmt::format("middleware \"{}\": {}: \"{}\"", context.conf.name.text, key, entry);
  if (!http::is_field_name(from) || to.empty() || (is_header && !http::is_field_name(to))) {
    context.problems.error("bad-value", http::rule_place(context, key, entry), where + " is neither a header name nor `From: To`");
  } else if (is_header && (http::is_connection_field(to) || core::iequals(to, "Host"))) {
    context.problems.warning("no-effect", http::rule_place(context, key, entry), where + " is ignored: only the gateway sets " + to);
  } else {
    into.push_back({from, to});
  }
}

void add_request_header(http::BuildContext& context, const std::string& name, std::vector<std::string>& into) {
  for (const std::string_view sent : always_sent) {
    if (core::iequals(sent, name)) return;
  }
  if (!http::is_field_name(name) || http::is_connection_field(name)) {
    context.problems.error("bad-header", http::rule_place(context, "authRequestHeaders", name),
                           fmt::format("middleware \"{}\": \"{}\" is not a header that can be passed on", context.conf.name.text, name));
    return;
  }
  into.push_back(name);
}

bool check_url(http::BuildContext& context, const ForwardAuthConf& conf, http::FetchUrl& into) {
  const std::optional<http::FetchUrl> url = http::parse_fetch_url(conf.auth_url);
  const core::Place place = http::rule_place(context, "authUrl");
  const std::string where = fmt::format("middleware \"{}\": authUrl", context.conf.name.text);
  if (!url) {
    context.problems.error("bad-value", place, where + " is no http or https URL that can be asked");
    return false;
  }
  into = *url;
  if (url->tls && context.tls != nullptr) into.peer.tls = context.tls->of_service(conf.insecure_skip_verify);
  return !url->tls || context.tls == nullptr || into.peer.tls != nullptr;
}

// Compiles the paths once for every route that lists this middleware.
void compile_paths(http::BuildContext& context, Settings& settings) {
  if (context.conf.paths.empty()) return;
  for (const http::RouteConf& route : context.config.gateway.routes) {
    bool lists_this = false;
    for (const core::PlacedText& name : route.middlewares) lists_this |= name.text == context.conf.name.text;
    if (!lists_this) continue;
    auto paths = http::PathSet::compile(context.conf.paths, route.path.text, {}, context.problems);
    if (paths) settings.paths[&route] = std::move(paths);
  }
}

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  ForwardAuthConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  const size_t before = context.problems.errors();
  Settings settings;
  check_url(context, conf, settings.url);
  if (conf.timeout.ms() < 1) {
    context.problems.error("bad-value", http::rule_place(context, "timeout"),
                           fmt::format("middleware \"{}\": timeout must be at least 1ms", context.conf.name.text));
  }
  if (!http::is_field_value(conf.auth_sign_in)) {
    context.problems.error("bad-value", http::rule_place(context, "authSignIn"),
                           fmt::format("middleware \"{}\": authSignIn is not a URL", context.conf.name.text));
  }
  for (const std::string& name : conf.request_headers) add_request_header(context, name, settings.request_headers);
  for (const std::string& entry : conf.response_headers) add_copied(context, "authResponseHeaders", entry, true, settings.headers);
  for (const std::string& entry : conf.response_params) add_copied(context, "authResponseHeadersAsParams", entry, false, settings.params);
  compile_paths(context, settings);
  settings.sign_in = conf.auth_sign_in;
  settings.forwards_host = conf.forward_host_headers;
  settings.timeout_ms = conf.timeout.ms();
  if (context.problems.errors() != before) return nullptr;
  return std::make_unique<ForwardAuth>(std::move(settings));
}

constexpr std::string_view types[] = {"forwardAuth"};

}  // namespace

extern const http::ModuleInfo forward_auth_module;
const http::ModuleInfo forward_auth_module = {
    .name = "forwardAuth",
    .types = types,
    .doc = "Lets a request pass only when another service answers 200.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::itself,  // injected fields are removed on all paths
    .make = make,
};

}  // namespace goma::mod
