// SPDX-License-Identifier: Apache-2.0
//
// One function per kind. Scalars are judged liberally where Goma's decoder is (a number for a text, YAML 1.1 words for
// booleans, a quoted number) and strictly where a mistake would serve the wrong thing.
#include "core/kind.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/idn.h"
#include "core/regex.h"
#include "core/text.h"

namespace goma::core {

namespace {

using Answer = std::optional<Complaint>;

constexpr size_t longest_quote = 60;

std::string shortened(std::string_view text) {
  if (text.size() <= longest_quote) return std::string(text);
  std::string out;
  for (char32_t c : decode_utf8(text.substr(0, longest_quote))) append_utf8(out, c);
  return out + "...";
}

std::string list_words(std::span<const std::string_view> words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) out += fmt::format("{}{}", i == 0 ? "" : (i + 1 == words.size() ? " or " : ", "), words[i]);
  return out;
}

Complaint wants(const Field& field, const yaml::Node& node, std::string hint = {}) {
  Complaint complaint;
  complaint.message = fmt::format("wants {}, got {}", kind_words(field), got_words(node));
  if (node.secret) hint.clear();  // it may be made of the text
  const std::string sample = kind_example(field);
  complaint.hint = !hint.empty() || sample.empty() ? std::move(hint) : fmt::format("for example {}", sample);
  return complaint;
}

Complaint wants_with(std::string code, const Field& field, const yaml::Node& node, std::string suggestion) {
  Complaint complaint = wants(field, node, suggestion.empty() ? std::string() : fmt::format("did you mean \"{}\"?", suggestion));
  complaint.code = std::move(code);
  if (!node.secret) complaint.suggestion = std::move(suggestion);
  return complaint;
}

// Decimal, 0x, 0o, 0b, leading-0 octal, '_' between digits; a fraction is cut off, as Goma's decoder does.
std::optional<int64_t> parse_integer(std::string_view raw) {
  std::string text(raw);
  text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
  std::string_view digits = text;
  const bool negative = !digits.empty() && digits.front() == '-';
  if (!digits.empty() && (digits.front() == '-' || digits.front() == '+')) digits.remove_prefix(1);
  if (digits.empty() || !is_digit(digits.front())) return std::nullopt;
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0' && digits[1] != '.') {
    const char mark = lower(digits[1]);
    base = mark == 'x' ? 16 : (mark == 'b' ? 2 : 8);
    digits.remove_prefix(is_digit(mark) ? 1 : 2);
    if (digits.empty()) return std::nullopt;
  }
  char* end = nullptr;
  const std::string rest(digits);
  errno = 0;
  int64_t value = std::strtoll(rest.c_str(), &end, base);
  if (base == 10 && errno == 0 && (*end == '.' || lower(*end) == 'e')) {
    const double fraction = std::strtod(rest.c_str(), &end);
    if (!(std::abs(fraction) < 9e18)) return std::nullopt;
    value = static_cast<int64_t>(fraction);
  }
  if (errno != 0 || *end != '\0' || end == rest.c_str()) return std::nullopt;
  return negative ? -value : value;
}

Answer check_range(const Field& field, int64_t number) {
  if (number >= field.min && number <= field.max) return std::nullopt;
  Complaint complaint;
  complaint.code = "out-of-range";
  const bool open = field.max >= std::numeric_limits<int32_t>::max();
  complaint.message = open && number < field.min ? fmt::format("must be at least {}, got {}", field.min, number)
                                                 : fmt::format("must be between {} and {}, got {}", field.min, field.max, number);
  return complaint;
}

constexpr std::string_view never_word = "never";

bool is_never(const Field& field, const yaml::Node& node, Value& value) {
  if (!field.never || node.text != never_word) return false;
  value.number = *field.never;
  return true;
}

