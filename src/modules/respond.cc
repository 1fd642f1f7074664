// SPDX-License-Identifier: Apache-2.0
//
// Answers with fixed words: a health page, a robots.txt, "moved to the new system". Everything about the answer is
// known when the site is built, so serving it copies nothing: the exchange sends views into this middleware.
//
// It answers every method alike; HEAD gets the head. A route that only responds still names a target, which is
// never asked.
#include <fmt/format.h>

#include <algorithm>

#include "core/schema.h"
#include "http/exchange.h"
#include "http/field_rules.h"
#include "http/module.h"

namespace goma::mod {

namespace {

struct RespondConf {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  core::TextMap headers;
  std::string body;
};

constexpr core::Field fields[] = {
    core::field<&RespondConf::status>("status", "Status code of the answer.", core::range(200, 599), core::addition),
    core::field<&RespondConf::content_type>("contentType", "Content-Type of the answer; \"\" sends none.", core::addition),
    core::field<&RespondConf::headers>("headers", "Further header fields of the answer.", core::addition),
    core::field<&RespondConf::body>("body", "The body, sent as it is.", core::addition),
};

// RFC 9110 15.3.5, 15.4.5: these end with the head.
bool forbids_body(int status) { return status == 204 || status == 304; }

class Respond final : public http::Middleware {
 public:
  explicit Respond(RespondConf conf) : conf_(std::move(conf)) {
    for (const auto& [name, value] : conf_.headers) ids_.push_back(http::header_id(name));
  }

  http::Verdict on_request(http::Exchange& x) const override {
    const http::Verdict verdict = x.reply_with(conf_.status, conf_.content_type, conf_.body);
    for (size_t i = 0; i < ids_.size(); ++i) {
      if (ids_[i] != http::HeaderId::other) x.reply_header(ids_[i], conf_.headers[i].second);
      else x.reply_header(conf_.headers[i].first, conf_.headers[i].second);
    }
    return verdict;
  }

 private:
  RespondConf conf_;
  std::vector<http::HeaderId> ids_;  // of conf_.headers, one each
};

// Rules between keys: what the table cannot say.
bool check(http::BuildContext& context, const RespondConf& conf) {
  bool good = http::check_fields(context, "headers", conf.headers);
  const auto error = [&](std::string_view key, std::string_view entry, std::string_view text) {
    context.problems.error("bad-value", http::rule_place(context, key, entry),
                           fmt::format("middleware \"{}\": {}", context.conf.name.text, text));
    good = false;
  };
  for (const auto& [name, value] : conf.headers) {
    if (http::header_id(name) == http::HeaderId::content_type) error("headers", name, "set the type of the body with contentType");
  }
  if (!http::is_field_value(conf.content_type)) error("contentType", {}, "contentType has a control character in it");
  if (forbids_body(conf.status) && !conf.body.empty())
    error("body", {}, fmt::format("an answer with status {} has no body", conf.status));
  return good;
}

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  RespondConf conf;
  if (!http::read_rule(context, fields, &conf) || !check(context, conf)) return nullptr;
  if (forbids_body(conf.status)) conf.content_type.clear();
  return std::make_unique<Respond>(std::move(conf));
}

constexpr std::string_view types[] = {"respond"};

}  // namespace

extern const http::ModuleInfo respond_module;
const http::ModuleInfo respond_module = {
    .name = "respond",
    .types = types,
    .doc = "Answers with a fixed status, header and body.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::chain,
    .make = make,
};

}  // namespace goma::mod
