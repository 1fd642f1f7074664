// SPDX-License-Identifier: Apache-2.0
//
// Asking an authority's responder (RFC 6960 appendix A.1): one POST over plain HTTP, because the answer is signed. It
// blocks, so it belongs on a core::Helper.
//
// The address is the certificate's, so somebody else chose it: only loopback and public addresses are asked, redirects
// are not followed, proxies are not used, and no more than max_ocsp_bytes are read.
#pragma once

#include <cstddef>

#include "core/ocsp.h"
#include "core/socket.h"

namespace goma::core {

inline constexpr size_t max_ocsp_bytes = 8192;
inline constexpr int ocsp_patience_s = 10;  // for everything after the name is resolved

// Whether an address may be asked: not one of a private network, nor one that means several.
bool may_ask(const Address& address);

// The verified answer. Error: invalid or refused, with what went wrong.
Result<OcspAnswer> fetch_ocsp(const OcspQuestion& question);

}  // namespace goma::core
