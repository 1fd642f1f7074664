// SPDX-License-Identifier: Apache-2.0
//
// Names of clients that all hosts agree on.
#include "http/limit_key.h"

#include "http/client_address.h"

#include "check.h"

using goma::http::network_text;
using goma::http::slug;

namespace {

void slugs_are_gomas() {
  CHECK_EQ(slug("My Route"), "my-route");
  CHECK_EQ(slug("--a__b//c--"), "a__b-c");
  CHECK_EQ(slug("API (v1)"), "api-v1");
  CHECK_EQ(slug("..."), "");
  CHECK_EQ(slug("plain"), "plain");
}

void networks_have_one_name() {
  CHECK_EQ(network_text("192.0.2.1", 64), "192.0.2.1");
  CHECK_EQ(network_text("2001:db8:1:2:3::4", 64), "2001:db8:1:2::/64");
  CHECK_EQ(network_text("2001:0db8:1:2::ffff", 64), "2001:db8:1:2::/64");
  CHECK_EQ(network_text("2001:db8::1", 128), "2001:db8::1");
  CHECK_EQ(network_text("2001:db8:ffff::1", 33), "2001:db8:8000::/33");
}

}  // namespace

GOMA_TESTS(slugs_are_gomas, networks_have_one_name)
