// SPDX-License-Identifier: Apache-2.0
//
// Comparing hosts is deliberately simpler than routing: it only answers "is this one of ours".
#include "http/public_url.h"

#include <algorithm>

#include "core/text.h"
#include "http/authority.h"

namespace goma::http {

namespace {

bool is_pattern(std::string_view host) { return host.find_first_of("*{") != std::string_view::npos; }

// "*.example.com" and "{sub}.example.com" stand for any name below example.com.
bool serves(std::string_view pattern, std::string_view host) {
  pattern = split_host_port(pattern).host;
  if (!is_pattern(pattern)) return core::iequals(pattern, host);
  const size_t dot = pattern.find('.');
  if (dot == std::string_view::npos) return true;
  const std::string_view suffix = pattern.substr(dot);
  return host.size() > suffix.size() && core::iequals(host.substr(host.size() - suffix.size()), suffix);
}

// Whether the encoded text decodes to the name.
bool decodes_to(std::string_view encoded, std::string_view name) {
  size_t i = 0;
  for (const char wanted : name) {
    if (i >= encoded.size()) return false;
    const int byte = core::percent_byte(encoded, i);
    const char c = byte >= 0 ? static_cast<char>(byte) : encoded[i] == '+' ? ' ' : encoded[i];
    if (c != wanted) return false;
    i += byte >= 0 ? 3 : 1;
  }
  return i == encoded.size();
}

}  // namespace

std::string_view public_host(const Exchange& x) {
  const std::string_view asked = x.request().host;
  const RouteConf* conf = x.route() != nullptr ? x.route()->conf : nullptr;
  if (conf == nullptr || conf->hosts.empty()) return asked;
  for (const core::PlacedText& host : conf->hosts) {
    if (!asked.empty() && serves(host.text, split_host_port(asked).host)) return asked;
  }
  for (const core::PlacedText& host : conf->hosts) {
    if (!is_pattern(host.text)) return host.text;
  }
  return asked;
}

namespace {

bool has_port(std::string_view host, uint64_t port) { return core::parse_u64(split_host_port(host).port) == port; }

std::string_view without_port(std::string_view host, bool drop) {
  const HostPort parts = split_host_port(host);
  return drop || parts.port.empty() ? parts.host : host;
}

}  // namespace

std::string_view without_default_port(std::string_view host, std::string_view scheme) {
  if (host.find(':') == std::string_view::npos) return host;  // no port at all: what most have
  return without_port(host, has_port(host, scheme == "https" ? 443 : 80));
}

std::string_view without_default_port(std::string_view host) { return without_port(host, has_port(host, 80) || has_port(host, 443)); }

std::string_view public_url(Exchange& x, std::string_view scheme, std::string_view host) {
  const std::string_view query = x.query();
  return x.arena().join(scheme, "://", without_default_port(host, scheme), x.path().encoded, query.empty() ? "" : "?", query);
}

std::string_view escape_query(core::Arena& arena, std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  char* const begin = arena.array<char>(text.size() * 3);
  char* out = begin;
  for (const char c : text) {
    if (core::is_alpha(c) || core::is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      *out++ = c;
    } else if (c == ' ') {
      *out++ = '+';
    } else {
      const auto byte = static_cast<unsigned char>(c);
      *out++ = '%';
      *out++ = digits[byte >> 4];
      *out++ = digits[byte & 15];
    }
  }
  return {begin, static_cast<size_t>(out - begin)};
}

std::string_view without_parameter(core::Arena& arena, std::string_view query, std::string_view name) {
  char* const begin = arena.array<char>(query.size());
  char* out = begin;
  bool changed = false;
  for (size_t at = 0; at < query.size();) {
    size_t end = query.find_first_of("&;", at);
    end = end == std::string_view::npos ? query.size() : end + 1;  // with its separator
    const std::string_view piece = query.substr(at, end - at);
    const bool matches = decodes_to(piece.substr(0, piece.find_first_of("=&;")), name);
    if (!matches) out = std::copy(piece.begin(), piece.end(), out);
    changed |= matches;
    at = end;
  }
  if (!changed) return query;
  if (out != begin && (out[-1] == '&' || out[-1] == ';') && query.back() != out[-1]) --out;
  return {begin, static_cast<size_t>(out - begin)};
}

}  // namespace goma::http
