// SPDX-License-Identifier: Apache-2.0
//
// Scanning, mending, and what the parser's words mean here.
#include "http/h1_response.h"

#include <algorithm>
#include <cstring>

#include "core/text.h"

namespace goma::http {

namespace {

constexpr int max_leading_lines = 4;
constexpr std::string_view beginning = "HTTP/1.";

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trim_end(std::string_view text) {
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  return trim_end(text);
}

// Without the CR of its end; says whether there was one.
bool drop_cr(std::string_view& line) {
  if (line.empty() || line.back() != '\r') return false;
  line.remove_suffix(1);
  return true;
}

}  // namespace

// ---------------------------------------------------------------- where a head ends

ResponseScanner::State ResponseScanner::feed(const char* begin, size_t total, const ResponseLimits& limits) {
  while (true) {
    const auto* lf = static_cast<const char*>(std::memchr(begin + scanned_, '\n', total - scanned_));
    if (lf == nullptr) break;
    const char* const start = begin + line_start_;
    scanned_ = line_start_ = static_cast<size_t>(lf - begin) + 1;
    std::string_view line(start, static_cast<size_t>(lf - start));
    if (!drop_cr(line)) untidy_ = true;
    // Nearly every line is one more field within bounds.
    if (lines_ != 0 && lines_ <= limits.headers && !line.empty() && scanned_ <= limits.head_bytes) {
      ++lines_;
      continue;
    }
    const State state = line_complete(line, limits);
    if (state != State::more) return state;
  }
  scanned_ = total;
  std::string_view rest(begin + line_start_, total - line_start_);
  drop_cr(rest);
  if (lines_ == 0 && rest.substr(0, beginning.size()) != beginning.substr(0, rest.size())) return refuse(Failure::Kind::bad_status_line, "not HTTP/1");
  if (total >= limits.head_bytes) return refuse(Failure::Kind::header_too_large, "the response head is longer than networking.backendMaxHeaderBytes");
  return State::more;
}

ResponseScanner::State ResponseScanner::line_complete(std::string_view line, const ResponseLimits& limits) {
  if (line.empty() && lines_ == 0) {
    untidy_ = true;
    return ++leading_ > max_leading_lines ? refuse(Failure::Kind::bad_status_line, "empty lines in place of a response") : State::more;
  }
  if (lines_ == 0 && !line.starts_with(beginning)) return refuse(Failure::Kind::bad_status_line, "not HTTP/1");
  if (line_start_ > limits.head_bytes) return refuse(Failure::Kind::header_too_large, "the response head is longer than networking.backendMaxHeaderBytes");
  if (line.empty()) return State::complete;
  if (lines_++ > limits.headers) return refuse(Failure::Kind::too_many_headers, "the response has more fields than networking.backendMaxHeaders");
  return State::more;
}

ResponseScanner::State ResponseScanner::refuse(Failure::Kind kind, std::string_view text) {
  fault_ = {kind, text};
  return State::bad;
}

// ---------------------------------------------------------------- mending

namespace {

// The value that all members of all these lists have; empty: there are several, or none.
std::string_view common_member(std::string_view list, std::string_view before) {
  std::string_view common = before;
  while (true) {
    const size_t comma = list.find(',');
    const std::string_view member = trim_blanks(list.substr(0, comma));
    if (member.empty() || (!common.empty() && member != common)) return {};
    common = member;
    if (comma == std::string_view::npos) return common;
    list.remove_prefix(comma + 1);
  }
}

// Writes a head line by line into memory as large as the original with every line end made CRLF.
class Mender {
 public:
  Mender(std::string_view head, core::Arena& arena, Oddities& oddities)
      : begin_(arena.array<char>(head.size() + most_added * static_cast<size_t>(std::count(head.begin(), head.end(), '\n')))), out_(begin_), oddities_(oddities) {}

  void line(std::string_view line) {
    if (line.empty() && lines_ == 0) return oddities_.add(Failure::Kind::empty_line);
    if (lines_ > 1 && !dropped_ && !line.empty() && is_blank(line.front())) return fold(line);
    dropped_ = false;
    if (lines_++ == 0 || line.empty()) return put_line(line);
    field(line);
  }
  std::string_view text() const { return {begin_, static_cast<size_t>(out_ - begin_)}; }

