// SPDX-License-Identifier: Apache-2.0
//
// Names are compared by their letters and digits alone. A line is searched for names that give their value away; what
// such a value goes on with in the lines below (a block, a list, an open bracket or quote) is hidden with it.
#include "core/secret.h"

#include <algorithm>
#include <set>
#include <span>

#include "core/text.h"
#include "core/variable.h"

namespace goma::core {

namespace {

constexpr size_t nowhere = std::string_view::npos;

// Anywhere in a name.
constexpr std::string_view telling_parts[] = {"password", "passwd", "passwort", "passphrase", "secret", "token", "credential", "authorization",
                                              "apikey", "hmackey", "privatekey", "bindpass", "bearer", "connectionstring"};
// The whole name.
constexpr std::string_view telling_names[] = {"key", "pass", "pwd", "cookie", "setcookie", "auth", "xauth", "users", "jwt", "xjwt", "dsn", "sig", "signature", "sessionid", "xsessionid"};
constexpr std::string_view telling_ends[] = {"key", "keyfile", "keypath", "keydata", "keypem", "pass", "pwd"};
// What a name is about that only mentions a secret: tokenUrl, accessTokenHeader.
constexpr std::string_view harmless_ends[] = {"url", "uri", "header", "headers", "endpoint", "type", "ttl", "name", "lifetime", "algorithm", "enabled",
                                              "size", "limit", "count", "prefix", "strategy", "parameter", "claim"};
constexpr std::string_view harmless_keys[] = {"publickey", "inkey", "cachekey", "websocketkey", "idempotencykey", "surrogatekey", "partitionkey", "hostkey", "bypass"};
// What people write with a letter too many, too few or swapped.
constexpr std::string_view misspelt_parts[] = {"password", "passphrase", "secret", "token", "credential", "authorization", "apikey"};

std::string letters_of(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (is_alpha(c) || is_digit(c)) out += lower(c);
  }
  return out;
}

bool contains_any(std::string_view name, std::span<const std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [name](std::string_view part) { return name.find(part) != nowhere; });
}

bool ends_with_any(std::string_view name, std::span<const std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [name](std::string_view end) { return name.ends_with(end); });
}

bool tells(std::string_view letters) {
  if (std::find(std::begin(telling_names), std::end(telling_names), letters) != std::end(telling_names)) return true;
  if (letters.starts_with("forwardauth") || ends_with_any(letters, harmless_ends)) return false;
  if (contains_any(letters, telling_parts)) return true;
  return ends_with_any(letters, telling_ends) && !contains_any(letters, harmless_keys);
}

// A letter more, less, other or two neighbours swapped; told without a table, because every key of a file is asked.
bool is_one_edit_away(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty() && a.front() == b.front()) a.remove_prefix(1), b.remove_prefix(1);
  while (!a.empty() && !b.empty() && a.back() == b.back()) a.remove_suffix(1), b.remove_suffix(1);
  const bool swapped = a.size() == 2 && b.size() == 2 && a[0] == b[1] && a[1] == b[0];
  return swapped || (a.size() <= 1 && b.size() <= 1);
}

