// SPDX-License-Identifier: Apache-2.0
//
// Choosing a form of answer from Accept (RFC 9110 12.5.1), and writing it.
#include "http/error_page.h"

#include <charconv>

#include "core/text.h"
#include "http/message.h"

namespace goma::http {

namespace {

enum class Form : unsigned char { text, json, xml };

// Steps through a JSON text without recursion.
class JsonText {
 public:
  explicit JsonText(std::string_view text) : text_(text) {}

  bool valid() {
    if (!value()) return false;
    while (depth_ > 0) {
      if (!more()) return false;
    }
    skip();
    return at_ == text_.size();
  }

 private:
  static constexpr int max_depth = 64;

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  void skip() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }
  bool in_object() const { return (objects_ >> (depth_ - 1) & 1) != 0; }

  // A scalar, an empty container, or the beginning of a container and its first value's key.
  bool value() {
    for (;;) {
      skip();
      const bool object = peek() == '{';
      if (!object && peek() != '[') return scalar();
      if (depth_ == max_depth) return false;
      ++at_;
      skip();
      if (take(object ? '}' : ']')) return true;
      objects_ = (objects_ & ~(uint64_t{1} << depth_)) | uint64_t{object} << depth_;
      ++depth_;
      if (object && !key()) return false;
    }
  }
  // What follows a value inside a container.
  bool more() {
    skip();
    const bool object = in_object();
    if (take(object ? '}' : ']')) {
      --depth_;
      return true;
    }
    return take(',') && (!object || key()) && value();
  }
  bool key() {
    skip();
    if (!string()) return false;
    skip();
    return take(':');
  }
  bool scalar() {
    if (peek() == '"') return string();
    return take("true") || take("false") || take("null") || number();
  }
  bool string() {
    if (!take('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !escape()) return false;
    }
    return false;
  }
  bool escape() {
    const char c = peek();
    if (c == '\0' || std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos) return false;
    ++at_;
    for (int i = 0; c == 'u' && i < 4; ++i, ++at_) {
      if (!core::is_digit(peek()) && (core::lower(peek()) < 'a' || core::lower(peek()) > 'f')) return false;
    }
    return true;
  }
  bool digits() {
    const size_t begin = at_;
    while (core::is_digit(peek())) ++at_;
    return at_ > begin;
  }
  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (core::lower(peek()) != 'e') return true;
    ++at_;
    if (!take('+')) take('-');
    return digits();
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  uint64_t objects_ = 0;  // bit per open container: an object, not an array
};

// What a media range stands for; false for one that no form serves.
bool form_of(std::string_view range, Form& form) {
  const size_t slash = range.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view type = range.substr(0, slash);
  const std::string_view subtype = range.substr(slash + 1);
  const auto suffix = [&](std::string_view plus) { return subtype.size() > plus.size() && core::iequals(subtype.substr(subtype.size() - plus.size()), plus); };
  if (core::iequals(type, "text") && !core::iequals(subtype, "xml")) {
    form = Form::text;
    return true;
  }
  if (core::iequals(subtype, "xml") || suffix("+xml")) {
    form = Form::xml;
    return true;
  }
  if (core::iequals(type, "application") && (core::iequals(subtype, "json") || subtype == "*" || suffix("+json"))) {
    form = Form::json;
    return true;
  }
  form = Form::text;
  return type == "*" && subtype == "*";
}

// The weight of a media range in thousandths (RFC 9110 12.4.2); a malformed one counts as absent.
int weight_of(std::string_view parameters) {
  for (std::string_view parameter : core::split(parameters, ';')) {
    parameter = core::trim(parameter);
    if (!core::istarts_with(parameter, "q=")) continue;
    parameter.remove_prefix(2);
    if (parameter.empty() || (parameter.front() != '0' && parameter.front() != '1')) return 1000;
    int weight = (parameter.front() - '0') * 1000;
    int unit = 100;
    for (size_t i = 2; i < parameter.size() && i < 5 && core::is_digit(parameter[i]); ++i, unit /= 10) weight += (parameter[i] - '0') * unit;
    return weight > 1000 ? 1000 : weight;
  }
  return 1000;
}

// The form the client likes best; of equals the first. Browsers put text/html first, and that is answered with text.
Form choose(std::string_view accept) {
  Form best = Form::text;
  int best_weight = 0;
  for (std::string_view item : core::split(accept, ',')) {
    const size_t semicolon = item.find(';');
    const int weight = semicolon == std::string_view::npos ? 1000 : weight_of(item.substr(semicolon + 1));
    Form form = Form::text;
    if (weight <= best_weight || !form_of(core::trim(item.substr(0, semicolon)), form)) continue;
    best = form;
    best_weight = weight;
  }
  return best;
}

std::string_view decimal(core::Arena& arena, int number) {
  char* place = arena.array<char>(12);
  return {place, static_cast<size_t>(std::to_chars(place, place + 12, number).ptr - place)};
}

bool is_simple(std::string_view text) {
  for (char c : text) {
    if (c < 0x20 || c == 0x7f || c == '"' || c == '\'' || c == '\\' || c == '<' || c == '>' || c == '&') return false;
  }
  return true;
}

// A string as Go's encoding/json writes it, without its quotes.
std::string_view json_escaped(core::Arena& arena, std::string_view text) {
  if (is_simple(text)) return text;
  static constexpr char hex[] = "0123456789abcdef";
  std::string out;
  for (char32_t c : core::decode_utf8(text)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
      out += "\\u00";
      out += hex[c >> 4 & 15];
      out += hex[c & 15];
    } else if (c == 0x2028 || c == 0x2029) {
      out += c == 0x2028 ? "\\u2028" : "\\u2029";
    } else {
      core::append_utf8(out, c);
    }
  }
  return arena.copy(out);
}

// As Go's html.EscapeString.
std::string_view html_escaped(core::Arena& arena, std::string_view text) {
  if (is_simple(text)) return text;
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return arena.copy(out);
}

std::string_view json_body(core::Arena& arena, int status, std::string_view message) {
  if (is_json(message)) return message;
  return arena.join("{\"success\":false,\"statusCode\":", decimal(arena, status), ",\"error\":\"", json_escaped(arena, message), "\"}\n");
}

std::string_view xml_body(core::Arena& arena, int status, std::string_view message) {
  return arena.join("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n\t<success>false</success>\n\t<statusCode>",
                    decimal(arena, status), "</statusCode>\n\t<error>", html_escaped(arena, message), "</error>\n</error>\n");
}

}  // namespace

bool is_json(std::string_view text) { return JsonText(text).valid(); }

ErrorBody make_error_body(core::Arena& arena, std::string_view accept, std::string_view request_content_type, int status,
                          std::string_view message) {
  switch (choose(accept.empty() ? request_content_type : accept)) {
    case Form::json: return {"application/json", json_body(arena, status, message), false};
    case Form::xml: return {"application/xhtml+xml", xml_body(arena, status, message), false};
    case Form::text: break;
  }
  return {"text/plain; charset=utf-8", arena.join(message, "\n"), true};
}

std::string_view default_message(core::Arena& arena, int status) {
  return arena.join(decimal(arena, status), " ", reason_phrase(status));
}

std::string_view redirect_body(core::Arena& arena, std::string_view location, int status) {
  return arena.join("<a href=\"", html_escaped(arena, location), "\">", reason_phrase(status), "</a>.\n\n");
}

}  // namespace goma::http
