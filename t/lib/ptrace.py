# SPDX-License-Identifier: Apache-2.0
"""A debugger's hold on a process (ptrace), for plays about processes that hang. On x86-64 it can make one loop for ever
where it stands; elsewhere can_spin is False."""
import ctypes
import os
import platform
import struct

ATTACH, DETACH, POKETEXT, GETREGS = 16, 17, 4, 12
STOPPED = 0x7f
RIP = 16                        # its place among the registers of user_regs_struct
can_spin = platform.machine() == "x86_64"
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _call(request, pid, address=0, data=0):
    if _libc.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def hold(pid):
    """Stops the process as a debugger does. OSError when this system does not let us."""
    _call(ATTACH, pid)
    os.waitpid(pid, 0x40000000)  # __WALL: it need not be our child


def let_go(pid):
    _call(DETACH, pid)


def spin(pid):
    """From where it stands it jumps to where it stands. Requires: held, can_spin."""
    registers = ctypes.create_string_buffer(27 * 8)
    _call(GETREGS, pid, 0, ctypes.addressof(registers))
    here = struct.unpack_from("<Q", registers.raw, RIP * 8)[0]
    _call(POKETEXT, pid, here, struct.unpack("<Q", b"\xeb\xfe" + b"\x90" * 6)[0])
