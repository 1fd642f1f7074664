// SPDX-License-Identifier: Apache-2.0
//
// The words of gRPC: which requests are calls, timeouts, statuses and messages.
#include "http/grpc.h"

#include "check.h"
#include "core/arena.h"

using namespace goma;
using http::GrpcStatus;

static void a_call_is_told_by_its_content_type() {
  core::ChunkPool chunks;
  core::Arena arena(chunks);
  struct Case {
    std::string_view type;
    bool is;
  };
  for (const Case& c : {Case{"application/grpc", true}, Case{"application/grpc+proto", true}, Case{"Application/GRPC;x=1", true},
                        Case{"application/grpc-web", false}, Case{"application/grpc-web+proto", false}, Case{"application/json", false},
                        Case{"", false}}) {
    http::RequestHead head(arena);
    head.major_version = 2;
    head.method = http::Method::post;
    head.headers.add(http::HeaderId::content_type, c.type);
    CHECK_EQ(http::is_grpc(head), c.is);
    head.major_version = 1;
    CHECK(!http::is_grpc(head));
  }
}

static void timeouts_have_a_unit() {
  CHECK_EQ(http::parse_grpc_timeout("1H").value_or(-1), int64_t{3'600'000});
  CHECK_EQ(http::parse_grpc_timeout("2M").value_or(-1), int64_t{120'000});
  CHECK_EQ(http::parse_grpc_timeout("3S").value_or(-1), int64_t{3'000});
  CHECK_EQ(http::parse_grpc_timeout("250m").value_or(-1), int64_t{250});
  CHECK_EQ(http::parse_grpc_timeout("1500u").value_or(-1), int64_t{2});
  CHECK_EQ(http::parse_grpc_timeout("99999999n").value_or(-1), int64_t{100});
  CHECK_EQ(http::parse_grpc_timeout("99999999H").value_or(-1), int64_t{99'999'999} * 3'600'000);
  CHECK_EQ(http::parse_grpc_timeout("0n").value_or(-1), int64_t{0});
  for (const std::string_view bad : {"", "1", "m", "-1m", "1 m", "123456789m", "1x", "1.5S", "1mm"}) {
    CHECK(!http::parse_grpc_timeout(bad).has_value());
  }
}

static void statuses_follow_the_documented_mapping() {
  CHECK(http::grpc_status(400) == GrpcStatus::internal);
  CHECK(http::grpc_status(401) == GrpcStatus::unauthenticated);
  CHECK(http::grpc_status(403) == GrpcStatus::permission_denied);
  CHECK(http::grpc_status(404) == GrpcStatus::unimplemented);
  for (const int status : {429, 502, 503, 504}) CHECK(http::grpc_status(status) == GrpcStatus::unavailable);
  for (const int status : {405, 408, 413, 418, 500}) CHECK(http::grpc_status(status) == GrpcStatus::unknown);
}

static void messages_are_percent_encoded() {
  core::ChunkPool chunks;
  core::Arena arena(chunks);
  CHECK_EQ(http::encode_grpc_message(arena, "502 Bad Gateway "), "502 Bad Gateway");
  CHECK_EQ(http::encode_grpc_message(arena, "50% \xc3\xa4"), "50%25 %C3%A4");
  CHECK_EQ(http::encode_grpc_message(arena, "404 page not found\nmore"), "404 page not found");
  CHECK_EQ(http::encode_grpc_message(arena, ""), "");
  CHECK_EQ(http::encode_grpc_message(arena, std::string(5000, 'x')).size(), size_t{512});
}

GOMA_TESTS(a_call_is_told_by_its_content_type, timeouts_have_a_unit, statuses_follow_the_documented_mapping, messages_are_percent_encoded)
