// SPDX-License-Identifier: Apache-2.0
//
// What is nobody's business, decided in one place: by the name of a key, a header field, a parameter or a cookie, by
// the form of a text (a password in a URL, what follows "Bearer"), and by the neighbourhood in a line of a file.
//
// The one idea: a file is judged line by line and without being understood, because the lines that are shown are those
// of files that could not be read. Where the end of a secret is in doubt, more is hidden.
//
// What it does not do: hide anything. core/problem, core/describe and the access log ask.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace goma::core {

inline constexpr std::string_view secret_stars = "*******";

// Whether what stands under a key of this name (or in such a header field, parameter, cookie) is a secret: "password",
// "clientSecret", "purgeToken", "key", "Authorization", "X-Api-Key". Case, '-' and '_' do not matter.
bool names_secret(std::string_view name);
// The same for names that may be misspelt: also when it is one typing mistake away from such a name.
bool resembles_secret(std::string_view name);

// Bytes [begin, end) of a text.
struct SecretSpan {
  size_t begin = 0;
  size_t end = 0;
};

// The credentials in a single value: of URLs, of their parameters, and of an Authorization field; in order, not
// overlapping.
std::vector<SecretSpan> credentials_in(std::string_view text);
// Whether these bytes of the text, whatever they are, stand where a credential stands: "Bearer ${TOKEN}".
bool stands_as_credential(std::string_view text, SecretSpan bytes);
// The text with its credentials as stars. A variable, ${NAME}, is none.
std::string without_credentials(std::string_view text);

// What may not be shown of the lines of a configuration file, whatever state it is in.
class SecretLines {
 public:
  explicit SecretLines(std::string_view text);

  // Bytes of the line (numbers count from 1); in order, not overlapping.
  const std::vector<SecretSpan>& of(int line) const;

 private:
  std::map<int, std::vector<SecretSpan>> spans_;
};

}  // namespace goma::core
