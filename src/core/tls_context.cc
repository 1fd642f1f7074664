// SPDX-License-Identifier: Apache-2.0
//
// Owning an SSL_CTX.
#include "core/tls_context.h"

#include <openssl/ssl.h>

namespace goma::core {

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

}  // namespace goma::core
