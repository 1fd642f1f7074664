// SPDX-License-Identifier: Apache-2.0
//
// What was packed is read as it was written, and a text that was cut anywhere says so.
#include "core/pack.h"

#include <string>

#include "check.h"

using goma::core::Pack;
using goma::core::Unpack;

namespace {

void packs_are_read_as_written() {
  const std::string bytes = Pack().number(42).text("").text(std::string("a\0b", 3)).number(~uint64_t{0}).bytes();
  Unpack whole(bytes);
  CHECK_EQ(whole.number(), 42U);
  CHECK_EQ(whole.text(), "");
  CHECK_EQ(whole.text(), std::string("a\0b", 3));
  CHECK_EQ(whole.number(), ~uint64_t{0});
  CHECK(whole.ok());
  CHECK_EQ(whole.number(), 0U);
  CHECK(!whole.ok());
  for (size_t n = 0; n < bytes.size(); ++n) {
    Unpack cut(std::string_view(bytes).substr(0, n));
    cut.number(), cut.text(), cut.text(), cut.number();
    CHECK(!cut.ok());
  }
}

}  // namespace

GOMA_TESTS(packs_are_read_as_written)
