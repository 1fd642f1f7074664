// SPDX-License-Identifier: Apache-2.0
//
// Which path a rule looks at. There are up to three of them: as the client sent it, as a middleware has left it, as the
// backend will get it; and each may be read in more than one way (http/uri.h). Whatever depends on a path asks here or
// asks the path for all its readings; nobody compares with one text of it.
#include <algorithm>

#include "http/exchange.h"
#include "http/site.h"

namespace goma::http {

namespace {

// Whether what stands in front of one route stands in front of the other: then nothing is gained by reaching the one
// for the other. Endpoints of the gateway itself are like nothing else.
bool guarded_alike(const Route& a, const Route& b) {
  const auto alike = [](const Step& one, const Step& other) { return one.middleware == other.middleware && one.whole && other.whole; };
  return !a.endpoint && !b.endpoint && a.client_rule == b.client_rule && a.methods == b.methods &&
         std::equal(a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end(), alike);
}

}  // namespace

// The client's path becomes canonical, or is refused.
bool Exchange::settle_path() {
  const bool asterisk = request_.form == RequestHead::Form::asterisk;
  path_ = canonical_path(asterisk ? std::string_view("*") : request_.path, arena_, site_->encoded_slash());
  if (!path_.ok) refuse(400, "400 Bad Request", Ending::bad_request, path_.fault);
  return path_.ok;
}

// Whether a backend may read this path as one of another route, with other guards than those of this one. What leads
// nowhere when it is read so gives nothing away.
bool Exchange::is_ambiguous(const Route& route) const {
  return std::any_of(path_.others.begin(), path_.others.end(), [&](std::string_view reading) {
    const Route* other = site_->router().find(request_.host, reading, request_.method_text).route;
    return other != nullptr && other != &route && !guarded_alike(route, *other);
  });
}

bool Exchange::set_path(std::string_view encoded) {
  const CanonicalPath path = canonical_path(encoded, arena_);
  if (!path.ok) return false;
  if (received_ == nullptr) received_ = arena_.make<CanonicalPath>(path_);
  path_ = path;
  forwarded_ = nullptr;
  return true;
}

const CanonicalPath& Exchange::rewritten_path() {
  if (forwarded_ == nullptr) forwarded_ = arena_.make<CanonicalPath>(canonical_path(rewrite_prefix(route_->path, route_->rewrite, path_, arena_), arena_));
  return *forwarded_;
}

bool Exchange::matches(const PathSet& paths) {
  if (paths.matches(path_) || (received_ != nullptr && paths.matches(*received_))) return true;
  return route_->has_rewrite && paths.matches(forwarded_path());
}

bool Exchange::applies(const Step& step) { return step.paths == nullptr || matches(*step.paths); }

}  // namespace goma::http
