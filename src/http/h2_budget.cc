// SPDX-License-Identifier: Apache-2.0
//
// Sums, and how much of the worker's is one connection's.
#include "http/h2_budget.h"

#include <algorithm>

namespace goma::http {

namespace {

constexpr size_t parts = 8;  // a share is at most this part of what is left
constexpr size_t usual_body = 256 * 1024;

}  // namespace

// Who allows more streams, larger heads or wider windows allows what they hold.
H2Share::H2Share(H2Budget* worker, size_t streams, size_t head_bytes, size_t body_bytes)
    : worker_(worker), heads_(std::max({usual_heads, streams * stream_bytes, 3 * head_bytes})), body_bytes_(std::max(usual_body, body_bytes)) {}

H2Share::~H2Share() { change(held_, 0); }

void H2Share::change(size_t before, size_t now) {
  held_ += now - before;
  if (worker_ != nullptr) worker_->held_ += now - before;
}

size_t H2Share::limit() const {
  if (worker_ == nullptr) return heads_;
  return std::min(heads_, std::max(floor_bytes, (worker_->left() + held_) / parts));
}

}  // namespace goma::http
