// SPDX-License-Identifier: Apache-2.0
//
// Error bodies byte by byte (goma-config 15) and redirect bodies (10.28).
#include "http/error_page.h"

#include "check.h"

using goma::http::ErrorBody;

namespace {

goma::core::ChunkPool pool;

struct Page {
  std::string type, body;
  bool nosniff;
  Page(std::string_view accept, std::string_view content_type, std::string_view message, int status = 403) {
    goma::core::Arena arena(pool);
    const ErrorBody made = goma::http::make_error_body(arena, accept, content_type, status, message);
    type = made.content_type;
    body = made.body;
    nosniff = made.nosniff;
  }
};

void exact_rows() {
  const Page json("application/json", "", "403 Forbidden");
  CHECK_EQ(json.type, "application/json");
  CHECK_EQ(json.body, "{\"success\":false,\"statusCode\":403,\"error\":\"403 Forbidden\"}\n");
  CHECK(!json.nosniff);
  for (const char* accept : {"application/xml", "text/xml", "application/xhtml+xml"}) {
    const Page xml(accept, "", "a < \"b\" & 'c'");
    CHECK_EQ(xml.type, "application/xhtml+xml");
    CHECK_EQ(xml.body,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n\t<success>false</success>\n\t<statusCode>403</statusCode>\n"
             "\t<error>a &lt; &#34;b&#34; &amp; &#39;c&#39;</error>\n</error>\n");
  }
  const Page text("*/*", "application/json", "502 Bad Gateway ", 502);
  CHECK_EQ(text.type, "text/plain; charset=utf-8");
  CHECK_EQ(text.body, "502 Bad Gateway \n");
  CHECK(text.nosniff);
}

std::string form(std::string_view accept, std::string_view content_type = "") {
  const std::string type = Page(accept, content_type, "m").type;
  return type == "application/json" ? "json" : type == "application/xhtml+xml" ? "xml" : "text";
}

void accept_decides() {
  const std::pair<const char*, const char*> rows[] = {
      {"application/json, text/plain, */*", "json"},
      {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "text"},
      {"text/html, application/json;q=0.5", "text"},
      {"application/json;q=0.5, application/xml", "xml"},
      {"application/json;q=0, */*", "text"},
      {"application/problem+json", "json"},
      {"application/soap+xml; charset=utf-8", "xml"},
      {"APPLICATION/JSON", "json"},
      {"application/*", "json"},
      {"text/*, application/json", "text"},
      {"*/*;q=0.1, application/json;q=0.11", "json"},
      {"image/png", "text"},
      {"application/json;q=0.999999999999, text/plain;q=1", "text"},
      {"application/json;q=x", "json"},
      {",,;;=/", "text"},
      {"json", "text"},
  };
  for (const auto& [accept, expected] : rows) CHECK_EQ(std::string(accept) + " " + form(accept), std::string(accept) + " " + expected);
}

void content_type_counts_without_accept() {
  CHECK_EQ(form("", "application/json"), "json");
  CHECK_EQ(form("", "application/json; charset=utf-8"), "json");
  CHECK_EQ(form("", "multipart/form-data"), "text");
  CHECK_EQ(form("text/plain", "application/json"), "text");
  CHECK_EQ(form("", ""), "text");
}

void json_escapes_like_go() {
  const Page page("application/json", "", "<a> & \"b\" \\ \n\t\x01 \xc3\xa9 \xe2\x80\xa8 \xff");
  CHECK_EQ(page.body,
           "{\"success\":false,\"statusCode\":403,\"error\":\"\\u003ca\\u003e \\u0026 \\\"b\\\" \\\\ \\n\\t\\u0001 \xc3\xa9 \\u2028 \xef\xbf\xbd\"}\n");
}

void json_messages_are_sent_raw() {
  CHECK_EQ(Page("application/json", "", "{\"gone\":\"tomorrow\"}").body, "{\"gone\":\"tomorrow\"}");
  CHECK_EQ(Page("application/json", "", "404").body, "404");
  CHECK_EQ(Page("*/*", "", "{\"gone\":\"tomorrow\"}").body, "{\"gone\":\"tomorrow\"}\n");
}

void json_is_recognised() {
  for (const char* good : {"{}", "[]", " [1, -2.5e+3, \"a\\u00e9\\n\", true, null, {\"a\": {\"b\": []}}] ", "0", "\"\"", "[[],[{}],{\"x\":[1]}]"}) {
    CHECK_EQ(std::string(good) + (goma::http::is_json(good) ? " yes" : " no"), std::string(good) + " yes");
  }
  for (const char* bad : {"", " ", "{", "]", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "01", "1.", "1e", "-", "\"", "\"\n\"", "\"\\x\"", "\"\\u12\"",
                          "[1}", "{\"a\":1]", "[1] 2", "nul", "403 Forbidden", "[1 2]", "{\"a\":1,}", "+1", ",", "[,1]"}) {
    CHECK_EQ(std::string(bad) + (goma::http::is_json(bad) ? " yes" : " no"), std::string(bad) + " no");
  }
  CHECK(goma::http::is_json(std::string(64, '[') + std::string(64, ']')));
  CHECK(!goma::http::is_json(std::string(65, '[') + std::string(65, ']')));
  CHECK(!goma::http::is_json(std::string("1\0", 2)));
}

void other_texts() {
  goma::core::Arena arena(pool);
  CHECK_EQ(goma::http::default_message(arena, 403), "403 Forbidden");
  CHECK_EQ(goma::http::redirect_body(arena, "https://h/a?x=1&y=\"2\"", 301),
           "<a href=\"https://h/a?x=1&amp;y=&#34;2&#34;\">Moved Permanently</a>.\n\n");
}

}  // namespace

GOMA_TESTS(exact_rows, accept_decides, content_type_counts_without_accept, json_escapes_like_go, json_messages_are_sent_raw, json_is_recognised,
           other_texts)