Answer judge_integer(const Field& field, const yaml::Node& node, Value& value) {
  if (is_never(field, node, value)) return std::nullopt;
  const auto number = parse_integer(node.text);
  if (number) {
    value.number = *number;
    return check_range(field, *number);
  }
  Complaint complaint = wants(field, node);
  const auto plain = parse_u64(node.text);
  if (plain && node.text.front() == '0') complaint.hint = fmt::format("a leading 0 means octal; did you mean {}?", *plain);
  const auto duration = parse_duration(node.text);
  if (field.kind == Kind::seconds && duration && duration->nanoseconds % 1'000'000'000 == 0) {
    complaint.suggestion = fmt::format("{}", duration->nanoseconds / 1'000'000'000);
    complaint.hint = fmt::format("seconds without a unit: {}", complaint.suggestion);
  }
  return complaint;
}

Answer judge_boolean(const Field& field, const yaml::Node& node, Value& value) {
  constexpr std::string_view yes[] = {"true", "yes", "on", "y"};
  constexpr std::string_view no[] = {"false", "no", "off", "n"};
  const auto is_word = [&](std::string_view word) { return iequals(word, node.text); };
  value.number = std::any_of(std::begin(yes), std::end(yes), is_word) ? 1 : 0;
  if (value.number != 0 || std::any_of(std::begin(no), std::end(no), is_word)) return std::nullopt;
  constexpr std::string_view words[] = {"true", "false"};
  const std::string_view near = suggest(node.text, words);
  return wants_with("bad-type", field, node, std::string(near));
}

Answer judge_number(const Field& field, const yaml::Node& node, Value& value) {
  char* end = nullptr;
  value.fraction = std::strtod(node.text.c_str(), &end);
  if (node.text.empty() || *end != '\0' || !std::isfinite(value.fraction)) return wants(field, node);
  return std::nullopt;
}

Answer judge_duration(const Field& field, const yaml::Node& node, Value& value) {
  if (is_never(field, node, value)) return std::nullopt;
  const auto duration = parse_duration(node.text);
  if (!duration) return wants_with("bad-type", field, node, parse_u64(node.text) ? node.text + "s" : std::string());
  value.number = duration->nanoseconds;
  if (duration->nanoseconds >= 0) return std::nullopt;
  Complaint complaint = wants(field, node, "a duration cannot be negative");
  complaint.code = "out-of-range";
  return complaint;
}

Answer judge_size(const Field& field, const yaml::Node& node, Value& value) {
  const auto size = parse_size(node.text);
  if (!size) {
    const auto bare = parse_u64(node.text);
    return wants_with("bad-type", field, node, bare && *bare > 0 && *bare % 1024 == 0 ? print_size(Size{*bare}) : std::string());
  }
  value.number = static_cast<int64_t>(size->bytes);
  return std::nullopt;
}

bool is_ip(std::string_view text) {
  unsigned char raw[16];
  const std::string copy(text);
  return inet_pton(AF_INET, copy.c_str(), raw) == 1 || inet_pton(AF_INET6, copy.c_str(), raw) == 1;
}

bool is_port(std::string_view text, uint64_t least) {
  const auto number = parse_u64(text);
  return number && *number >= least && *number <= 65535;
}

// IP:port with an optional IP.
bool is_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !is_port(text.substr(colon + 1), 0)) return false;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) return is_ip(host.substr(1, host.size() - 2));
  return host.empty() || (host.find(':') == std::string_view::npos && is_ip(host));
}

Answer judge_address(const Field& field, const yaml::Node& node, Value&) {
  if (node.text.substr(0, 5) == "unix:" && node.text.size() > 5) return std::nullopt;
  if (is_address(node.text)) return std::nullopt;
  std::string guess;
  if (is_port(node.text, 1)) guess = ":" + node.text;
  if (is_ip(node.text)) guess = node.text.find(':') == std::string::npos ? node.text + ":8080" : fmt::format("[{}]:8080", node.text);
  if (istarts_with(node.text, "localhost:")) guess = "127.0.0.1" + node.text.substr(9);
  return wants_with("bad-address", field, node, guess);
}

