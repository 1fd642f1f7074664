// SPDX-License-Identifier: Apache-2.0
//
// Order of work for a head: start line, then every field line once, noting on the way what fields say about the
// message itself (Facts), then the rules over those facts. A field line is validated and measured in the same pass.
#include "http/h1_parser.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/scan.h"
#include "core/text.h"
#include "http/authority.h"
#include "http/uri.h"

namespace goma::http {

namespace {

constexpr int max_leading_lines = 4;
// Each option of Connection is looked for among the fields; nobody has as many.
constexpr size_t max_options = 256;

// Classes of bytes, one table for all loops.
enum : uint8_t {
  in_token = 1,       // RFC 9110 5.6.2
  is_underscore = 2,
  in_target = 4,      // visible ASCII but '#'; what a request target is made of here
  in_path = 8,        // the same without '?' and the backslash
  in_uri = 16,        // of a target's bytes those that RFC 3986 allows; others are strays
};

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (unsigned c = 0x21; c < 0x7F; ++c) {
    classes[c] = c == '#' ? 0 : c == '?' || c == '\\' ? in_target : in_target | in_path;
    if (is_uri_char(static_cast<char>(c))) classes[c] |= in_uri;
  }
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) classes[static_cast<uint8_t>(c)] |= in_token;
  for (unsigned c = 0; c < 128; ++c) {
    if (core::is_digit(static_cast<char>(c)) || core::is_alpha(static_cast<char>(c))) classes[c] |= in_token;
  }
  classes['_'] |= is_underscore;
  return classes;
}

constexpr std::array<uint8_t, 256> classes = make_classes();

inline uint8_t class_of(char c) { return classes[static_cast<uint8_t>(c)]; }

