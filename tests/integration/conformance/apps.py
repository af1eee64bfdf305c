# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real members of a pool: small HTTP servers whose health and life a test switches, and which count what reaches them."""

from __future__ import annotations

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports


class App:
    """One member's process.

    It answers every path with its name; ``/hold`` only once :attr:`gate` is open; ``/health`` with 200 while it is
    healthy.  ``broken`` answers 500 to everything, ``kill`` makes its port refuse connections.  ``fault`` is what goes wrong with
    everything but checks: the connection is closed (`close`) or reset (`reset`) instead of an answer, or amid it (`cut`), or nothing
    comes until the gate is open (`hang`).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        (self.port,) = free_ports(1)
        self.gate = threading.Event()
        self.health = 200
        self.broken = False
        self.fault = ""
        self.switch: Path | None = None
        self.checks = 0
        self.served = 0
        self.holding = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._open: set[socket.socket] = set()
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before."""
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with app._lock:
                    app._open.add(self.connection)

            def finish(self) -> None:
                with app._lock:
                    app._open.discard(self.connection)
                super().finish()

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                status = 500 if app.broken else 200
                if self.path == "/health":
                    app.count(check=True)
                    status = 500 if app.broken else 503 if app.is_out else app.health
                else:
                    app.count()
                    if self.path == "/hold" or app.fault == "hang":
                        app.hold()
                    elif app.fault:
                        self.fail()
                        return
                body = app.name.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def fail(self) -> None:
                self.close_connection = True
                if app.fault == "cut":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b"half of it")
                elif app.fault == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *args: object) -> None:
                pass  # clients and checks hang up as they like

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def is_out(self) -> bool:
        """Whether the file by which it is taken out of traffic is there."""
        return self.switch is not None and self.switch.exists()

    def count(self, check: bool = False) -> None:
        """Count one request."""
        with self._lock:
            if check:
                self.checks += 1
            else:
                self.served += 1

    def hold(self) -> None:
        """Keep one request until the gate is open."""
        with self._lock:
            self.holding += 1
        self.gate.wait(60)
        with self._lock:
            self.holding -= 1

    def kill(self) -> None:
        """Die: the port refuses, and connections are reset."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def stop(self) -> None:
        """End for good, letting everybody go."""
        self.gate.set()
        self.kill()
