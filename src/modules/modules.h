// SPDX-License-Identifier: Apache-2.0
//
// Everything this binary can do to an exchange, in one list. Modules announce themselves by being written down in
// modules.cc, not by static constructors: a reader sees the whole inventory, and the order is the documents' order.
#pragma once

#include <span>

#include "http/module.h"

namespace goma::mod {

// The modules compiled in, those of `configure --add-module` last. A module added from outside defines
// `namespace goma::mod { extern const http::ModuleInfo NAME_module; }` with the name of its goma.module file.
std::span<const http::ModuleInfo* const> all_modules();

}  // namespace goma::mod
