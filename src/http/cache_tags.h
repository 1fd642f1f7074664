// SPDX-License-Identifier: Apache-2.0
//
// The tags of a response: words of certain fields by which it can be purged. At most 64 of them.
#pragma once

#include <string>
#include <vector>

#include "http/response_store.h"

namespace goma::http {

// The marks of the tags that these fields list, separated by commas or blanks.
std::vector<StoreKey> tags_of(const ResponseStore& store, const std::vector<std::string>& tag_fields, const Headers& fields);

}  // namespace goma::http
