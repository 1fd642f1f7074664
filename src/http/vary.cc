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

// A list without the white space around its commas, which must not stand in quotes.
std::string_view plain_list(core::Arena& arena, std::string_view value) {
  if (value.find(',') == std::string_view::npos || value.find('"') != std::string_view::npos) return core::trim(value);
  char* out = arena.array<char>(value.size());
  size_t used = 0;
  while (true) {
    const size_t comma = value.find(',');
    for (const char c : core::trim(value.substr(0, comma))) out[used++] = c;
    if (comma == std::string_view::npos) return {out, used};
    out[used++] = ',';
    value.remove_prefix(comma + 1);
  }
}

// In thousandths (RFC 9110 12.4.2); what is no weight counts as the highest.
int weight_of(std::string_view item) {
  const size_t q = item.find(";q=");
  if (q == std::string_view::npos) return 1000;
  const std::string_view text = item.substr(q + 3);
  if (text.empty() || text.front() != '0') return 1000;
  int weight = 0;
  for (size_t i = 2; i < 5; ++i) weight = weight * 10 + (i < text.size() && core::is_digit(text[i]) ? text[i] - '0' : 0);
  return weight;
}

std::string_view languages(core::Arena& arena, const Headers& request) {
  std::vector<std::string> items;
  each_list_item(request, HeaderId::accept_language, [&](std::string_view item) {
    std::string plain = core::to_lower(item);
    std::erase_if(plain, core::is_space);
    items.push_back(std::move(plain));
  });
  std::stable_sort(items.begin(), items.end(), [](const std::string& a, const std::string& b) { return weight_of(a) > weight_of(b); });
  std::string text;
  for (const std::string& item : items) text.append(item).append(",");
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
  if (id == HeaderId::accept_language && request.find(id) != nullptr) return arena.join("=", languages(arena, request));
  std::string_view value;
  bool first = true;
  for (const Header& h : request) {
    if (h.id != id || (id == HeaderId::other && !core::iequals(h.name, name))) continue;
    const std::string_view line = plain_list(arena, h.value);
    value = first ? arena.join("=", line) : arena.join(value, ",", line);  // an empty field is not an absent one
    first = false;
  }
  return value;
}

}  // namespace goma::http
