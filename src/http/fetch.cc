// SPDX-License-Identifier: Apache-2.0
//
// A fetch is a BackendHandler that keeps what it is told. It tries again by the rule for all requests (http/retry.h), on
// a new connection.
#include "http/fetch.h"

#include "core/text.h"
#include "http/retry.h"
#include "http/runtime.h"
#include "http/site.h"
#include "http/uri.h"

namespace goma::http {

namespace {

using Outcome = FetchResult::Outcome;

Outcome outcome_of(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::exhausted:
    case Failure::Kind::queue_full: return Outcome::overload;
    case Failure::Kind::queue_timeout:
    case Failure::Kind::connect_timeout:
    case Failure::Kind::header_timeout:
    case Failure::Kind::body_timeout: return Outcome::timeout;
    case Failure::Kind::truncated: return Outcome::malformed;
    default: return is_malformed(kind) ? Outcome::malformed : Outcome::unreachable;
  }
}

}  // namespace

std::optional<FetchUrl> parse_fetch_url(std::string_view url) {
  const std::optional<core::UrlParts> parts = core::split_url(url);
  if (!parts || !parts->user.empty()) return std::nullopt;
  FetchUrl result;
  result.tls = core::iequals(parts->scheme, "https");
  if (!result.tls && !core::iequals(parts->scheme, "http")) return std::nullopt;
  result.peer.host = parts->host;
  result.peer.port = static_cast<uint16_t>(core::parse_u64(parts->port).value_or(result.tls ? 443 : 80));
  const bool is_v6 = parts->host.find(':') != std::string_view::npos;
  result.authority = is_v6 ? "[" + result.peer.host + "]" : result.peer.host;
  if (!parts->port.empty()) result.authority.append(":").append(parts->port);
  core::ChunkPool pool;
  core::Arena arena(pool);
  const std::string_view target = encode_strays(parts->path.substr(0, parts->path.find('#')), arena);
  result.target = target.empty() || target.front() != '/' ? "/" + std::string(target) : std::string(target);
  return result;
}

void Fetch::start() {
  if (request_.headers->find(HeaderId::host) == nullptr) request_.headers->add(HeaderId::host, request_.url->authority);
  acquire(false);
}

void Fetch::acquire(bool fresh) {
  x_.runtime().peers->pool(request_.url->peer).acquire(*this, fresh);
}

void Fetch::expire() {
  cancel();
  end_with(Outcome::timeout, "no answer in time");
}

// Leaves the queue, or the connection: what is half said on it is of no use to anyone else.
void Fetch::cancel() {
  if (PeerPool::Waiter::hook.linked()) PeerPool::Waiter::pool->withdraw(*this);
  BackendStream* stream = std::exchange(stream_, nullptr);
  if (stream != nullptr) stream->abandon();
}

void Fetch::end_with(Outcome outcome, std::string_view detail) {
  FetchResult result;
  result.outcome = outcome;
  result.detail = detail;
  complete(std::move(result));
}

void Fetch::on_lease(BackendStream& stream) {
  stream_ = &stream;
  stream.attach(*this);
  BackendRequest out;
  out.method = request_.method;
  out.method_id = request_.method_id;
  out.target = request_.url->target;
  out.headers = request_.headers;
  stream.send(out);
  stream.flush();
}

void Fetch::on_lease_failed(const Failure& failure) { end_with(outcome_of(failure.kind), x_.arena().copy(failure.detail)); }

void Fetch::on_backend_head(ResponseHead& head) {
  head_ = &head;
  if (head.body.framing != Framing::length || head.body.length <= request_.max_body) return;
  cancel();
  end_with(Outcome::too_large, "the answer is too long");
}

void Fetch::on_backend_body(std::string_view data) {
  if (stream_ == nullptr) return;  // ended by an earlier piece
  if (data.size() > request_.max_body - body_.size()) {
    cancel();
    end_with(Outcome::too_large, "the answer is too long");
    return;
  }
  body_.append(data);
}

void Fetch::on_backend_end(const Headers*) {
  stream_ = nullptr;
  FetchResult result;
  result.status = head_->status;
  result.headers = &head_->headers;
  result.body = body_;
  complete(std::move(result));
}

void Fetch::on_backend_failure(const Failure& failure) {
  stream_ = nullptr;
  const NextStep step = next_step({failure, request_.method_id, false, false, x_.site()->retries(), retries_, replaced_});
  if (step == NextStep::retry) ++retries_;
  if (step == NextStep::other_connection) ++replaced_;
  if (step == NextStep::retry || step == NextStep::other_connection) return acquire(true);
  end_with(outcome_of(failure.kind), x_.arena().copy(failure.detail));
}

}  // namespace goma::http
