// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a configuration: the composer, every trap's wording, the tables, the checks, the rendering. What loads
// must print, and what was printed must load again.
#include <cstdlib>

#include "http/config.h"

namespace {

class OneFile : public goma::core::Source {
 public:
  explicit OneFile(std::string_view text) : text_(text) {}
  goma::core::Result<std::string_view> read(const std::string& path) override {
    if (path != "goma.yml") return goma::core::Error{goma::core::Code::not_found, "no such file", 0};
    return text_;
  }
  goma::core::Result<goma::core::Listing> list(const std::string&, goma::core::Reach) override { return goma::core::Error{goma::core::Code::not_found, "no such directory", 0}; }
  std::optional<std::string_view> env(const std::string& name) override { return name == "A" ? std::optional<std::string_view>("a: [1") : std::nullopt; }

 private:
  std::string_view text_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  OneFile source({reinterpret_cast<const char*>(data), size});
  goma::core::Problems problems;
  const auto config = goma::http::load_config(source, "goma.yml", problems);
  if ((config == nullptr) != problems.has_errors()) std::abort();
  problems.render();
  problems.render_json();
  if (config == nullptr) return 0;
  const std::string printed = goma::http::effective_yaml(*config);
  OneFile again(printed);
  goma::core::Problems findings;
  goma::http::load_config(again, "goma.yml", findings);
  return 0;
}