bool refuse(ParseError& error, int status, const char* code, std::string_view text) {
  error = ParseError{status, code, text};
  return false;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

bool is_token_char(char c) { return (class_of(c) & in_token) != 0; }

// ---------------------------------------------------------------- where a head ends

// Lines are found by their LF. Other control bytes within a complete head are the parser's to refuse; in one that is
// still arriving they are looked for here, because nobody should wait for the rest of it.
HeadScanner::State HeadScanner::feed(const char* begin, size_t total, const Limits& limits) {
  while (true) {
    const char* const from = begin + scanned_;
    const auto* lf = static_cast<const char*>(std::memchr(from, '\n', total - scanned_));
    if (lf == nullptr) return want_more(begin, total, limits);
    if (lf == begin || lf[-1] != '\r') return refuse_byte('\n');
    const size_t start = line_start_;
    scanned_ = line_start_ = static_cast<size_t>(lf - begin) + 1;
    // Nearly every line is one more field within bounds.
    if (lines_ != 0 && lines_ <= limits.headers && scanned_ - start != 2 && scanned_ <= limits.head_bytes) {
      ++lines_;
      continue;
    }
    const State state = line_complete(begin, start, limits);
    if (state != State::more) return state;
  }
}

// A line began at `start` and ends before line_start_, which is behind its CRLF. `more`: go on with the next one.
HeadScanner::State HeadScanner::line_complete(const char* begin, size_t start, const Limits& limits) {
  const size_t at = line_start_ - 2;
  if (at == start && lines_ == 0) {
    return ++leading_ > max_leading_lines ? refuse(400, "leading-lines", "empty lines in place of a request") : State::more;
  }
  if (lines_ == 0 && at - start > limits.request_line) return refuse_start_line({begin + start, at - start});
  if (line_start_ > limits.head_bytes) return refuse(431, "head-too-large", "the head is too long");
  if (at == start) {
    length_ = line_start_;
    return State::complete;
  }
  if (lines_++ > limits.headers) return refuse(431, "too-many-fields", "too many fields");
  return State::more;
}

HeadScanner::State HeadScanner::want_more(const char* begin, size_t total, const Limits& limits) {
  const char* const end = begin + total;
  core::Controls controls(begin + checked_, end);
  for (const char* at = controls.next(begin + checked_); at != end; at = controls.next(at)) {
    if (*at != '\r') return refuse_byte(*at);
    if (at + 1 == end) break;
    if (at[1] != '\n') return refuse(400, "bare-cr", "a CR without LF");
    at += 2;
    checked_ = static_cast<size_t>(at - begin);
  }
  scanned_ = total;
  if (lines_ == 0 && total - line_start_ > limits.request_line) return refuse_start_line({begin + line_start_, total - line_start_});
  if (total >= limits.head_bytes) return refuse(431, "head-too-large", "the head is too long");
  return State::more;
}

HeadScanner::State HeadScanner::refuse_start_line(std::string_view line) {
  const bool has_method = line.substr(0, max_method + 1).find(' ') != std::string_view::npos;
  return has_method ? refuse(414, "request-line-too-long", "the request line is too long") : refuse(400, "bad-method", "the method is too long");
}

HeadScanner::State HeadScanner::refuse_byte(char byte) {
  if (byte == '\n') return refuse(400, "bare-lf", "an LF without CR");
  return refuse(400, "control-byte", byte == '\0' ? "a NUL byte in the head" : "a control byte in the head");
}

HeadScanner::State HeadScanner::refuse(int status, const char* code, const char* reason) {
  status_ = status;
  code_ = code;
  reason_ = reason;
  return State::bad;
}

// ---------------------------------------------------------------- field lines

namespace {

// A line whose name does not end with a colon: `stop` is where it ends.
bool refuse_name(std::string_view line, size_t stop, ParseError& error) {
  if (is_blank(line.front())) return refuse(error, 400, "obs-fold", "a folded field line, or a blank before a name");
  if (stop == line.size()) return refuse(error, 400, "bad-field-name", "a field line without a colon");
  if (line[stop] == ':') return refuse(error, 400, "bad-field-name", "a field without a name");
  if (is_blank(line[stop])) return refuse(error, 400, "blank-before-colon", "a blank before the colon of a field");
  return refuse(error, 400, "bad-field-name", "a byte in a field name that may not be there");
}

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// A field line [line, stop), without its CRLF. A name that is known needs no look at its letters.
inline bool read_field(const char* line, const char* stop, Header& out, bool& has_underscore, ParseError& error) {
  const size_t size = static_cast<size_t>(stop - line);
  const auto* colon = static_cast<const char*>(std::memchr(line, ':', size));
  const size_t length = colon != nullptr ? static_cast<size_t>(colon - line) : size;
  out.name = {line, length};
  out.id = header_id(out.name);
  has_underscore = false;
  if (out.id == HeaderId::other) {
    uint8_t all = 0;
    size_t n = 0;
    while (n < length && (class_of(line[n]) & in_token)) all |= class_of(line[n++]);
    if (n != length || n == 0) return refuse_name({line, size}, n, error);
    has_underscore = (all & is_underscore) != 0;
  }
  if (colon == nullptr) return refuse_name({line, size}, size, error);
  const char* value = colon + 1;
  while (value != stop && is_blank(*value)) ++value;
  while (stop != value && is_blank(stop[-1])) --stop;
  out.value = {value, static_cast<size_t>(stop - value)};
  return true;
}

}  // namespace

bool parse_field(std::string_view line, Header& out, bool& has_underscore, ParseError& error) {
  out.removed = false;
  return read_field(line.data(), line.data() + line.size(), out, has_underscore, error);
}

namespace {

// What fields say about the message itself.
struct Facts {
  std::string_view host, length, coding, expect;
  int hosts = 0, lengths = 0, codings = 0, expects = 0;
  size_t options = 0;  // of Connection
  bool close = false;
  bool keep_alive = false;
  bool upgrade_option = false;
  bool upgrade_field = false;
};

void note_option(std::string_view option, Facts& facts) {
  ++facts.options;
  if (core::iequals(option, "keep-alive")) facts.keep_alive = true;
  else if (core::iequals(option, "close")) facts.close = true;
  else if (core::iequals(option, "upgrade")) facts.upgrade_option = true;
}

// RFC 9110 7.6.1: a list of options.
void note_connection(std::string_view value, Facts& facts) {
  if (value == "keep-alive") {  // nearly always
    facts.keep_alive = true;
    return;
  }
  while (true) {
    const size_t comma = value.find(',');
    note_option(trim_blanks(value.substr(0, comma)), facts);
    if (comma == std::string_view::npos) return;
    value.remove_prefix(comma + 1);
  }
}

void note(const Header& field, Facts& facts) {
  switch (field.id) {
    case HeaderId::host:
      facts.host = field.value;
      ++facts.hosts;
      return;
    case HeaderId::content_length:
      facts.length = field.value;
      ++facts.lengths;
      return;
    case HeaderId::transfer_encoding:
      facts.coding = field.value;
      ++facts.codings;
      return;
    case HeaderId::expect:
      facts.expect = field.value;
      ++facts.expects;
      return;
    case HeaderId::connection: note_connection(field.value, facts); return;
    case HeaderId::upgrade: facts.upgrade_field = !field.value.empty(); return;
    default: return;
  }
}

bool is_line_end(const char* at, const char* end) { return end - at >= 2 && at[0] == '\r' && at[1] == '\n'; }

// All field lines up to the empty one. dropped: where to count names with underscores that are left out; null: none are.
bool parse_fields(const char* at, const char* end, const Limits& limits, Headers& headers, uint32_t* dropped, Facts& facts,
                  ParseError& error) {
  size_t lines = 0;
  Header field{};
  core::Controls controls(at, end);
  while (*at != '\r') {
    const char* const stop = controls.next(at);
    if (!is_line_end(stop, end)) return refuse(error, 400, "control-byte", "a control byte in a field line");
    bool has_underscore = false;
    if (!read_field(at, stop, field, has_underscore, error)) return false;
    at = stop + 2;
    if (++lines > limits.headers) return refuse(error, 431, "too-many-fields", "too many fields");
    if (has_underscore && dropped != nullptr) {
      ++*dropped;
      continue;
    }
    headers.add(field.id, field.name, field.value);
    note(field, facts);
  }
  if (at + 2 != end) return refuse(error, 400, "bad-head", "an empty line within the head");
  if (facts.options > max_options) return refuse(error, 400, "too-many-options", "too many options in Connection");
  return true;
}

}  // namespace

bool parse_length(std::string_view text, uint64_t& length) {
  if (text.empty() || text.size() > 19) return false;
  length = 0;
  for (const char c : text) {
    if (!core::is_digit(c)) return false;
    length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  return length <= uint64_t{INT64_MAX};
}

namespace {

// RFC 9112 6.3 as far as requests and responses agree: at most one of the two, once, in its plain form.
bool frame(const Facts& facts, int minor_version, Body& body, ParseError& error) {
  body = Body{};
  if (facts.lengths == 0 && facts.codings == 0) return true;
  if (facts.lengths != 0 && facts.codings != 0) {
    return refuse(error, 400, "both-lengths", "Content-Length and Transfer-Encoding together");
  }
  if (facts.codings != 0) {
    if (minor_version == 0) return refuse(error, 400, "coding-in-1.0", "Transfer-Encoding in HTTP/1.0");
    if (facts.codings > 1 || !core::iequals(facts.coding, "chunked")) {
      return refuse(error, 501, "bad-coding", "a transfer coding other than chunked");
    }
    body.framing = Framing::chunked;
    return true;
  }
  if (facts.lengths > 1) return refuse(error, 400, "two-lengths", "more than one Content-Length");
  if (!parse_length(facts.length, body.length)) return refuse(error, 400, "bad-length", "Content-Length is not a length");
  body.framing = Framing::length;
  return true;
}

// RFC 9112 9.3.
bool keeps_alive(const Facts& facts, int minor_version) { return !facts.close && (minor_version > 0 || facts.keep_alive); }

// Whether the head is delimited as the scanner does it; all loops rely on it, that over the start line on a line's end.
bool is_delimited(std::string_view head) { return head.size() >= 4 && head.substr(head.size() - 4) == "\r\n\r\n"; }
bool ends_line(std::string_view head) { return head.size() >= 2 && head.substr(head.size() - 2) == "\r\n"; }

// ---------------------------------------------------------------- requests

// "HTTP/1.1" CRLF; moves `at` behind it (RFC 9112 2.3).
bool parse_version(const char*& at, const char* end, int& minor_version, ParseError& error) {
  const size_t left = static_cast<size_t>(end - at);
  if (left >= 10 && std::memcmp(at, "HTTP/1.1\r\n", 10) == 0) {
    minor_version = 1;
    at += 10;
    return true;
  }
  if (left < 10 || std::memcmp(at, "HTTP/", 5) != 0 || !core::is_digit(at[5]) || at[6] != '.' || !core::is_digit(at[7]) ||
      at[8] != '\r' || at[9] != '\n' || at[5] == '0') {
    return refuse(error, 400, "bad-version", "the request line does not end with HTTP/1.x");
  }
  if (at[5] != '1' || at[7] > '1') return refuse(error, 505, "version", "a version other than HTTP/1.0 and HTTP/1.1");
  minor_version = at[7] - '0';
  at += 10;
  return true;
}

}  // namespace

bool check_method(RequestHead& out, ParseError& error) {
  out.method = method_id(out.method_text);
  if (out.method == Method::connect || out.method == Method::trace) {
    return refuse(error, 405, "method", "CONNECT and TRACE are not served");
  }
  if (out.method != Method::other) return true;
  for (int i = 0; i < static_cast<int>(Method::other); ++i) {
    if (core::iequals(out.method_text, method_name(static_cast<Method>(i)))) {
      return refuse(error, 501, "method-case", "a method in lower case");
    }
  }
  return true;
}

namespace {

// scheme "://" authority path-and-query (RFC 9112 3.2.2). True: host is set and `rest` is what follows it.
bool split_absolute(std::string_view target, RequestHead& out, std::string_view& rest) {
  const size_t colon = target.find("://");
  if (colon == std::string_view::npos) return false;
  out.scheme = target.substr(0, colon);
  if (!core::iequals(out.scheme, "http") && !core::iequals(out.scheme, "https")) return false;
  rest = target.substr(colon + 3);
  out.host = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(out.host.size());
  return !out.host.empty();
}

// Path and query from what begins with '/' or '?' or is empty. A raw backslash is refused in the path only: browsers send
// it in queries.
bool take_path(std::string_view rest, RequestHead& out, ParseError& error) {
  size_t n = 0;
  while (n < rest.size() && (class_of(rest[n]) & in_path)) ++n;
  if (n < rest.size() && rest[n] == '\\') return refuse(error, 400, "bad-target", "a backslash in the path");
  out.path = n == 0 ? std::string_view("/") : rest.substr(0, n);
  out.has_query = n < rest.size();
  if (out.has_query) out.query = rest.substr(n + 1);
  return true;
}

// RFC 9112 3.2. Requires: no byte but those of a target.
bool understand_target(RequestHead& out, ParseError& error) {
  std::string_view rest = out.target;
  if (out.target.front() == '/') {
    out.form = RequestHead::Form::origin;
    return take_path(rest, out, error);
  }
  if (out.target == "*" && out.method == Method::options) {
    out.form = RequestHead::Form::asterisk;
    out.path = out.target;
    return true;
  }
  if (!split_absolute(out.target, out, rest)) {
    out.host = {};
    return refuse(error, 400, "bad-target", "a request target that is neither a path nor an http URL");
  }
  out.form = RequestHead::Form::absolute;
  if (rest.empty() && out.method == Method::options) {  // RFC 9112 3.2.4: the last proxy sends "*"
    out.form = RequestHead::Form::asterisk;
    out.path = "*";
    return true;
  }
  return take_path(rest, out, error);
}

// method SP target SP version CRLF (RFC 9112 3).
bool read_request_line(const char*& at, const char* end, RequestHead& out, ParseError& error) {
  for (int i = 0; i < max_leading_lines && at[0] == '\r' && at[1] == '\n' && end - at > 4; ++i) at += 2;
  const char* p = at;
  while (class_of(*p) & in_token) ++p;
  out.method_text = {at, static_cast<size_t>(p - at)};
  if (out.method_text.empty() || out.method_text.size() > max_method || *p != ' ') {
    out.method_text = {};
    return refuse(error, 400, "bad-method", "the request line does not begin with a method and a blank");
  }
  const char* const target = ++p;
  while (class_of(*p) & in_uri) ++p;
  out.has_strays = (class_of(*p) & in_target) != 0;
  while (class_of(*p) & in_target) ++p;
  out.target = {target, static_cast<size_t>(p - target)};
  if (*p == '\r' && !out.target.empty()) return refuse(error, 400, "no-version", "a request line of HTTP/0.9");
  if (*p != ' ' || out.target.empty()) return refuse(error, 400, "bad-target", "a byte in the request target that may not be there");
  at = p + 1;
  return check_method(out, error) && parse_version(at, end, out.minor_version, error) && understand_target(out, error);
}

}  // namespace

bool check_target(RequestHead& out, ParseError& error) {
  const auto all = [&](uint8_t wanted) { return std::all_of(out.target.begin(), out.target.end(), [wanted](char c) { return (class_of(c) & wanted) != 0; }); };
  out.has_strays = !all(in_uri);
  if (out.target.empty() || (out.has_strays && !all(in_target))) return refuse(error, 400, "bad-target", "a byte in the request target that may not be there");
  return understand_target(out, error);
}

bool is_continue(std::string_view expectation) { return core::iequals(expectation, "100-continue"); }

// A field that says who the client is must not come in late, known by number or not.
bool passes_in_trailers(HeaderId id, std::string_view name) {
  return allowed_in_trailers(id) && !core::istarts_with(name, "x-forwarded-") && !core::istarts_with(name, "x-real-");
}

namespace {

// RFC 9110 7.2, RFC 9112 3.2: one Host, well-formed, and no contradiction to the target.
bool check_host(const Facts& facts, core::Arena& arena, RequestHead& out, ParseError& error) {
  if (facts.hosts > 1) return refuse(error, 400, "two-hosts", "more than one Host");
  if (!out.host.empty() && (out.host = canonical_authority(out.host, arena)).empty()) return refuse(error, 400, "bad-target", "the request target is no URL with a host");
  if (facts.hosts == 0) {
    if (out.minor_version > 0) return refuse(error, 400, "no-host", "an HTTP/1.1 request without Host");
    return true;
  }
  const std::string_view host = canonical_authority(facts.host, arena);
  if (host.empty()) return refuse(error, 400, "bad-host", "Host is not a host with an optional port");
  if (host.data() != facts.host.data()) out.headers.set(HeaderId::host, host);
  if (out.host.empty()) {
    out.host = host;
    return true;
  }
  if (!same_authority(out.host, host, out.scheme)) {
    return refuse(error, 400, "host-mismatch", "the request target names another host than Host");
  }
  return true;
}

// RFC 9110 10.1.1: 100-continue is the only expectation there is; HTTP/1.0 has none.
bool check_expect(const Facts& facts, RequestHead& out, ParseError& error) {
  if (facts.expects == 0) return true;
  if (facts.expects > 1 || !is_continue(facts.expect)) {
    return refuse(error, 417, "expect", "an expectation other than 100-continue");
  }
  out.expect_continue = out.minor_version > 0;
  return true;
}

}  // namespace

bool parse_request_line(std::string_view lines, RequestHead& out, ParseError& error) {
  const char* at = lines.data();
  return read_request_line(at, at + lines.size(), out, error);
}

bool parse_request(std::string_view head, core::Arena& arena, const Limits& limits, RequestHead& out, ParseError& error) {
  if (!ends_line(head)) return refuse(error, 400, "bad-head", "the head does not end with an empty line");
  const char* at = head.data();
  const char* const end = at + head.size();
  if (!read_request_line(at, end, out, error)) return false;
  if (!is_delimited(head)) return refuse(error, 400, "bad-head", "the head does not end with an empty line");
  Facts facts;
  if (!parse_fields(at, end, limits, out.headers, &out.dropped, facts, error)) return false;
  if (!frame(facts, out.minor_version, out.body, error) || !check_host(facts, arena, out, error) || !check_expect(facts, out, error)) {
    return false;
  }
  out.keep_alive = keeps_alive(facts, out.minor_version);
  const bool has_content = out.body.framing == Framing::chunked || out.body.length != 0;
  out.upgrade = facts.upgrade_option && facts.upgrade_field && out.minor_version > 0 && !has_content;
  return true;
}

// ---------------------------------------------------------------- responses

namespace {

// version SP status [SP reason] CRLF (RFC 9112 4). The blank before an empty reason is often forgotten.
bool parse_status_line(const char*& at, const char* end, ResponseHead& out, ParseError& error) {
  const bool shaped = end - at >= 14 && std::memcmp(at, "HTTP/1.", 7) == 0 && core::is_digit(at[7]) && at[8] == ' ' &&
                      at[9] >= '1' && at[9] <= '9' && core::is_digit(at[10]) && core::is_digit(at[11]);
  if (!shaped || (at[12] != ' ' && at[12] != '\r')) return refuse(error, 502, "bad-status-line", "a malformed status line");
  out.minor_version = at[7] == '0' ? 0 : 1;
  out.status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0');
  const char* const reason = at[12] == ' ' ? at + 13 : at + 12;
  const char* const stop = core::find_control(reason, end);
  if (!is_line_end(stop, end)) return refuse(error, 502, "control-byte", "a control byte in the status line");
  out.reason = {reason, static_cast<size_t>(stop - reason)};
  at = stop + 2;
  return true;
}

bool has_no_content(int status, Method request_method) {
  return request_method == Method::head || status < 200 || status == 204 || status == 304;
}

}  // namespace

bool parse_response(std::string_view head, core::Arena&, const Limits& limits, Method request_method, ResponseHead& out,
                    ParseError& error) {
  if (!is_delimited(head)) return refuse(error, 502, "bad-head", "the head does not end with an empty line");
  const char* at = head.data();
  const char* const end = at + head.size();
  if (!parse_status_line(at, end, out, error)) return false;
  Facts facts;
  if (!parse_fields(at, end, limits, out.headers, nullptr, facts, error) || !frame(facts, out.minor_version, out.body, error)) {
    error.status = 502;
    return false;
  }
  out.keep_alive = keeps_alive(facts, out.minor_version);
  if (has_no_content(out.status, request_method)) {
    out.body = Body{};
  } else if (out.body.framing == Framing::none) {
    out.body.framing = Framing::until_close;
    out.keep_alive = false;
  }
  return true;
}

}  // namespace goma::http
