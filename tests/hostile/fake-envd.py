"""Takes envd's port away from it and answers in its place. Root in a sandbox can do this.

Usage: fake-envd.py <mode>. /health is answered well, so that the server goes on to ask for more; everything else gets
what the mode says.
"""

import ctypes
import os
import socket
import struct
import sys
import threading
import time

PORT = 49983
GETREGS, SETREGS, ATTACH, DETACH, SYSCALL = 12, 13, 16, 17, 24
RAX, RDI, ORIG_RAX, RIP = 10, 14, 15, 16
CLOSE = 3
WALL = 0x40000000  # also threads of other processes

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, data=None):
    if libc.ptrace(request, 1, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def listening_fds():
    inodes = set()
    for name in ("tcp", "tcp6"):
        for line in open(f"/proc/net/{name}").read().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rsplit(":", 1)[1], 16) == PORT and fields[3] == "0A":
                inodes.add(fields[9])
    fds = []
    for fd in os.listdir("/proc/1/fd"):
        try:
            target = os.readlink(f"/proc/1/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:") and (not inodes or target[8:-1] in inodes):
            fds.append(int(fd))
    return fds


def address_of_a_syscall():
    binary = open("/proc/1/exe", "rb").read()
    offset, = struct.unpack_from("<Q", binary, 32)
    size, count = struct.unpack_from("<HH", binary, 54)
    for index in range(count):
        at = offset + index * size
        kind, flags, file_offset, address, _, file_size = struct.unpack_from("<IIQQQQ", binary, at)
        if kind == 1 and flags & 1:
            found = binary.index(b"\x0f\x05", file_offset, file_offset + file_size)
            return address + found - file_offset
    raise RuntimeError("no syscall in envd")


def close_in_envd(fd):
    registers = (ctypes.c_ulong * 27)()
    ptrace(ATTACH)
    os.waitpid(1, WALL)
    ptrace(GETREGS, registers)
    calling = (ctypes.c_ulong * 27)(*registers)
    calling[RAX], calling[RDI], calling[ORIG_RAX] = CLOSE, fd, 2**64 - 1
    calling[RIP] = address_of_a_syscall()
    ptrace(SETREGS, calling)
    for _ in ("entry", "exit"):
        ptrace(SYSCALL)
        os.waitpid(1, WALL)
    ptrace(SETREGS, registers)
    ptrace(DETACH)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "body": (OK + b"Content-Length: 9999999999\r\n\r\n", b"x"),
    "one-byte-chunks": (CHUNKED, b"1\r\nx\r\n"),
    "headers": (OK, b"a: b\r\n"),
    "one-header": (OK + b"a: ", b"b"),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n"),
    "interim": (b"", b"HTTP/1.1 103 Early\r\n\r\n"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "upgrade": (b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", b"x"),
    "garbage": (b"", b"\0\xff\x01"),
}


def answer(connection, mode):
    try:
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            if head.startswith(b"GET /health"):
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                continue
            if mode == "slow":
                connection.sendall(OK + b"Content-Length: 99999\r\n\r\n")
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.2)
            start, piece = FLOODS[mode]
            block = piece * (65536 // len(piece))
            connection.sendall(start)
            # 200 MB and more, so that a reader without a limit is noticed
            for _ in range(200 * 16 * 4):
                connection.sendall(block)
    except OSError:
        pass
    finally:
        connection.close()


def main():
    mode = sys.argv[1]
    for fd in listening_fds():
        close_in_envd(fd)
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", PORT))
    server.listen(64)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=answer, args=(connection, mode), daemon=True).start()


main()
