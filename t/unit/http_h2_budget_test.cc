// SPDX-License-Identifier: Apache-2.0
//
// One connection has its limit, many have the worker's, and nobody is counted out.
#include "http/h2_budget.h"

#include <memory>
#include <vector>

#include "check.h"

using goma::http::H2Budget;
using goma::http::H2Share;

namespace {

constexpr size_t kib = 1024;

// Streams of so many bytes until no further one may begin; how many.
size_t fill(H2Share& share, size_t bytes) {
  size_t streams = 0;
  while (streams < 100'000 && share.admits()) {
    share.change(0, bytes);
    ++streams;
  }
  return streams;
}

void a_hundred_ordinary_streams_fit() {
  H2Share share(nullptr, 100, 64 * kib, 256 * kib);
  CHECK(fill(share, 6 * kib) >= 100);
  CHECK(share.held() <= 704 * kib);
  CHECK(share.fits(100));
  CHECK(!share.exceeded(100));
  share.change(0, 300 * kib);
  CHECK(!share.fits(100));
  CHECK(share.exceeded(100));
  CHECK(!share.exceeded(1));
  share.change(300 * kib, 0);
  CHECK(!share.exceeded(100));
}

void large_ones_are_few_but_one() {
  H2Share share(nullptr, 100, 64 * kib, 256 * kib);
  CHECK(fill(share, 64 * kib) <= 11);
  H2Share lone(nullptr, 100, 64 * kib, 256 * kib);
  lone.change(0, 2048 * kib);
  CHECK(lone.fits(1));
  CHECK(!lone.fits(2));
  CHECK(!lone.admits());
}

void who_allows_more_gets_more() {
  H2Share streams(nullptr, 1000, 64 * kib, 256 * kib);
  CHECK(fill(streams, 7 * kib) >= 1000);
  H2Share heads(nullptr, 100, 1024 * kib, 256 * kib);
  heads.change(0, 2 * 1024 * kib);
  CHECK(heads.fits(2));
}

void many_share_what_is_left() {
  H2Budget worker(16 * 1024 * kib);
  std::vector<std::unique_ptr<H2Share>> shares;
  for (int i = 0; i < 100; ++i) {
    shares.push_back(std::make_unique<H2Share>(&worker, 100, 64 * kib, 256 * kib));
    CHECK(fill(*shares.back(), 7 * kib) >= 8);  // whoever comes late has the floor
  }
  CHECK(worker.held() <= 16 * 1024 * kib + 100 * H2Share::floor_bytes);
  CHECK(shares.front()->held() > 600 * kib);
  shares.clear();
  CHECK_EQ(worker.held(), 0u);
}

}  // namespace

GOMA_TESTS(a_hundred_ordinary_streams_fit, large_ones_are_few_but_one, who_allows_more_gets_more, many_share_what_is_left)
