# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member of a pool as a process of its own, which answers well but for as many requests as it is told to spoil.

``python member.py PORT NAME``.  ``/spoil?cut=3&hang=1`` says which ones; ``/spoil`` alone tells what is left of that.  It speaks HTTP by
itself: no library can be made to answer as badly.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from urllib.parse import parse_qsl, urlsplit

# In two pieces with a pause in between, so that a death may come amid it.
PIECE, PAUSE = b"x" * 4000, 0.01


class Member:
    """Serves until it is killed."""

    def __init__(self, port: int, name: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=200)
        self.name = name.encode()
        self.lock = threading.Lock()
        self.left: dict[str, int] = {}

    def serve(self) -> None:
        """Forever."""
        while True:
            connection, _address = self.listener.accept()
            threading.Thread(target=self.exchange, args=(connection,), daemon=True).start()

    def exchange(self, connection: socket.socket) -> None:
        """One request; a connection that closes at once is a check."""
        try:
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    received = connection.recv(65536)
                    if not received:
                        return
                    head += received
                target = urlsplit(head.split(b" ")[1].decode())
                if target.path == "/spoil":
                    self.control(connection, target.query)
                else:
                    getattr(self, self.fault())(connection)
        except OSError:
            pass  # clients go as they like

    def control(self, connection: socket.socket, query: str) -> None:
        """Take orders, and tell what is left of them."""
        with self.lock:
            for kind, count in parse_qsl(query):
                self.left[kind] = self.left.get(kind, 0) + int(count)
            told = json.dumps(self.left).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(told), told))

    def fault(self) -> str:
        """What to do with the next request: the kinds take turns."""
        with self.lock:
            kind = max(self.left, key=lambda name: self.left[name], default="answer")
            if not self.left.get(kind):
                return "answer"
            self.left[kind] -= 1
            return kind

    def answer(self, connection: socket.socket) -> None:
        """A good answer."""
        self.begin(connection, b"Content-Length: %d" % (2 * len(PIECE)))
        connection.sendall(PIECE)

    def begin(self, connection: socket.socket, framing: bytes) -> None:
        """The head of an answer, and what seems half of it."""
        chunked = b"%x\r\n" % len(PIECE) if b"chunked" in framing else b""
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nX-Version: %s\r\nConnection: close\r\n%s\r\n\r\n%s%s"
            % (self.name, framing, chunked, PIECE)
        )
        time.sleep(PAUSE)

    def cut(self, connection: socket.socket) -> None:
        """Half an answer, of known length."""
        self.begin(connection, b"Content-Length: %d" % (2 * len(PIECE)))

    def cut_chunked(self, connection: socket.socket) -> None:
        """Half an answer, of unknown length."""
        self.begin(connection, b"Transfer-Encoding: chunked")

    def error(self, connection: socket.socket) -> None:
        """A bad status, whole."""
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")

    def garbage(self, connection: socket.socket) -> None:
        """Anything but HTTP."""
        connection.sendall(b"220 ready when you are\r\n" * 3)

    def close(self, connection: socket.socket) -> None:
        """Nothing."""

    def reset(self, connection: socket.socket) -> None:
        """Worse than nothing."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang(self, connection: socket.socket) -> None:
        """Nothing, for longer than anybody waits."""
        time.sleep(60)


if __name__ == "__main__":
    Member(int(sys.argv[1]), sys.argv[2]).serve()
