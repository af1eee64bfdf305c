# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers with good and bad certificates, and servers that repeat what they were sent."""

from __future__ import annotations

import contextlib
import importlib.util
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]

# The certificates of the unit tests.
_spec = importlib.util.spec_from_file_location("zero_downtime_certificates", CHECKOUT / "tests/unit/plugins/module_utils/conftest.py")
_unit = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _unit  # where its dataclasses look for themselves
_spec.loader.exec_module(_unit)
certificates = _unit.certificates


class Echo(BaseHTTPRequestHandler):
    """Refuses everything, and repeats who asked for what with which headers."""

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}\n{self.headers}")
        body = self.server.asked[-1].encode() if self.server.repeats else b"no"
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_about):
        pass


class Server(ThreadingHTTPServer):
    """Remembers what it was asked; a handshake that fails is the client's affair."""

    daemon_threads = True

    def handle_error(self, *_about):
        pass


@pytest.fixture
def serve():
    """``serve(certificate=None, status=400, repeats=True)`` starts one, with TLS where it has a certificate."""
    with contextlib.ExitStack() as stack:

        def start(certificate=None, status=400, repeats=True):
            server = Server(("127.0.0.1", 0), Echo)
            server.asked, server.status, server.repeats = [], status, repeats
            if certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate)
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            server.place = "127.0.0.1:%d" % server.server_address[1]
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield start
