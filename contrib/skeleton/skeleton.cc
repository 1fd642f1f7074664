// SPDX-License-Identifier: Apache-2.0
//
// The smallest module that does something: it greets the backend in a request header, says in a response header for
// how long the exchange lasted, and answers one path by itself. Copy this directory, rename, change.
//
// The object is made once per configuration and is const while serving: what belongs to one request lives in the
// exchange's arena.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "core/schema.h"
#include "http/exchange.h"
#include "http/module.h"

namespace goma::mod {

namespace {

// The keys of `rule`. Member initialisers are the defaults; the table gives reading, messages and documentation.
struct SkeletonConf {
  std::string greeting = "hello";
  std::string answer_on;
};

constexpr core::Field fields[] = {
    core::field<&SkeletonConf::greeting>("greeting", "Sent to the backend as X-Greeting.", core::addition),
    core::field<&SkeletonConf::answer_on>("answerOn", "A path that is answered here instead of being forwarded.",
                                          core::addition),
};

class Skeleton final : public http::Middleware {
 public:
  explicit Skeleton(SkeletonConf conf) : conf_(std::move(conf)) {}

  http::Verdict on_request(http::Exchange& x) const override {
    if (!conf_.answer_on.empty() && x.path().encoded == conf_.answer_on) return x.reply_with(200, "text/plain", conf_.greeting);
    x.request().headers.add("X-Greeting", conf_.greeting);
    return http::Verdict::next();
  }

  http::Verdict on_response(http::Exchange& x) const override {
    const int64_t ms = x.now_ms() - x.started_us() / 1000;
    x.response().headers.add("X-Lasted", x.arena().copy(fmt::format("{}ms", ms)));
    return http::Verdict::next();
  }

 private:
  SkeletonConf conf_;
};

std::unique_ptr<http::Middleware> make(http::BuildContext& context) {
  SkeletonConf conf;
  if (!http::read_rule(context, fields, &conf)) return nullptr;
  return std::make_unique<Skeleton>(std::move(conf));
}

constexpr std::string_view types[] = {"skeleton"};

}  // namespace

// The one name the rest of goma sees: NAME_module, with the name of goma.module.
extern const http::ModuleInfo skeleton_module;
const http::ModuleInfo skeleton_module = {
    .name = "skeleton",
    .types = types,
    .doc = "Greets the backend; an example to copy.",
    .fields = fields,
    .stage = http::Stage::chain,
    .path_use = http::PathUse::chain,
    .make = make,
};

}  // namespace goma::mod
