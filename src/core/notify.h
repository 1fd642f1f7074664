// SPDX-License-Identifier: Apache-2.0
//
// The service manager's datagram (sd_notify(3)) without its library: one message of VARIABLE=VALUE lines to the
// socket named in NOTIFY_SOCKET. Without that variable every call does nothing.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace goma::core::notify {

// Sends the text as it is; true when it was taken. Never blocks.
bool send(std::string_view text);

// READY=1 with a status line; also the end of a reload.
void ready(std::string_view status);
// RELOADING=1 with MONOTONIC_USEC, as Type=notify-reload wants it.
void reloading();
void stopping();
void status(std::string_view text);
// The main process is another one from now on.
void main_pid(pid_t pid);
// The same from the one that was it, with the other's status line.
void handed(pid_t pid, std::string_view status);

}  // namespace goma::core::notify
