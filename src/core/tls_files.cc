// SPDX-License-Identifier: Apache-2.0
//
// Telling the three forms apart: PEM has its dashes, base64 of PEM begins with the letters of those dashes.
#include "core/tls_files.h"

#include <openssl/evp.h>

#include <algorithm>

#include "core/text.h"

namespace goma::core {

namespace {

constexpr std::string_view dashes = "-----BEGIN ";
constexpr std::string_view dashes_in_base64 = "LS0tLS1CRUdJTi";

// Empty when it is not base64. White space, as block scalars bring it, does not count.
std::string from_base64(std::string_view text) {
  std::string packed;
  std::copy_if(text.begin(), text.end(), std::back_inserter(packed), [](char c) { return !is_space(c); });
  while (packed.size() % 4 != 0) packed += '=';
  std::string out(packed.size() / 4 * 3, '\0');
  const int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(packed.data()),
                                static_cast<int>(packed.size()));
  if (n < 0) return {};
  const auto padding = std::count(packed.end() - 2, packed.end(), '=');
  out.resize(static_cast<size_t>(n - padding));
  return out;
}

}  // namespace

bool is_inline_pem(const std::string& value) {
  return value.find(dashes) != std::string::npos || trim(value).starts_with(dashes_in_base64);
}

Result<std::string> read_pem(Source& source, const std::string& value) {
  if (value.find(dashes) != std::string::npos) return value;
  if (trim(value).starts_with(dashes_in_base64)) return from_base64(value);
  const Result<std::string_view> content = source.read(value);
  if (!content) return content.error();
  return std::string(content.value());
}

}  // namespace goma::core
