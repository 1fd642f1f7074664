// SPDX-License-Identifier: Apache-2.0
//
// Answers that no backend gives: texts, redirects, bodies from where they lie.
#include "http/error_page.h"
#include "http/exchange.h"
#include "http/grpc.h"

namespace goma::http {

Verdict Exchange::reply(int status, std::string_view message) {
  if (grpc_ != nullptr) return reply_with(status, {}, message);
  const ErrorBody page = make_error_body(arena_, request_.headers.get(HeaderId::accept), request_.headers.get(HeaderId::content_type), status, message);
  const Verdict verdict = reply_with(status, page.content_type, page.body);
  if (page.nosniff) answer_headers_.add(HeaderId::x_content_type_options, "nosniff");
  return verdict;
}

Verdict Exchange::reply_with(int status, std::string_view content_type, std::string_view body) {
  GOMA_CHECK(!head_sent_);
  has_answer_ = true;
  answer_status_ = status;
  answer_body_ = body;
  placed_body_ = nullptr;
  if (answer_headers_.size() != 0) answer_headers_ = Headers(arena_);
  if (!content_type.empty()) answer_headers_.add(HeaderId::content_type, content_type);
  return Verdict::done();
}

Verdict Exchange::reply_with(int status, const PlacedBody& body) {
  const Verdict verdict = reply_with(status, {}, {});
  placed_body_ = &body;
  next_piece_ = 0;
  return verdict;
}

void* Exchange::kept(const void* owner) const {
  const Kept* at = kept_;
  while (at != nullptr && at->owner != owner) at = at->next;
  return at != nullptr ? at->what : nullptr;
}

Verdict Exchange::redirect(int status, std::string_view location) {
  const bool with_body = request_.method == Method::get || request_.method == Method::head;
  const Verdict verdict = with_body ? reply_with(status, "text/html; charset=utf-8", redirect_body(arena_, location, status)) : reply_with(status, {}, {});
  answer_headers_.add(HeaderId::location, location);
  return verdict;
}

void Exchange::deliver_answer() {
  if (ending_ == Ending::complete && answer_status_ >= 400 && placed_body_ == nullptr) ending_ = Ending::refused;
  prepare_answer();
  respond();
}

void Exchange::prepare_answer() {
  response_.status = answer_status_;
  response_.reason = reason_phrase(answer_status_);
  response_.headers.take(answer_headers_);
  response_.body = {Framing::length, placed_body_ != nullptr ? placed_body_->size() : answer_body_.size()};
  if (answer_status_ == 304) response_.body = {};  // RFC 9110 15.4.5: a length would be that of the 200
  if (grpc_ == nullptr || answer_status_ < 400) return;
  grpc_->answer(answer_status_, answer_body_, response_);
  answer_body_ = {};
}

// A placed body goes out piece by piece, each when the client has taken the one before; the last leaves with the end.
void Exchange::push_answer() {
  if (placed_body_ == nullptr) {
    response_body(answer_body_);
  } else if (request_.method != Method::head) {
    const size_t pieces = placed_body_->pieces();
    while (next_piece_ < pieces) {
      response_body(placed_body_->piece(next_piece_++));
      if (next_piece_ < pieces && flush_response() == Flow::pause) return;
      if (state_ == State::over) return;
    }
  }
  response_end(nullptr);
  client_.flush();
}

}  // namespace goma::http
