// SPDX-License-Identifier: Apache-2.0
//
// The forms are told apart by what they begin with.
#include "http/redis_address.h"

#include "core/idn.h"
#include "core/text.h"

namespace goma::http {

namespace {

core::Error invalid(std::string text) { return core::Error{core::Code::invalid, std::move(text), 0}; }

// Percent-encoding decoded; what is no encoding stays.
std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int byte = core::percent_byte(text, i);
    out += byte >= 0 ? static_cast<char>(byte) : text[i];
    if (byte >= 0) i += 2;
  }
  return out;
}

core::Result<core::RedisAddress> parse_host_port(std::string_view text, uint16_t default_port) {
  core::RedisAddress address;
  address.port = default_port;
  std::string_view host = text, port;
  const size_t colon = text.rfind(':');
  if (!text.empty() && text.front() == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return invalid("has a '[' without a ']'");
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return invalid("has something other than a port behind the ']'");
    if (!rest.empty()) port = rest.substr(1);
    if (!rest.empty() && port.empty()) return invalid("has no port between 1 and 65535");
  } else if (colon != std::string_view::npos) {
    if (text.find(':') != colon) return invalid("has an IPv6 address without brackets");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (port.empty()) return invalid("has no port between 1 and 65535");
  }
  if (!port.empty()) {
    const auto number = core::parse_u64(port);
    if (!number || *number < 1 || *number > 65535) return invalid("has no port between 1 and 65535");
    address.port = static_cast<uint16_t>(*number);
  }
  if (host.empty() && port.empty()) return invalid("has no host");
  if (host.find_first_of(" \t\r\n/@?#[]") != std::string_view::npos) return invalid("has no host before the port");
  core::Result<std::string> name = core::is_ascii(host) ? core::Result<std::string>(std::string(host)) : core::to_a_label(host);
  if (!name) return invalid("has a host that is no name: " + name.error().text);
  address.host = host.empty() ? "localhost" : std::move(name).value();
  return address;
}

core::Result<RedisUrl> parse_url(std::string_view rest, uint16_t default_port) {
  RedisUrl url;
  if (rest.find_first_of("?#") != std::string_view::npos) return invalid("cannot have a query or a fragment");
  const size_t at = rest.rfind('@');
  if (at != std::string_view::npos) {
    const std::string_view user = rest.substr(0, at);
    const size_t colon = user.find(':');
    url.has_credentials = true;
    url.username = decoded(user.substr(0, colon));
    if (colon != std::string_view::npos) url.password = decoded(user.substr(colon + 1));
    rest = rest.substr(at + 1);
  }
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos && slash + 1 < rest.size()) {
    const auto database = core::parse_u64(rest.substr(slash + 1));
    if (!database || *database > 65535) return invalid("has something other than the number of a database behind the '/'");
    url.database = static_cast<int>(*database);
  }
  auto address = parse_host_port(rest.substr(0, slash), default_port);
  if (!address.ok()) return address.error();
  url.address = std::move(address).value();
  return url;
}

}  // namespace

core::Result<RedisUrl> parse_redis_address(std::string_view text, uint16_t default_port) {
  text = core::trim(text);
  for (const std::string_view scheme : {"redis://", "rediss://"}) {
    if (!core::istarts_with(text, scheme)) continue;
    auto url = parse_url(text.substr(scheme.size()), default_port);
    if (!url.ok()) return url.error();
    RedisUrl made = std::move(url).value();
    made.tls = scheme == "rediss://";
    return made;
  }
  RedisUrl url;
  std::string_view path = text;
  for (const std::string_view scheme : {"unix://", "unix:"}) {
    if (path.starts_with(scheme)) path.remove_prefix(scheme.size());
  }
  if (path.starts_with('/')) {
    url.address.host = path;
    return url;
  }
  if (path.size() != text.size()) return invalid("wants the whole path of the socket, from '/' on");
  if (text.find("://") != std::string_view::npos) return invalid("has a scheme other than redis, rediss and unix");
  auto address = parse_host_port(text, default_port);
  if (!address.ok()) return address.error();
  url.address = std::move(address).value();
  return url;
}

std::string bare_redis_address(std::string_view text) {
  const size_t scheme = text.find("://"), at = text.rfind('@');
  if (scheme == std::string_view::npos || core::istarts_with(text, "unix:")) return std::string(text);
  const std::string_view rest = text.substr(at == std::string_view::npos || at < scheme ? scheme + 3 : at + 1);
  return std::string(text.substr(0, scheme + 3)) + std::string(rest.substr(0, rest.find('/')));
}

}  // namespace goma::http
