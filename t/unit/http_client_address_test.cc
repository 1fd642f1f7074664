// SPDX-License-Identifier: Apache-2.0
//
// Trusted proxies, from the right (goma-config 3.7; attack cases C36, C45).
#include "http/client_address.h"

#include "check.h"

using goma::http::ClientAddress;
using goma::http::Headers;
using goma::http::TrustedProxies;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Gate {
  goma::core::Problems problems;
  TrustedProxies proxies;
  goma::core::ChunkPool pool;

  explicit Gate(std::initializer_list<const char*> trusted = {"10.0.0.0/8", "2001:db8::/32", "127.0.0.1"},
                std::vector<std::string> names = {"X-Forwarded-For", "X-Real-IP"}, bool enabled = true) {
    goma::http::ProxyConf conf;
    conf.enabled = enabled;
    conf.ip_headers = std::move(names);
    for (const char* entry : trusted) conf.trusted_proxies.push_back({entry, {}});
    proxies = TrustedProxies(conf, problems);
  }
  // "IP", or "IP SCHEME" when a scheme was believed.
  std::string operator()(std::string_view peer, const Fields& fields) {
    goma::core::Arena arena(pool);
    Headers headers(arena);
    for (const auto& [name, value] : fields) headers.add(name, value);
    const ClientAddress address = proxies.resolve(peer, headers, arena);
    return std::string(address.ip) + (address.scheme.empty() ? "" : " " + std::string(address.scheme));
  }
  std::string chain(const std::string& value) { return (*this)("10.0.0.1", {{"X-Forwarded-For", value}}); }
};

void strangers_say_nothing() {
  Gate gate;
  CHECK_EQ(gate("192.0.2.1", {{"X-Forwarded-For", "6.6.6.6"}, {"X-Forwarded-Proto", "https"}}), "192.0.2.1");
  CHECK_EQ(gate("unix:", {{"X-Forwarded-For", "6.6.6.6"}}), "unix:");
  Gate off({"10.0.0.0/8"}, {"X-Forwarded-For"}, false);
  CHECK(!off.proxies.enabled());
  CHECK_EQ(off("10.0.0.1", {{"X-Forwarded-For", "6.6.6.6"}}), "10.0.0.1");
}

void unix_peers_are_trusted_by_their_word() {
  Gate gate({"unix:", "10.0.0.1"});
  CHECK_EQ(gate("unix:", {{"X-Forwarded-For", "6.6.6.6"}, {"X-Forwarded-Proto", "https"}}), "6.6.6.6 https");
  CHECK_EQ(gate("unix:", {{"X-Forwarded-For", "6.6.6.6, unix:, 10.0.0.1"}}), "6.6.6.6");
  CHECK_EQ(gate("unix:", {}), "unix:");
  CHECK_EQ(gate("127.0.0.1", {{"X-Forwarded-For", "6.6.6.6"}}), "127.0.0.1");
  Gate everybody({"0.0.0.0/0", "::/0"});
  CHECK_EQ(everybody("unix:", {{"X-Forwarded-For", "6.6.6.6"}}), "unix:");
  CHECK_EQ(everybody("10.0.0.1", {{"X-Forwarded-For", "6.6.6.6, unix:"}}), "10.0.0.1");
}

// What the backend is told; a Unix socket is no address.
void backends_are_told_addresses_only() {
  const auto told = [](std::string_view ip, std::string_view socket_ip) {
    goma::core::ChunkPool pool;
    goma::core::Arena arena(pool);
    Headers headers(arena);
    headers.add("X-Forwarded-For", "9.9.9.9");
    headers.add("X-Real-IP", "9.9.9.9");
    goma::http::set_client_address(headers, ip, socket_ip, arena);
    return std::string(headers.get(goma::http::HeaderId::x_forwarded_for)) + "|" + std::string(headers.get(goma::http::HeaderId::x_real_ip));
  };
  CHECK_EQ(told("6.6.6.6", "6.6.6.6"), "6.6.6.6|6.6.6.6");
  CHECK_EQ(told("6.6.6.6", "10.0.0.1"), "6.6.6.6, 10.0.0.1|6.6.6.6");
  CHECK_EQ(told("6.6.6.6", "unix:"), "6.6.6.6|6.6.6.6");
  CHECK_EQ(told("unix:", "unix:"), "|");
}