Answer judge_cidr(const Field& field, const yaml::Node& node, Value&) {
  const std::string_view text = node.text;
  if (text == "unix:") return std::nullopt;
  if (istarts_with(text, "unix")) return wants_with("bad-cidr", field, node, "unix:");
  const size_t slash = text.find('/');
  const std::string_view ip = text.substr(0, slash);
  if (slash == std::string_view::npos && is_ip(ip)) return std::nullopt;
  const uint64_t longest = ip.find(':') == std::string_view::npos ? 32 : 128;
  const auto bits = slash == std::string_view::npos ? std::nullopt : parse_u64(text.substr(slash + 1));
  if (is_ip(ip) && bits && *bits <= longest) return std::nullopt;
  Complaint complaint = wants_with("bad-cidr", field, node, {});
  if (is_ip(ip) && bits) complaint.hint = fmt::format("the prefix is at most {} bits long", longest);
  return complaint;
}

bool is_label_char(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_'; }

// Names as DNS has them: at most 253 bytes, labels of 1 to 63 without '-' at the ends.
bool is_host_name(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  if (name.empty() || name.size() > 253) return false;
  for (std::string_view label : split(name, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(), is_label_char)) return false;
  }
  return true;
}

bool is_parameter(std::string_view label) {
  if (label.size() < 3 || label.front() != '{' || label.back() != '}') return false;
  label = label.substr(1, label.size() - 2);
  if (label.size() > 3 && label.substr(label.size() - 3) == "...") label.remove_suffix(3);
  return std::all_of(label.begin(), label.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '_'; });
}

// "*", "*.example.com", "{sub}.example.com", names and bracketed addresses, each with an optional port.
bool is_host_pattern(std::string_view text) {
  const size_t colon = text.rfind(':');
  const bool bracketed = !text.empty() && text.front() == '[';
  if (colon != std::string_view::npos && (!bracketed || text[colon - 1] == ']')) {
    if (!is_port(text.substr(colon + 1), 1)) return false;
    text = text.substr(0, colon);
  }
  if (bracketed) return text.size() > 2 && text.back() == ']' && is_ip(text.substr(1, text.size() - 2));
  const size_t dot = text.find('.', text.find('}') == std::string_view::npos ? 0 : text.find('}'));
  const std::string_view first = text.substr(0, dot);
  if (first != "*" && !is_parameter(first)) return is_host_name(text);
  return dot == std::string_view::npos || is_host_name(text.substr(dot + 1));
}

// Writes the name [begin, end) of the text in its one form: A-labels, an IPv6 address as short as it gets.
Answer write_host(const yaml::Node& node, size_t begin, size_t end, Value& value) {
  const std::string_view host = std::string_view(node.text).substr(begin, end - begin);
  std::string made;
  in6_addr address{};
  if (host.find(':') != std::string_view::npos && inet_pton(AF_INET6, std::string(host).c_str(), &address) == 1) {
    char text[INET6_ADDRSTRLEN];
    made = inet_ntop(AF_INET6, &address, text, sizeof text);
  } else if (!is_ascii(host)) {
    Result<std::string> label = to_a_label(host);
    if (!label) {
      Complaint complaint;
      complaint.code = "bad-host";
      complaint.message = fmt::format("the name \"{}\" is no host name: {}", host, label.error().text);
      return complaint;
    }
    made = std::move(label).value();
  } else {
    return std::nullopt;
  }
  if (made != host) value.made = node.text.substr(0, begin) + made + node.text.substr(end);
  return std::nullopt;
}

// Where the name is in a host pattern: behind a "*." or "{sub}.", before a port, within brackets.
std::pair<size_t, size_t> name_in_pattern(std::string_view text) {
  if (text.starts_with('[')) return {1, std::min(text.find(']'), text.size())};
  size_t begin = text.starts_with("*.") ? 2 : 0;
  if (text.starts_with('{') && text.find("}.") != std::string_view::npos) begin = text.find("}.") + 2;
  return {begin, std::min(text.find(':', begin), text.size())};
}

