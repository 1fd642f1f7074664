// SPDX-License-Identifier: Apache-2.0
//
// The seven helpers, the variables, and Go's date layouts.
#include "http/config_expand.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>

#include "core/text.h"
#include "core/variable.h"

namespace goma::http {

namespace {

constexpr std::string_view alphanumerics = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr int max_fallbacks = 8;  // inside one another
constexpr const char* random_file = "/proc/sys/kernel/random/uuid";

timespec now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return time;
}

struct NamedLayout {
  std::string_view name, layout;
};

constexpr NamedLayout named_layouts[] = {
    {"", "2006-01-02T15:04:05Z07:00"},
    {"rfc3339", "2006-01-02T15:04:05Z07:00"},
    {"rfc3339nano", "2006-01-02T15:04:05.999999999Z07:00"},
    {"rfc822", "02 Jan 06 15:04 MST"},
    {"rfc850", "Monday, 02-Jan-06 15:04:05 MST"},
    {"rfc1123", "Mon, 02 Jan 2006 15:04:05 MST"},
    {"rfc1123z", "Mon, 02 Jan 2006 15:04:05 -0700"},
    {"iso8601", "2006-01-02T15:04:05Z07:00"},
    {"datetime", "2006-01-02 15:04:05"},
    {"date", "2006-01-02"},
    {"time", "15:04:05"},
    {"kitchen", "3:04PM"},
    {"ansic", "Mon Jan _2 15:04:05 2006"},
    {"unixdate", "Mon Jan _2 15:04:05 MST 2006"},
    {"rubydate", "Mon Jan 02 15:04:05 -0700 2006"},
};

// A piece of a Go layout and its strftime equivalent; longer pieces stand before their prefixes.
struct LayoutPiece {
  std::string_view go;
  const char* strftime;
};

constexpr LayoutPiece layout_pieces[] = {
    {"January", "%B"}, {"Jan", "%b"}, {"Monday", "%A"}, {"Mon", "%a"}, {"MST", "%Z"}, {"2006", "%Y"}, {"-0700", "%z"},
    {"01", "%m"}, {"02", "%d"}, {"03", "%I"}, {"04", "%M"}, {"05", "%S"}, {"06", "%y"}, {"15", "%H"}, {"_2", "%e"}, {"PM", "%p"},
};

std::string zone_of(const tm& local) {
  if (local.tm_gmtoff == 0) return "Z";
  const long minutes = std::labs(local.tm_gmtoff) / 60;
  return fmt::format("{}{:02}:{:02}", local.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

std::string fraction_of(long nanoseconds) {
  if (nanoseconds == 0) return {};
  std::string digits = fmt::format(".{:09}", nanoseconds);
  while (digits.back() == '0') digits.pop_back();
  return digits;
}

// Takes one piece off the front of the layout and writes it.
void take_piece(std::string_view& layout, const tm& local, long nanoseconds, std::string& out) {
  const auto special = [&](std::string_view go, const std::string& text) {
    if (layout.substr(0, go.size()) != go) return false;
    layout.remove_prefix(go.size());
    out += text;
    return true;
  };
  if (special("Z07:00", zone_of(local)) || special(".999999999", fraction_of(nanoseconds))) return;
  for (const LayoutPiece& piece : layout_pieces) {
    if (layout.substr(0, piece.go.size()) != piece.go) continue;
    char buffer[64];
    out.append(buffer, std::strftime(buffer, sizeof buffer, piece.strftime, &local));
    layout.remove_prefix(piece.go.size());
    return;
  }
  if (special("1", fmt::format("{}", local.tm_mon + 1)) || special("2", fmt::format("{}", local.tm_mday))) return;
  if (special("3", fmt::format("{}", local.tm_hour % 12 == 0 ? 12 : local.tm_hour % 12))) return;
  out += layout.front();
  layout.remove_prefix(1);
}

}  // namespace

std::string format_date(const timespec& time, std::string_view layout) {
  if (core::iequals(layout, "unix")) return fmt::format("{}", time.tv_sec);
  for (const NamedLayout& named : named_layouts) {
    if (core::iequals(layout, named.name)) {
      layout = named.layout;
      break;
    }
  }
  tm local{};
  localtime_r(&time.tv_sec, &local);
  std::string out;
  while (!layout.empty()) take_piece(layout, local, time.tv_nsec, out);
  return out;
}

// Each block is the digest of the seed and a counter.
std::string Expander::random_bytes(size_t n) {
  if (seed_.empty()) {
    const auto drawn = source_.read(random_file);
    seed_ = drawn ? std::string(drawn.value()) : std::string();
    unsigned char fallback[32];
    if (seed_.empty() && RAND_bytes(fallback, sizeof fallback) == 1) seed_.assign(reinterpret_cast<const char*>(fallback), sizeof fallback);
  }
  std::string out;
  while (out.size() < n) {
    const std::string block = fmt::format("{}#{}", seed_, drawn_++);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(block.data()), block.size(), digest);
    out.append(reinterpret_cast<const char*>(digest), sizeof digest);
  }
  out.resize(n);
  return out;
}

std::string Expander::random_text(size_t n, std::string_view alphabet) {
  const size_t fair = 256 / alphabet.size() * alphabet.size();  // bytes above it would favour the first letters
  std::string out;
  while (out.size() < n) {
    for (char c : random_bytes(n)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < fair && out.size() < n) out += alphabet[byte % alphabet.size()];
    }
  }
  return out;
}

