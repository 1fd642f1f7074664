# SPDX-License-Identifier: Apache-2.0
"""A disk that does not answer: a FUSE mount whose server reads no request, or reads them and never answers.

    from lib.hung import own_mounts, Hung
    own_mounts() or skip_all("needs root and /dev/fuse")
    disk = Hung("/some/directory")      # whoever looks below it waits
    disk.end()                          # whoever waits gets an error, and what was there before is back

The mounts lie in a namespace of the script: nobody else on the machine sees them, and they go with it.
"""
import atexit
import ctypes
import os
import struct
import threading

_libc = ctypes.CDLL(None, use_errno=True)
_NEW_NAMESPACE, _PRIVATE, _RECURSIVE, _DETACH = 0x20000, 1 << 18, 1 << 14, 2


def own_mounts():
    """Gives this script, and what it starts from its main thread, mounts of its own. False where that cannot be."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return False
    return _libc.unshare(_NEW_NAMESPACE) == 0 and _libc.mount(None, b"/", None, _PRIVATE | _RECURSIVE, None) == 0


class Hung:
    def __init__(self, path, holds=False):
        """`holds`: requests are taken and kept; then who waits cannot even be killed, as on a dead disk."""
        self.path = path.encode()
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if _libc.mount(b"hung", self.path, b"fuse", 0, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "cannot mount", path)
        if holds:
            threading.Thread(target=self._hold, daemon=True).start()
        atexit.register(self.end)

    def _hold(self):
        """FUSE_INIT is answered, else there are no requests; the rest is read."""
        try:
            while True:
                request = os.read(self.device, 1 << 17)
                _, opcode, unique = struct.unpack_from("<IIQ", request)
                if opcode == 26:
                    reply = struct.pack("<IIIIHHIIHHII", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0, 0) + bytes(24)
                    os.write(self.device, struct.pack("<IiQ", 16 + len(reply), 0, unique) + reply)
        except OSError:
            pass

    def end(self):
        if self.device >= 0:
            # Its server does not wait for itself: what hangs is let go before the mount is taken away.
            device, self.device = self.device, -1
            _libc.umount2(self.path, _DETACH | 1)
            os.close(device)