void the_rightmost_stranger_is_the_client() {
  Gate gate;
  CHECK_EQ(gate.chain("6.6.6.6"), "6.6.6.6");
  CHECK_EQ(gate.chain("1.1.1.1, 6.6.6.6"), "6.6.6.6");
  CHECK_EQ(gate.chain("1.1.1.1, 6.6.6.6 , 10.1.2.3,10.3.2.1"), "6.6.6.6");
  CHECK_EQ(gate.chain("10.1.2.3"), "10.0.0.1");
  CHECK_EQ(gate.chain(""), "10.0.0.1");
  CHECK_EQ(gate.chain("6.6.6.6, , "), "6.6.6.6");
  CHECK_EQ(gate("10.0.0.1", {}), "10.0.0.1");
}

void lines_are_joined() {
  Gate gate;
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-For", "1.1.1.1"}, {"A", "b"}, {"x-forwarded-for", "6.6.6.6, 10.2.2.2"}}), "6.6.6.6");
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-For", "1.1.1.1"}, {"X-Forwarded-For", "10.2.2.2"}}), "1.1.1.1");
}

void headers_are_asked_in_order() {
  Gate gate;
  CHECK_EQ(gate("10.0.0.1", {{"X-Real-IP", "5.5.5.5"}, {"X-Forwarded-For", "6.6.6.6"}}), "6.6.6.6");
  CHECK_EQ(gate("10.0.0.1", {{"X-Real-IP", "5.5.5.5"}}), "5.5.5.5");
  CHECK_EQ(gate("10.0.0.1", {{"X-Real-IP", "5.5.5.5"}, {"X-Forwarded-For", "junk"}}), "10.0.0.1");
}

void addresses_have_one_form() {
  Gate gate;
  CHECK_EQ(gate.chain("6.6.6.6:4711"), "6.6.6.6");
  CHECK_EQ(gate.chain("[2001:4860::8]:80"), "2001:4860::8");
  CHECK_EQ(gate.chain("[2001:4860::8]"), "2001:4860::8");
  CHECK_EQ(gate.chain("2001:4860:0:0::8"), "2001:4860::8");
  CHECK_EQ(gate.chain("::ffff:6.6.6.6"), "6.6.6.6");
  CHECK_EQ(gate.chain("6.6.6.6, ::ffff:10.1.1.1"), "6.6.6.6");
  CHECK_EQ(gate.chain("6.6.6.6, 2001:DB8:0::1"), "6.6.6.6");
  CHECK_EQ(gate("::ffff:10.0.0.1", {{"X-Forwarded-For", "6.6.6.6"}}), "6.6.6.6");
}

void what_is_no_address_stops_the_walk() {
  Gate gate;
  for (const char* junk : {"6.6.6", "0177.0.0.1", "1", "fe80::1%eth0", "6.6.6.6.6", "unknown", "0x7f.0.0.1", "6.6.6.6:", "6.6.6.6:x", "6.6.6.6:70000",
                           "[6.6.6.6]", "[::1", "::1]", "[]", ":", "\"6.6.6.6\"", "6.6.6.6;7.7.7.7", "localhost"}) {
    CHECK_EQ(std::string(junk) + " " + gate.chain(junk), std::string(junk) + " 10.0.0.1");
    CHECK_EQ(std::string(junk) + " " + gate.chain("7.7.7.7, " + std::string(junk)), std::string(junk) + " 10.0.0.1");
    CHECK_EQ(gate.chain(std::string(junk) + ", 7.7.7.7"), "7.7.7.7");
  }
}

void long_chains_are_cut() {
  Gate gate;
  std::string chain = "6.6.6.6";
  for (size_t i = 0; i < TrustedProxies::max_entries - 1; ++i) chain += ", 10.0.0.2";
  CHECK_EQ(gate.chain(chain), "6.6.6.6");
  CHECK_EQ(gate.chain(chain + ", 10.0.0.2"), "10.0.0.1");
  Fields lines(200, {"X-Forwarded-For", "10.0.0.2"});
  CHECK_EQ(gate("10.0.0.1", lines), "10.0.0.1");
}