std::string Expander::uuid() {
  std::string raw = random_bytes(16);
  raw[6] = static_cast<char>((static_cast<unsigned char>(raw[6]) & 0x0FU) | 0x40U);
  raw[8] = static_cast<char>((static_cast<unsigned char>(raw[8]) & 0x3FU) | 0x80U);
  std::string out;
  for (size_t i = 0; i < raw.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", static_cast<unsigned char>(raw[i]));
  }
  return out;
}

// Evaluates "name(arguments)"; false when there is no such helper or the argument is wrong.
bool Expander::call(std::string_view expression, std::string& out) {
  const size_t open = expression.find('(');
  if (open == std::string_view::npos || expression.back() != ')') return false;
  const std::string name = core::to_lower(expression.substr(0, open));
  const std::string_view argument = expression.substr(open + 1, expression.size() - open - 2);
  if (name == "randomstring" || name == "randomhex") {
    const auto n = argument.empty() ? std::optional<uint64_t>(32) : core::parse_u64(argument);
    if (!n || *n < 1 || *n > 1024) return false;
    out += random_text(static_cast<size_t>(*n), name == "randomhex" ? hex_digits : alphanumerics);
    return true;
  }
  const timespec time = now();
  if (name == "date") out += format_date(time, argument);
  if (name == "date") return true;
  if (!argument.empty()) return false;
  if (name == "uuid") out += uuid();
  else if (name == "timestamp") out += fmt::format("{}", time.tv_sec);
  else if (name == "timestampms") out += fmt::format("{}", time.tv_sec * 1000 + time.tv_nsec / 1'000'000);
  else if (name == "now") out += format_date(time, "rfc3339");
  else return false;
  return true;
}

// Copies the text and replaces its variables; true when there was one that is set or has a fallback. What replaces one is
// not looked at again, except that a fallback may name variables.
bool Expander::replace_variables(std::string_view text, std::string& out, int depth) {
  bool changed = false;
  size_t at = 0;
  for (auto use = core::find_variable(text); use; use = core::find_variable(text, at)) {
    out += text.substr(at, use->begin - at);
    const auto value = use->is_understood ? source_.env(std::string(use->name)) : std::nullopt;
    const bool falls_back = use->has_fallback && depth < max_fallbacks && (!value || value->empty());
    if (falls_back) replace_variables(use->fallback, out, depth + 1);
    else if (value) out += *value;
    else out += text.substr(use->begin, use->has_dollar ? 2 : 1);  // only its beginning: another may stand inside
    at = falls_back || value ? use->end : use->begin + (use->has_dollar ? 2 : 1);
    changed = changed || falls_back || value;
  }
  out += text.substr(at);
  return changed;
}

bool Expander::operator()(std::string& text) {
  if (text.find('{') == std::string::npos) return false;
  bool changed = false;
  std::string once;
  std::string_view rest = text;
  while (!rest.empty()) {  // helpers
    const size_t open = std::min(rest.find("{{"), rest.size());
    once += rest.substr(0, open);
    rest.remove_prefix(open);
    const size_t close = rest.find("}}");
    const bool done = close != std::string_view::npos && close > 2 && call(rest.substr(2, close - 2), once);
    changed = changed || done;
    if (!done && !rest.empty()) once += rest.substr(0, 2);
    rest.remove_prefix(done ? close + 2 : std::min<size_t>(2, rest.size()));
  }
  std::string twice;
  changed = replace_variables(once, twice, 0) || changed;
  text = std::move(twice);
  return changed;
}

}  // namespace goma::http
