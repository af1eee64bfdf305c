# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Toy itself, a balancer in a page of Python: ``toy_server.py PORT FILE POOL``.  Clients are bound by a cookie."""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
from collections import Counter
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILE, POOL = Path(sys.argv[2]), sys.argv[3]
IN_FLIGHT: Counter[str] = Counter()
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """One client's connection; each request goes to one member."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Pass it on, and the answer back; or show the page."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/toy":
            self._answer(200, json.dumps(page()).encode())
            return
        with LOCK:  # a member is chosen and counted in one step: nobody finds it idle in between
            members = {name: about for name, about in pools()[POOL].items() if not about["out"]}
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get("SRV")
            bound = cookie.value if cookie is not None and cookie.value in members else None
            name = bound or random.choices(list(members), [about["weight"] for about in members.values()])[0]
            IN_FLIGHT[name] += 1
        try:
            status, content = self._pass_on(members[name]["address"], body)
        finally:
            with LOCK:
                IN_FLIGHT[name] -= 1
        self._answer(status, content, {} if bound else {"Set-Cookie": f"SRV={name}; path=/"})

    do_POST = do_GET

    def _pass_on(self, address: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(address, timeout=70)
        try:
            connection.request(self.command, self.path, body or None)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 502, b"the member did not answer"
        finally:
            connection.close()

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Quiet about clients who hang up."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *args: object) -> None:
        """Say nothing."""


def pools() -> dict[str, dict[str, dict[str, object]]]:
    """What the file says now."""
    return json.loads(FILE.read_text())


def page() -> dict[str, object]:
    """What the page `/toy` shows."""
    with LOCK:
        shown = pools()
        for members in shown.values():
            for name, about in members.items():
                about["in_flight"] = IN_FLIGHT[name]
    return {"version": "1.0", "pools": shown}


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
