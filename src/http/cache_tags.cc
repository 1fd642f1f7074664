// SPDX-License-Identifier: Apache-2.0
//
// Splitting lists of words that are separated by commas or blanks.
#include "http/cache_tags.h"

#include <algorithm>

#include "core/text.h"

namespace goma::http {

namespace {

constexpr size_t most_tags = 64;

}  // namespace

std::vector<StoreKey> tags_of(const ResponseStore& store, const std::vector<std::string>& tag_fields, const Headers& fields) {
  std::vector<StoreKey> tags;
  for (const std::string& name : tag_fields) {
    const HeaderId id = header_id(name);
    for (const Header& h : fields) {
      if (h.id != id || !core::iequals(h.name, name)) continue;
      for (std::string_view rest = h.value; !rest.empty() && tags.size() < most_tags;) {
        const size_t end = std::min(rest.find_first_of(", \t"), rest.size());
        if (end != 0) tags.push_back(store.mark_of_tag(rest.substr(0, end)));
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    }
  }
  return tags;
}

}  // namespace goma::http