 private:
  void put(std::string_view text) {
    if (!text.empty()) std::memcpy(out_, text.data(), text.size());
    out_ += text.size();
  }
  void put_line(std::string_view line) {
    put(line);
    put("\r\n");
  }
  // Goes on where the line before ended. A length that goes on is none, so what is mended stays one field.
  void fold(std::string_view line) {
    oddities_.add(Failure::Kind::folded_line);
    out_ -= 2;
    while (is_blank(out_[-1])) --out_;
    put(" ");
    put_line(trim_blanks(line));
  }
  void field(std::string_view line) {
    const size_t colon = std::min(line.find(':'), line.size());
    const std::string_view name = trim_end(line.substr(0, colon));
    if (name.size() != colon && colon != line.size() && !name.empty()) oddities_.add(Failure::Kind::blank_before_colon);
    if (!core::iequals(name, "content-length") || colon == line.size()) {
      put(colon == line.size() ? line : name);
      return put_line(line.substr(colon));
    }
    length(trim_blanks(line.substr(colon + 1)));
  }
  // The same length again says nothing; another one is left for the parser to see.
  void length(std::string_view value) {
    const std::string_view common = common_member(value, length_);
    if (common.empty()) {
      put("Content-Length: ");
      return put_line(value);
    }
    if (!length_.empty() || common.size() != value.size()) oddities_.add(Failure::Kind::repeated_length);
    dropped_ = !length_.empty();
    if (dropped_) return;
    length_ = common;
    put("Content-Length: ");
    put_line(common);
  }

  static constexpr size_t most_added = 2;  // to a line: a CR, and the blank of a length

  char* const begin_;
  char* out_;
  Oddities& oddities_;
  size_t lines_ = 0;
  bool dropped_ = false;     // the line before: it cannot go on, and what tries to is a fault
  std::string_view length_;  // that was written
};

}  // namespace

std::string_view mend_response(std::string_view head, core::Arena& arena, Oddities& oddities) {
  Mender mender(head, arena, oddities);
  while (!head.empty()) {
    const size_t lf = head.find('\n');
    if (lf == std::string_view::npos) break;
    std::string_view line = head.substr(0, lf);
    head.remove_prefix(lf + 1);
    if (!drop_cr(line)) oddities.add(Failure::Kind::bare_lf);
    mender.line(line);
  }
  return mender.text();
}

// ---------------------------------------------------------------- understanding

namespace {

Failure::Kind kind_of(std::string_view code) {
  static constexpr struct {
    std::string_view code;
    Failure::Kind kind;
  } kinds[] = {
      {"bad-status-line", Failure::Kind::bad_status_line}, {"control-byte", Failure::Kind::control_byte},  {"bad-head", Failure::Kind::control_byte},
      {"too-many-fields", Failure::Kind::too_many_headers}, {"both-lengths", Failure::Kind::both_lengths},  {"coding-in-1.0", Failure::Kind::bad_coding},
      {"bad-coding", Failure::Kind::bad_coding},            {"two-lengths", Failure::Kind::conflicting_lengths}, {"bad-length", Failure::Kind::bad_length},
  };
  for (const auto& entry : kinds) {
    if (entry.code == code) return entry.kind;
  }
  return Failure::Kind::bad_header;
}

// What the text of a length says more exactly than the parser does: "8, 9" is no length, but two.
void refine(std::string_view head, ResponseFault& fault) {
  if (fault.kind != Failure::Kind::bad_length) return;
  const size_t at = head.find("Content-Length: ");
  const std::string_view value = at != std::string_view::npos ? head.substr(at, head.find('\r', at) - at) : std::string_view();
  if (value.find(',') != std::string_view::npos) fault = {Failure::Kind::conflicting_lengths, "more than one Content-Length"};
}

}  // namespace

bool read_odd_response(std::string_view head, core::Arena& arena, const ResponseLimits& limits, Method request_method, ResponseHead& out,
                       Oddities& oddities, ResponseFault& fault) {
  const std::string_view mended = mend_response(head, arena, oddities);
  if (!oddities.empty() && limits.strict) {
    oddities.each([&](Failure::Kind kind) { fault = {kind, "networking.backendStrict refuses this"}; });
    return false;
  }
  out.headers = Headers(arena);
  ParseError error;
  if (parse_response(mended, arena, {.headers = limits.headers}, request_method, out, error)) return true;
  fault = {kind_of(error.code), error.text};
  refine(mended, fault);
  return false;
}

}  // namespace goma::http
