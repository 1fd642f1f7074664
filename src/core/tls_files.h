// SPDX-License-Identifier: Apache-2.0
//
// Where a certificate, a key or a CA bundle comes from. A value in the configuration is PEM itself, the base64 of PEM,
// or the path of a file (goma-config 3.3); everything is read through a Source.
#pragma once

#include <string>

#include "core/result.h"
#include "core/source.h"

namespace goma::core {

// Whether the value holds the PEM itself, so that it names no file and must not be shown.
bool is_inline_pem(const std::string& value);

// How a sentence calls the value: by its path, or "the text" when it does not look like one and may be the key itself.
std::string pem_name(const std::string& value);

// The PEM behind a value. Errors are those of Source::read.
Result<std::string> read_pem(Source& source, const std::string& value);

// The authorities of this machine, as PEM: the bundle of the distribution or of SSL_CERT_FILE, and the files of
// SSL_CERT_DIR. Empty when there are none.
std::string read_machine_roots(Source& source);

}  // namespace goma::core
