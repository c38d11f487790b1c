#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server on a port of the host's pool, by ctypes: no bind() that can fail.

Before, once: tcpwhy port init 20000-29999. In the tree, after make:
TCPWHY_LEASE_LIBRARY=build/libtcpwhy-lease.so.0 python3 examples/lease.py
"""
import ctypes
import os
import socket
import sys


class Why(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char * 384)]


class Wish(ctypes.Structure):
    """struct tcpwhy_lease_wish"""

    _fields_ = [
        ("held", ctypes.c_bool),
        ("listening", ctypes.c_bool),
        ("random", ctypes.c_bool),
        ("probe", ctypes.c_bool),
        ("ttl_s", ctypes.c_uint32),
        ("address", ctypes.c_void_p),
        ("address_len", ctypes.c_uint32),
    ]


class Lease(ctypes.Structure):
    """struct tcpwhy_lease"""

    _fields_ = [("token", ctypes.c_uint64), ("fd", ctypes.c_int), ("port", ctypes.c_uint16)]


lib = ctypes.CDLL(os.environ.get("TCPWHY_LEASE_LIBRARY", "libtcpwhy-lease.so.0"))
lib.tcpwhy_pool_open.argtypes = [
    ctypes.c_char_p,
    ctypes.c_bool,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(Why),
]
lib.tcpwhy_lease.argtypes = [
    ctypes.c_void_p,
    ctypes.POINTER(Wish),
    ctypes.POINTER(Lease),
    ctypes.c_uint,
]
lib.tcpwhy_lease_release.argtypes = [ctypes.c_void_p, ctypes.POINTER(Lease), ctypes.c_uint]
lib.tcpwhy_pool_close.argtypes = [ctypes.c_void_p]
lib.tcpwhy_pool_close.restype = None


class Pool:
    """The pool of this network namespace. Leases go back when the block ends, or the process does."""

    def __enter__(self):
        self.handle = ctypes.c_void_p()
        why = Why()
        error = lib.tcpwhy_pool_open(None, False, ctypes.byref(self.handle), ctypes.byref(why))
        if error:
            raise OSError(-error, why.text.decode())
        return self

    def __exit__(self, *_):
        lib.tcpwhy_pool_close(self.handle)

    def listener(self):
        """A listening socket on a leased port; the descriptor is the socket's from now on."""
        lease = Lease()
        n = lib.tcpwhy_lease(self.handle, Wish(held=True, listening=True), ctypes.byref(lease), 1)
        if n < 0:
            raise OSError(-n, os.strerror(-n))
        return socket.socket(fileno=lease.fd)


def main():
    with Pool() as pool, pool.listener() as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = server.accept()
            served.close()
            assert client.recv(1) == b""
        print("served one client on port", port)


if __name__ == "__main__":
    sys.exit(main())
