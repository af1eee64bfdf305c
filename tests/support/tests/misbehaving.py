# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that misbehaves on order, and keeps the books: what the load must have counted."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable

PAGE = b"a page\n" * 100


def _answer(body: bytes, digest: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return (f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nX-Digest: {digest}\r\nX-Version: 1\r\nX-Member: m1\r\n"
            f"\r\n").encode() + body


def _good(request_body: bytes) -> bytes:
    body = PAGE
    if request_body:
        body = json.dumps({"digest": hashlib.sha256(request_body).hexdigest()}).encode()
    return _answer(body, hashlib.sha256(body).hexdigest())


class MisbehavingServer:
    """Serves on a loopback port; `plan(n)` names what to do to the n-th request (from 0).

    Deeds: good, truncated_body, truncated_head, closes, resets, error_500, wrong_digest, no_length, garbage, hangs.
    """

    def __init__(self, plan: Callable[[int], str]) -> None:
        self.done: Counter[str] = Counter()
        self._plan = plan
        self._lock = threading.Lock()
        self._number = 0
        self._end = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop listening, and let those that hang go."""
        self._end.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming:
            while True:
                try:
                    body = _read_request(incoming)
                except OSError:
                    return
                if body is None:
                    return
                with self._lock:
                    deed = self._plan(self._number)
                    self._number += 1
                    self.done[deed] += 1
                if not self._do(deed, connection, body):
                    return

    def _do(self, deed: str, connection: socket.socket, body: bytes) -> bool:
        """Carry out one deed; True when the connection goes on."""
        good = _good(body)
        if deed == "good":
            connection.sendall(good)
            return True
        if deed == "error_500":
            connection.sendall(_answer(b"broken", "", "500 Internal Server Error"))
            return True
        if deed == "wrong_digest":
            wrong = json.dumps({"digest": "0" * 64}).encode() if body else PAGE
            connection.sendall(_answer(wrong, "0" * 64))
            return True
        if deed == "truncated_body":
            connection.sendall(good[:-10])
        elif deed == "truncated_head":
            connection.sendall(good[:30])
        elif deed == "resets":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif deed == "no_length":
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + PAGE)
        elif deed == "garbage":
            connection.sendall(b"220 mail.example ready\r\n\r\n")
        elif deed == "hangs":
            self._end.wait()
        return False


def _read_request(incoming) -> bytes | None:
    length = 0
    if not incoming.readline():
        return None
    while (line := incoming.readline().strip()):
        name, _colon, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return incoming.read(length)
