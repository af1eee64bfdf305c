# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback that behave as a test wants."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from typing import Callable, Iterator

import pytest

Behaviour = Callable[[socket.socket, bytes], None]


class Server(socketserver.ThreadingTCPServer):
    """Reads a request's head and then does with the connection what the test says."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, behaviour: Behaviour, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), None)
        self.behaviour = behaviour
        self.context = context
        self.requests: list[bytes] = []
        self.over = threading.Event()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def url(self, path: str = "/") -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def finish_request(self, request, client_address) -> None:
        # A client that goes away in the middle is what many tests are about.
        with contextlib.suppress(OSError):
            if self.context:
                request = self.context.wrap_socket(request, server_side=True)
            with request:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = request.recv(65536)
                    if not data:
                        return
                    head += data
                self.requests.append(head)
                self.behaviour(request, head)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers; all are stopped after the test."""
    servers = []

    def start(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> Server:
        server = Server(behaviour, context)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def raw() -> Callable[[bytes], Behaviour]:
    """Makes a behaviour: send this and hang up."""
    return lambda data: lambda connection, _request: connection.sendall(data)


@pytest.fixture
def answer(raw) -> Callable[..., Behaviour]:
    """Makes a behaviour: one complete answer."""

    def make(status: str = "200 OK", body: bytes = b"", *headers: str) -> Behaviour:
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
        return raw("\r\n".join(lines).encode() + body)

    return make
