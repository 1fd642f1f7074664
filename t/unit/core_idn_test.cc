// SPDX-License-Identifier: Apache-2.0
//
// Names beyond ASCII become what clients send, or are refused with a reason.
#include "core/idn.h"

#include "check.h"

using goma::core::to_a_label;
using goma::core::to_u_label;

namespace {

void names_become_a_labels() {
  const std::pair<const char*, const char*> cases[] = {
      {"münchen.test", "xn--mnchen-3ya.test"}, {"MÜNCHEN.Test", "xn--mnchen-3ya.test"}, {"mu\u0308nchen.test", "xn--mnchen-3ya.test"},
      {"straße.test", "xn--strae-oqa.test"},   {"例え。テスト", "xn--r8jz45g.xn--zckzah"}, {"A_b.TEST", "a_b.test"},
      {"xn--mnchen-3ya.test", "xn--mnchen-3ya.test"}, {"127.0.0.1", "127.0.0.1"}, {"", ""}};
  for (const auto& [name, label] : cases) {
    const auto made = to_a_label(name);
    CHECK(made.ok());
    CHECK_EQ(made.value(), label);
  }
}

void what_is_no_name_is_refused_with_a_reason() {
  std::string long_label;
  for (int i = 0; i < 80; ++i) long_label += "ü";
  for (const std::string& name : {std::string("\xC3.test"), std::string("\u0640.test"), std::string("\u200B\u0301.test"), long_label + ".test",
                                  std::string("a\uFF0Fb.test"), std::string("a\uFF052e.test"), std::string("\u012F\uFF1A80"), std::string("\u012F.%2B")}) {
    const auto made = to_a_label(name);
    CHECK(!made.ok());
    CHECK(!made.error().text.empty());
  }
}

void people_read_u_labels() {
  CHECK_EQ(to_u_label("www.xn--mnchen-3ya.test"), "www.münchen.test");
  CHECK_EQ(to_u_label("*.xn--mnchen-3ya.test"), "*.münchen.test");
  CHECK_EQ(to_u_label("plain.test"), "plain.test");
  CHECK_EQ(to_u_label("xn--.test"), "xn--.test");
}

}  // namespace

GOMA_TESTS(names_become_a_labels, what_is_no_name_is_refused_with_a_reason, people_read_u_labels)