Answer judge_host(const Field& field, const yaml::Node& node, Value& value) {
  const auto [begin, end] = name_in_pattern(node.text);
  if (Answer refused = write_host(node, begin, end, value)) return refused;
  if (value.made.empty() && end > begin + 1 && node.text[end - 1] == '.') value.made = node.text.substr(0, end - 1) + node.text.substr(end);
  if (is_host_pattern(value.made.empty() ? node.text : value.made)) return std::nullopt;
  const auto url = split_url(node.text);
  std::string guess = url ? std::string(url->host) : std::string();
  Complaint complaint = wants_with("bad-host", field, node, guess);
  if (node.text.find('*') != std::string::npos) complaint.notes.push_back("\"*\" stands for the whole first label only: *.example.com");
  if (node.text.find("..") != std::string::npos || node.text.starts_with('.')) complaint.notes.push_back("a part between two dots cannot be empty");
  return complaint;
}

Answer judge_path(const Field& field, const yaml::Node& node, Value&) {
  const auto bad = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == '?' || c == '#' || c == 0x7f; };
  if (std::any_of(node.text.begin(), node.text.end(), bad)) {
    Complaint complaint = wants(field, node, "no spaces, \"?\" or \"#\"");
    complaint.code = "bad-path";
    return complaint;
  }
  if (node.text.empty()) return wants_with("bad-path", field, node, {});
  return node.text.front() == '/' ? std::nullopt : Answer(wants_with("bad-path", field, node, "/" + node.text));
}

// What was meant by a URL without its scheme, or with one slash of two; empty when nothing comes to mind.
std::string guess_url(const std::string& text) {
  const bool no_scheme = text.find("//") == std::string::npos && text.find(":/") == std::string::npos;
  const size_t slash = text.find(":/");
  std::string guess;
  if (no_scheme) guess = "http://" + text;
  else if (text.find("//") == std::string::npos) guess = text.substr(0, slash) + ":/" + text.substr(slash + 1);
  const auto parts = split_url(guess);
  return parts && (is_host_name(parts->host) || is_ip(parts->host)) ? guess : std::string();
}

// A socket where a URL is wanted: whatever comes to mind for it would be refused next.
bool is_unix_socket(std::string_view text, bool is_url) {
  return istarts_with(text, "unix:") || istarts_with(text, "http+unix:") || istarts_with(text, "http://unix:") || (!is_url && text.ends_with(".sock"));
}

Answer judge_url(const Field& field, const yaml::Node& node, Value& value) {
  auto parts = split_url(node.text);
  if (parts) {
    const auto begin = static_cast<size_t>(parts->host.data() - node.text.data());
    if (Answer refused = write_host(node, begin, begin + parts->host.size(), value)) return refused;
    if (!value.made.empty()) parts = split_url(value.made);
  }
  const bool is_url = parts && (is_host_name(parts->host) || is_ip(parts->host));
  if (is_unix_socket(node.text, is_url)) {
    Complaint complaint = wants(field, node, "backends are reached over TCP: let it listen there, and write http://HOST:PORT");
    complaint.code = "bad-url";
    return complaint;
  }
  if (is_url) return std::nullopt;
  const bool secret = node.text.find('@') != std::string::npos;
  const std::string guess = parts || secret ? std::string() : guess_url(node.text);
  Complaint complaint = wants_with("bad-url", field, node, guess);
  if (secret) complaint.message = fmt::format("wants {}", kind_words(field));
  return complaint;
}

Answer judge_word(const Field& field, const yaml::Node& node, Value& value) {
  for (std::string_view word : field.words) {
    if (node.text != word && !(field.words_ignore_case && iequals(word, node.text))) continue;
    value.text = word;
    return std::nullopt;
  }
  return wants_with("bad-value", field, node, std::string(suggest(node.text, field.words)));
}

Answer judge_regex(const Field&, const yaml::Node& node, Value&) {
  Regex regex;
  const auto failure = Regex::compile(node.text, {}, regex);
  if (!failure) return std::nullopt;
  Complaint complaint;
  complaint.code = "bad-regex";
  complaint.message = fmt::format("the regular expression is not valid: {}", failure->reason);
  const std::string before = node.text.substr(0, failure->offset);
  complaint.notes.push_back(fmt::format("the parser gave up at character {} of the pattern, after \"{}\"", decode_utf8(before).size(), shortened(before)));
  const std::string advice = regex_advice(*failure);
  if (!advice.empty()) complaint.notes.push_back(advice);
  return complaint;
}