bool nearly_contains(std::string_view name, std::string_view word) {
  for (size_t size = word.size() - 1; size <= word.size() + 1; ++size) {
    for (size_t at = 0; at + size <= name.size(); ++at) {
      if (is_one_edit_away(name.substr(at, size), word)) return true;
    }
  }
  return false;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_name_char(char c) { return is_alpha(c) || is_digit(c) || c == '_' || c == '-' || c == '.'; }
bool is_quote(char c) { return c == '"' || c == '\''; }
bool ends_word(char c) { return is_space(c) || is_quote(c) || c == '`' || c == '<' || c == '>'; }

size_t skip_blanks(std::string_view text, size_t at) {
  while (at < text.size() && is_blank(text[at])) ++at;
  return at;
}

size_t end_of_word(std::string_view text, size_t at) {
  while (at < text.size() && !ends_word(text[at])) ++at;
  return at;
}

// Sorted and joined where they touch.
void tidy(std::vector<SecretSpan>& spans) {
  std::sort(spans.begin(), spans.end(), [](const SecretSpan& a, const SecretSpan& b) { return a.begin < b.begin; });
  std::vector<SecretSpan> joined;
  for (const SecretSpan& span : spans) {
    if (span.begin >= span.end) continue;
    if (!joined.empty() && span.begin <= joined.back().end) joined.back().end = std::max(joined.back().end, span.end);
    else joined.push_back(span);
  }
  spans = std::move(joined);
}

// ---- values by their form --------------------------------------------------------------------------------------------

// HOST or HOST:PORT in front of a path: then an '@' further on is part of the path.
bool is_plain_authority(std::string_view text) {
  const std::string_view authority = text.substr(0, text.find_first_of("/?#"));
  const size_t colon = authority.rfind(':');
  if (authority.empty() || authority.find('@') != nowhere) return false;
  return colon == nowhere || authority.back() == ']' || parse_u64(authority.substr(colon + 1)).has_value();
}

// scheme://NAME:PASSWORD@host, whatever stands in the password; a lone word before the '@' is a secret too.
void find_in_urls(std::string_view text, std::vector<SecretSpan>& spans) {
  for (size_t mark = text.find("://"); mark != nowhere; mark = text.find("://", mark + 3)) {
    const size_t begin = mark + 3, end = end_of_word(text, begin);
    const std::string_view url = text.substr(begin, end - begin);
    const size_t at = url.rfind('@');
    if (at == nowhere || is_plain_authority(url)) continue;
    const size_t colon = url.find(':');
    spans.push_back({colon < at ? begin + colon + 1 : begin, begin + at});
  }
}

// NAME:PASSWORD@host where the scheme was forgotten or misspelt.
void find_bare_logins(std::string_view text, std::vector<SecretSpan>& spans) {
  for (size_t at = text.find('@'); at != nowhere; at = text.find('@', at + 1)) {
    size_t begin = at;
    while (begin > 0 && !ends_word(text[begin - 1]) && text[begin - 1] != ',') --begin;
    const std::string_view login = text.substr(begin, at - begin);
    const size_t colon = login.find(':');
    if (colon == nowhere || colon + 1 == login.size() || login.substr(colon).starts_with("://")) continue;
    spans.push_back({begin + colon + 1, at});
  }
}

// "?api_key=x&token=y", and "password=x" anywhere.
void find_in_parameters(std::string_view text, std::vector<SecretSpan>& spans) {
  for (size_t sign = text.find('='); sign != nowhere; sign = text.find('=', sign + 1)) {
    size_t behind = sign;
    while (behind > 0 && is_blank(text[behind - 1])) --behind;
    size_t begin = behind;
    while (begin > 0 && is_name_char(text[begin - 1])) --begin;
    if (begin == behind || !resembles_secret(text.substr(begin, behind - begin))) continue;
    const size_t value = skip_blanks(text, sign + 1);
    size_t end = value;
    while (end < text.size() && !ends_word(text[end]) && text[end] != '&' && text[end] != '#' && text[end] != ';') ++end;
    spans.push_back({value, end});
  }
}

// What follows the name of a scheme (RFC 9110 11.4).
void find_in_schemes(std::string_view text, std::vector<SecretSpan>& spans) {
  constexpr size_t shortest = 4;
  for (size_t space = text.find(' '); space != nowhere; space = text.find(' ', space + 1)) {
    size_t begin = space;
    while (begin > 0 && is_alpha(text[begin - 1])) --begin;
    const std::string_view word = text.substr(begin, space - begin);
    if (!iequals(word, "Bearer") && !iequals(word, "Basic") && !iequals(word, "Token") && !iequals(word, "ApiKey")) continue;
    const size_t value = skip_blanks(text, space), end = end_of_word(text, value);
    if (end - value >= shortest) spans.push_back({value, end});
  }
}

// ---- lines -----------------------------------------------------------------------------------------------------------

// Walks over brackets and quotes that a value has opened, until they are closed.
struct OpenValue {
  size_t depth = 0;
  char quote = '\0';

  bool is_open() const { return depth > 0 || quote != '\0'; }
  // Where they are closed; the end of the line when they are not.
  size_t walk(std::string_view line, size_t at) {
    for (; at < line.size(); ++at) {
      const char c = line[at];
      if (quote == '"' && c == '\\') ++at;
      else if (quote != '\0') quote = c == quote ? '\0' : quote;
      else if (is_quote(c)) quote = c;
      else if (c == '[' || c == '{') ++depth;
      else if (c == ']' || c == '}') --depth;
      if (!is_open()) return std::min(at + 1, line.size());
    }
    return line.size();
  }
};

class Scanner {
 public:
  Scanner(std::map<int, std::vector<SecretSpan>>& spans, const std::set<std::string, std::less<>>& anchors) : spans_(spans), anchors_(anchors) {}

  void line(int number, std::string_view line);

 private:
  bool goes_on(std::string_view line, size_t indent);
  void find_names(std::string_view line, size_t indent);
  size_t take_value(std::string_view line, size_t name, size_t value);
  void take_anchors(std::string_view line, size_t indent);
  void take_lone_name(std::string_view line, size_t indent);
  void take_key_block(std::string_view line, size_t indent);
  void hide(size_t begin, size_t end) { found_.push_back({begin, end}); }
  void begin_region(size_t indent, bool awaits) {
    in_region_ = true;
    awaits_ = awaits;
    region_indent_ = indent;
  }

  std::map<int, std::vector<SecretSpan>>& spans_;
  const std::set<std::string, std::less<>>& anchors_;
  std::vector<SecretSpan> found_;  // of this line
  OpenValue open_;                 // of a secret, from lines above
  bool in_region_ = false;         // below a secret key: what is indented deeper is its value
  bool awaits_ = false;            // the key has no value yet
  size_t region_indent_ = 0;
  bool explicit_key_ = false;      // "? password": the value comes behind a ':'
  bool in_pem_ = false;
};

// "key:", perhaps quoted or an item, and nothing that could be the rest of a value.
bool looks_like_key(std::string_view line, size_t at) {
  while (line.substr(at).starts_with("- ")) at = skip_blanks(line, at + 2);
  if (at < line.size() && is_quote(line[at])) ++at;
  const size_t begin = at;
  while (at < line.size() && is_name_char(line[at])) ++at;
  if (at == begin) return false;
  if (at < line.size() && is_quote(line[at])) ++at;
  at = skip_blanks(line, at);
  return at < line.size() && line[at] == ':' && (at + 1 == line.size() || is_blank(line[at + 1]));
}

// Whether the whole line belongs to a secret that began above.
bool Scanner::goes_on(std::string_view line, size_t indent) {
  if (open_.is_open()) {
    open_.walk(line, 0);
    return true;
  }
  if (!in_region_) return false;
  const bool item = line[indent] == '-' && (indent + 1 == line.size() || is_blank(line[indent + 1]));
  const bool inside = indent > region_indent_ || (awaits_ && indent == region_indent_ && item);
  const bool value = inside || (awaits_ && !looks_like_key(line, indent));
  if (!value) return in_region_ = false;
  if (awaits_) {
    const size_t begin = item ? skip_blanks(line, indent + 1) : indent;
    if (begin < line.size() && (is_quote(line[begin]) || line[begin] == '[' || line[begin] == '{')) open_.walk(line, begin);
  }
  awaits_ = awaits_ && item;
  return true;
}

// Hides the value at `value` of the name at `name`; returns where to go on.
size_t Scanner::take_value(std::string_view line, size_t name, size_t value) {
  const bool in_flow = line.substr(0, name).find_first_of("{[") != nowhere;
  const size_t key_indent = in_flow ? line.find_first_not_of(" \t") : name;
  size_t begin = value;
  while (begin < line.size() && (line[begin] == '&' || line[begin] == '!')) {  // anchors and tags
    const size_t end = end_of_word(line, begin);
    if (skip_blanks(line, end) == end && end < line.size()) break;
    if (!in_flow && skip_blanks(line, end) < line.size()) break;  // hidden with what follows
    begin = skip_blanks(line, end);
  }
  begin_region(key_indent, begin >= line.size() || line[begin] == '#');
  if (awaits_) hide(begin, line.size());  // a comment that may have been meant as the value
  if (awaits_) return line.size();
  size_t end = line.size();
  OpenValue own;
  if (is_quote(line[begin]) || line[begin] == '[' || line[begin] == '{') {
    end = own.walk(line, begin);
    open_ = own;
  } else if (in_flow) {
    end = std::min(line.find_first_of(",}]", begin), line.size());
  }
  const size_t next = skip_blanks(line, end);
  const bool ended = in_flow && next < line.size() && (line[next] == ',' || line[next] == '}' || line[next] == ']');
  if (ended) in_region_ = false;
  else end = line.size();
  const bool block = (line[begin] == '|' || line[begin] == '>') && line.find_first_not_of("0123456789+- \t", begin + 1) == nowhere;
  std::string_view text = line.substr(begin, end - begin);
  while (!text.empty() && (is_quote(text.back()) || is_blank(text.back()))) text.remove_suffix(1);
  while (!text.empty() && is_quote(text.front())) text.remove_prefix(1);
  if (!block && !only_names_variables(text)) hide(begin, end);
  return end;
}

void Scanner::find_names(std::string_view line, size_t indent) {
  if (explicit_key_ && line[indent] == ':') take_value(line, indent, skip_blanks(line, indent + 1));
  explicit_key_ = line.substr(indent).starts_with("? ") && resembles_secret(line.substr(indent + 2));
  size_t from = indent;
  for (size_t colon = line.find(':', from); colon != nowhere; colon = line.find(':', std::max(from, colon + 1))) {
    size_t end = colon;
    while (end > from && is_blank(line[end - 1])) --end;
    if (end > from && is_quote(line[end - 1])) --end;
    size_t begin = end;
    while (begin > from && is_name_char(line[begin - 1])) --begin;
    if (begin == end || !resembles_secret(line.substr(begin, end - begin))) continue;
    if (begin > 0 && is_quote(line[begin - 1])) --begin;
    from = take_value(line, begin, skip_blanks(line, colon + 1));
  }
}

// "&pw hunter2" under a harmless key, when "*pw" stands for a secret elsewhere.
void Scanner::take_anchors(std::string_view line, size_t indent) {
  for (size_t mark = line.find('&'); mark != nowhere; mark = line.find('&', mark + 1)) {
    size_t end = mark + 1;
    while (end < line.size() && is_name_char(line[end])) ++end;
    if (anchors_.find(line.substr(mark + 1, end - mark - 1)) == anchors_.end()) continue;
    const size_t value = skip_blanks(line, end);
    begin_region(indent, value >= line.size());
    if (value >= line.size()) return;
    open_ = {};
    open_.walk(line, value);
    const bool block = line[value] == '|' || line[value] == '>';
    if (!block) hide(value, line.size());
    return;
  }
}

// "password hunter2": the colon was forgotten.
void Scanner::take_lone_name(std::string_view line, size_t indent) {
  size_t begin = indent;
  while (line.substr(begin).starts_with("- ")) begin = skip_blanks(line, begin + 2);
  size_t end = begin;
  while (end < line.size() && is_name_char(line[end])) ++end;
  const size_t value = skip_blanks(line, end);
  if (value == end || value >= line.size() || line[value] == ':' || line[value] == '#' || !resembles_secret(line.substr(begin, end - begin))) return;
  hide(value, line.size());
}

// The lines between BEGIN and END of a private key, wherever they stand.
void Scanner::take_key_block(std::string_view line, size_t indent) {
  if (line.find("PRIVATE KEY-----") != nowhere) in_pem_ = line.find("-----END") == nowhere;
  else if (!in_pem_) return;
  hide(indent, line.size());
}

void Scanner::line(int number, std::string_view line) {
  const size_t indent = line.find_first_not_of(" \t\r");
  if (indent == nowhere) return;
  found_.clear();
  take_key_block(line, indent);
  if (goes_on(line, indent)) {
    hide(indent, line.size());
  } else {
    find_names(line, indent);
    take_anchors(line, indent);
    take_lone_name(line, indent);
    for (const SecretSpan& span : credentials_in(line)) hide(span.begin, span.end);
  }
  tidy(found_);
  if (!found_.empty()) spans_[number] = found_;
}

template <class Take>
void each_line(std::string_view text, Take take) {
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    take(number, line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The anchors that secret keys refer to.
std::set<std::string, std::less<>> secret_anchors(std::string_view text) {
  std::set<std::string, std::less<>> anchors;
  for (size_t star = text.find('*'); star != nowhere; star = text.find('*', star + 1)) {
    size_t end = star;
    while (end > 0 && is_blank(text[end - 1])) --end;
    if (end == 0 || text[end - 1] != ':') continue;
    size_t begin = --end;
    while (begin > 0 && is_name_char(text[begin - 1])) --begin;
    if (begin == end || !resembles_secret(text.substr(begin, end - begin))) continue;
    size_t last = star + 1;
    while (last < text.size() && is_name_char(text[last])) ++last;
    anchors.emplace(text.substr(star + 1, last - star - 1));
  }
  return anchors;
}

}  // namespace

bool names_secret(std::string_view name) { return tells(letters_of(name)); }

bool resembles_secret(std::string_view name) {
  const std::string letters = letters_of(name);
  if (tells(letters)) return true;
  if (ends_with_any(letters, harmless_ends) || letters.starts_with("forwardauth")) return false;
  return std::any_of(std::begin(misspelt_parts), std::end(misspelt_parts), [&](std::string_view part) { return nearly_contains(letters, part); });
}

std::vector<SecretSpan> credentials_in(std::string_view text) {
  std::vector<SecretSpan> spans;
  find_in_urls(text, spans);
  find_bare_logins(text, spans);
  find_in_parameters(text, spans);
  find_in_schemes(text, spans);
  tidy(spans);
  std::erase_if(spans, [text](const SecretSpan& span) { return only_names_variables(text.substr(span.begin, span.end - span.begin)); });
  return spans;
}

bool stands_as_credential(std::string_view text, SecretSpan bytes) {
  std::string filled(text);
  std::fill(filled.begin() + static_cast<std::ptrdiff_t>(bytes.begin), filled.begin() + static_cast<std::ptrdiff_t>(bytes.end), 'x');
  const std::vector<SecretSpan> spans = credentials_in(filled);
  return std::any_of(spans.begin(), spans.end(), [&](const SecretSpan& span) { return span.begin <= bytes.begin && bytes.end <= span.end; });
}

std::string without_credentials(std::string_view text) {
  std::string out;
  size_t at = 0;
  for (const SecretSpan& span : credentials_in(text)) {
    out += text.substr(at, span.begin - at);
    out += secret_stars;
    at = span.end;
  }
  out += text.substr(at);
  return out;
}

SecretLines::SecretLines(std::string_view text) {
  const std::set<std::string, std::less<>> anchors = secret_anchors(text);
  Scanner scanner(spans_, anchors);
  each_line(text, [&scanner](int number, std::string_view line) { scanner.line(number, line); });
}

const std::vector<SecretSpan>& SecretLines::of(int line) const {
  static const std::vector<SecretSpan> none;
  const auto found = spans_.find(line);
  return found == spans_.end() ? none : found->second;
}

}  // namespace goma::core