void forwarded_is_understood() {
  Gate gate({"10.0.0.0/8"}, {"Forwarded"});
  const auto forwarded = [&](const char* value) { return gate("10.0.0.1", {{"Forwarded", value}}); };
  CHECK_EQ(forwarded("for=6.6.6.6;proto=https;by=10.0.0.1"), "6.6.6.6");
  CHECK_EQ(forwarded("for=1.1.1.1, For=\"6.6.6.6:80\";proto=http, for=10.1.1.1"), "6.6.6.6");
  CHECK_EQ(forwarded("by=10.0.0.2;for=\"[2001:db8::1]:80\""), "2001:db8::1");
  CHECK_EQ(forwarded("for=6.6.6.6, for=unknown"), "10.0.0.1");
  CHECK_EQ(forwarded("for=6.6.6.6, proto=https"), "10.0.0.1");
  CHECK_EQ(forwarded("for=\"1.1.1.1, for=6.6.6.6"), "6.6.6.6");  // an open quote on the left swallows nothing
  CHECK_EQ(forwarded("host=\"a,b\";for=6.6.6.6"), "6.6.6.6");
}

void a_trusted_proxy_tells_the_scheme() {
  Gate gate;
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-Proto", "https"}}), "10.0.0.1 https");
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-Proto", "HTTP"}}), "10.0.0.1 http");
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-Scheme", "https"}}), "10.0.0.1 https");
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-Proto", "javascript"}}), "10.0.0.1");
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-Proto", "wss"}}), "10.0.0.1 https");
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-Scheme", "WS"}}), "10.0.0.1 http");
  CHECK_EQ(gate("10.0.0.1", {{"X-Forwarded-Proto", "https"}, {"A", "b"}, {"X-Forwarded-Proto", "http"}}), "10.0.0.1 http");
}

void a_bad_list_trusts_nobody() {
  Gate empty({});
  CHECK_EQ(empty.problems.warnings(), 1);
  CHECK(!empty.proxies.enabled());
  for (const char* bad : {"10.0.0.0/33", "10.0.0.256", "ten", "010.0.0.1", ""}) {
    Gate gate({"10.0.0.0/8", bad});
    CHECK_EQ(std::string(bad) + " " + gate.chain("6.6.6.6"), std::string(bad) + " 10.0.0.1");
    CHECK_EQ(gate.problems.warnings(), 1);
  }
  Gate everybody({"0.0.0.0/0"});
  CHECK_EQ(everybody("192.0.2.1", {{"X-Forwarded-For", "2001:db8::1"}}), "2001:db8::1");
}

void neighbours_in_ipv6_are_one_network() {
  goma::core::ChunkPool chunks;
  goma::core::Arena arena(chunks);
  const auto same = [&](std::string_view a, std::string_view b, int prefix) {
    return goma::http::network_of(a, prefix, arena) == goma::http::network_of(b, prefix, arena);
  };
  CHECK(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 64));
  CHECK(!same("2001:db8:1:2::1", "2001:db8:1:3::1", 64));
  CHECK(same("2001:db8:1:2::1", "2001:db8:1:3::1", 63));
  CHECK(!same("2001:db8::1", "2001:db8::2", 128));
  CHECK(same("2001:db8::2", "2001:db8::3", 127));
  CHECK(same("0::1", "7fff::1", 1));
  CHECK(!same("::1", "8000::1", 1));
  CHECK(!same("192.0.2.1", "192.0.2.2", 1));
  CHECK(same("unix:", "unix:", 64));
}

}  // namespace

GOMA_TESTS(strangers_say_nothing, unix_peers_are_trusted_by_their_word, backends_are_told_addresses_only, the_rightmost_stranger_is_the_client, lines_are_joined, headers_are_asked_in_order, addresses_have_one_form,
           what_is_no_address_stops_the_walk, long_chains_are_cut, forwarded_is_understood, a_trusted_proxy_tells_the_scheme,
           a_bad_list_trusts_nobody, neighbours_in_ipv6_are_one_network)
