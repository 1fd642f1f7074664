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

std::string pem_name(const std::string& value) {
  constexpr size_t longest_path = 256, longest_bare_path = 80;  // base64 has no dots, and its lines are long
  const bool printable = std::none_of(value.begin(), value.end(), [](char c) { return is_space(c); });
  const bool dotted = value.find('.') != std::string::npos && value.size() <= longest_path;
  const bool rooted = value.starts_with('/') && value.size() <= longest_bare_path;
  return !is_inline_pem(value) && printable && (dotted || rooted) ? value : "the text";
}

Result<std::string> read_pem(Source& source, const std::string& value) {
  if (value.find(dashes) != std::string::npos) return value;
  if (trim(value).starts_with(dashes_in_base64)) return from_base64(value);
  const Result<std::string_view> content = source.read(value);
  if (!content) return content.error();
  return std::string(content.value());
}

namespace {

// Where distributions keep all authorities in one file.
constexpr const char* usual_bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

// The first of the usual bundles that is there, or what SSL_CERT_FILE names.
std::string read_bundle(Source& source) {
  if (const auto named = source.env("SSL_CERT_FILE"); named && !named->empty()) {
    const auto text = source.read(std::string(*named));
    return text.ok() ? std::string(text.value()) : std::string();
  }
  for (const char* path : usual_bundles) {
    if (const auto text = source.read(path); text.ok()) return std::string(text.value());
  }
  return {};
}

}  // namespace

// What OpenSSL and Go would find: the bundle, and the directories of SSL_CERT_DIR.
std::string read_machine_roots(Source& source) {
  std::string all = read_bundle(source);
  const auto directories = source.env("SSL_CERT_DIR");
  for (const std::string_view directory : split(directories.value_or(""), ':')) {
    if (directory.empty()) continue;
    auto files = source.list(std::string(directory));
    if (!files.ok()) continue;
    for (const std::string& path : files->files) {
      if (const auto text = source.read(path); text.ok()) all.append("\n").append(text.value());
    }
  }
  return all;
}

}  // namespace goma::core
