// SPDX-License-Identifier: Apache-2.0
//
// Keys that ask for protection and that no table reads where they stand: those of Goma Gateway from 0.1 on that this
// version does not have, those that belong elsewhere, and whatever names TLS or the like. A file that asks for protection
// must not be served without it, so they are refused wherever they stand, with what to write instead.
#pragma once

#include <string>
#include <string_view>

namespace goma::http {

// What to write in place of the key in the section `where`; empty when it may be ignored. Case, '-' and '_' do not matter,
// nor does one typing mistake in a long name. (core::Refusals)
std::string refusal_of(std::string_view key, std::string_view where);

}  // namespace goma::http
