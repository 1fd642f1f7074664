// SPDX-License-Identifier: Apache-2.0
//
// Lists of names are kept as fields without values, so that they can be stored like those of a response.
#include "http/vary.h"

#include <algorithm>
#include <vector>

#include "core/text.h"
#include "http/cache_control.h"

namespace goma::http {

namespace {

bool is_ignored(std::span<const std::string> ignored, std::string_view name) {
  return std::any_of(ignored.begin(), ignored.end(), [name](const std::string& one) { return core::iequals(one, name); });
}

std::string_view lower_copy(core::Arena& arena, std::string_view text) {
  char* out = arena.array<char>(text.size());
  std::transform(text.begin(), text.end(), out, [](char c) { return core::lower(c); });
  return {out, text.size()};
}

// "gzip;q=0" refuses; any other weight accepts (RFC 9110 12.4.2).
bool is_refused(std::string_view parameters) {
  const size_t q = parameters.find("q=");
  if (q == std::string_view::npos) return false;
  const std::string_view weight = core::trim(parameters.substr(q + 2));
  return !weight.empty() && weight.find_first_not_of("0.") == std::string_view::npos;
}

std::string_view accepted_encodings(core::Arena& arena, const Headers& request) {
  std::vector<std::string> accepted;
  each_list_item(request, HeaderId::accept_encoding, [&](std::string_view item) {
    const size_t semicolon = item.find(';');
    std::string coding = core::to_lower(core::trim(item.substr(0, semicolon)));
    const bool refused = semicolon != std::string_view::npos && is_refused(core::to_lower(item.substr(semicolon)));
    if (coding == "x-gzip") coding = "gzip";
    accepted.push_back(refused ? "!" + coding : coding);
  });
  std::sort(accepted.begin(), accepted.end());
  accepted.erase(std::unique(accepted.begin(), accepted.end()), accepted.end());
  std::string text;
  for (const std::string& coding : accepted) text.append(coding).append(",");
  return arena.copy(text);
}

}  // namespace

void add_vary_names(core::Arena& arena, const Headers& response, std::span<const std::string> ignored, Headers& into) {
  std::vector<std::string_view> names;
  for (const Header& h : into) names.push_back(h.name);
  each_list_item(response, HeaderId::vary, [&](std::string_view item) {
    if (!is_ignored(ignored, item)) names.push_back(lower_copy(arena, item));
  });
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  Headers sorted(arena);
  for (const std::string_view name : names) sorted.add(name, {});
  into.take(sorted);
}

size_t counted_vary_names(const Headers& names) {
  constexpr std::string_view free[] = {"accept-encoding", "authorization", "proxy-authorization", "cookie"};
  size_t n = 0;
  for (const Header& h : names) n += std::find(std::begin(free), std::end(free), h.name) == std::end(free) ? 1 : 0;
  return n;
}

bool same_names(const Headers& a, const Headers& b) {
  if (a.size() != b.size()) return false;
  auto other = b.begin();
  for (const Header& h : a) {
    if (h.name != other->name) return false;
    ++other;
  }
  return true;
}

std::string_view vary_value(core::Arena& arena, const Headers& request, std::string_view name) {
  const HeaderId id = header_id(name);
  if (id == HeaderId::accept_encoding) return accepted_encodings(arena, request);
  std::string_view value;
  bool first = true;
  for (const Header& h : request) {
    if (h.id != id || (id == HeaderId::other && !core::iequals(h.name, name))) continue;
    value = first ? arena.join("=", h.value) : arena.join(value, ", ", h.value);  // an empty field is not an absent one
    first = false;
  }
  return value;
}

}  // namespace goma::http