Answer judge_rate(const Field& field, const yaml::Node& node, Value&) {
  return parse_rate(node.text) ? std::nullopt : Answer(wants(field, node));
}

}  // namespace

std::string got_words(const yaml::Node& node) {
  if (node.is_mapping()) return "a mapping";
  if (node.is_sequence()) return "a list";
  if (node.is_null()) return "nothing";
  if (node.secret) return "a text";
  if (node.substituted) return "a text that came from the environment";
  return fmt::format("the text \"{}\"", shortened(without_credentials(node.text)));
}

std::string kind_words(const Field& field) {
  switch (field.kind) {
    case Kind::boolean: return "true or false";
    case Kind::integer: return "a whole number";
    case Kind::number: return "a number";
    case Kind::duration: return field.never ? "a duration, or never" : "a duration";
    case Kind::seconds: return field.never ? "a whole number of seconds, or never" : "a whole number of seconds";
    case Kind::size: return "a size with a unit";
    case Kind::rate: return "a rate";
    case Kind::address: return "an address to listen on (IP:port, :port or unix:path)";
    case Kind::cidr: return "an IP address, a network or \"unix:\"";
    case Kind::host: return "a host name";
    case Kind::path: return "a path that starts with \"/\"";
    case Kind::url: return "a URL with scheme and host";
    case Kind::enumeration: return "one of " + list_words(field.words);
    case Kind::regex: return "a regular expression";
    case Kind::section: return "a mapping";
    default: return "a text";
  }
}

std::string kind_example(const Field& field) {
  if (!field.example.empty() && field.shape == Shape::single) return std::string(field.example);
  switch (field.kind) {
    case Kind::integer: return "10";
    case Kind::number: return "0.5";
    case Kind::duration: return "30s";
    case Kind::seconds: return "60";
    case Kind::size: return "8Mi";
    case Kind::rate: return "100/s";
    case Kind::address: return ":8080";
    case Kind::cidr: return "10.0.0.0/8";
    case Kind::host: return "api.example.com";
    case Kind::path: return "/api";
    case Kind::url: return "http://127.0.0.1:9000";
    default: return {};
  }
}

namespace {

Answer judge_scalar(const Field& field, const yaml::Node& node, Value& value) {
  if (!node.is_scalar()) return wants(field, node);
  const bool may_be_empty = field.kind == Kind::host || field.kind == Kind::url || field.kind == Kind::path;
  if (node.text.empty() && may_be_empty && !field.is_required && field.shape == Shape::single) return std::nullopt;  // as if absent
  switch (field.kind) {
    case Kind::boolean: return judge_boolean(field, node, value);
    case Kind::integer:
    case Kind::seconds: return judge_integer(field, node, value);
    case Kind::number: return judge_number(field, node, value);
    case Kind::duration: return judge_duration(field, node, value);
    case Kind::size: return judge_size(field, node, value);
    case Kind::rate: return judge_rate(field, node, value);
    case Kind::address: return judge_address(field, node, value);
    case Kind::cidr: return judge_cidr(field, node, value);
    case Kind::host: return judge_host(field, node, value);
    case Kind::path: return judge_path(field, node, value);
    case Kind::url: return judge_url(field, node, value);
    case Kind::enumeration: return judge_word(field, node, value);
    case Kind::regex: return judge_regex(field, node, value);
    default: return std::nullopt;
  }
}

}  // namespace

std::optional<Complaint> judge(const Field& field, const yaml::Node& node, Value& value) {
  value.node = &node;
  value.text = node.text;
  if (field.kind == Kind::raw) return std::nullopt;
  Answer answer = judge_scalar(field, node, value);
  if (!value.made.empty()) value.text = value.made;
  return answer;
}

}  // namespace goma::core
