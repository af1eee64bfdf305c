# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers as the documentation of NGINX Plus's API says that it does.  It is no NGINX: it moves no traffic and checks nobody.

    python nginx_plus_stand_in.py PORT FILE

FILE is JSON: ``{"upstreams": {NAME: [SERVER, …]}, "backup": [SERVER, …], "stream": {NAME: [SERVER, …]}, "checked": true,
"login": "user:password"}``; without `stream` it answers as one that has no such block.  ``/api`` may write, ``/look``
may not, as with and without ``api write=on``.  What is written is lost when it ends.  ``POST /reload`` is a reload: servers get
new IDs, and what was written is lost too, as without a `state` file.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONFIGURABLE = {"server", "weight", "max_conns", "max_fails", "fail_timeout", "slow_start", "route", "down", "drain"}


def moment(seconds: float) -> str:
    """As the API shows a time."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class Failed(Exception):
    """An error object of the documentation.

    :param code: as documented.
    """

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class Upstreams:
    """The groups with a zone, and what the API does with them."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.lock, self.next_id = config, threading.Lock(), 0
        self.generation, self.loaded = 0, 0.0
        self.groups: dict[str, dict[int, dict[str, Any]]] = {}
        self.reload()

    def reload(self) -> None:
        """Read the configuration anew."""
        self.generation, self.loaded = self.generation + 1, time.time()
        self.groups = {name: {} for name in self.config["upstreams"]}
        for name, addresses in self.config["upstreams"].items():
            for address in addresses:
                server = self.add(name, {"server": address, "weight": self.config.get("weight", 1)})
                server["backup"] = address in self.config.get("backup", ())

    def group(self, name: str) -> dict[int, dict[str, Any]]:
        """One group's servers by ID."""
        if name not in self.groups:
            raise Failed(404, "UpstreamNotFound", "upstream not found")
        return self.groups[name]

    def server(self, name: str, id_: str) -> dict[str, Any]:
        """One server."""
        group = self.group(name)
        if not id_.isdigit():
            raise Failed(400, "UpstreamBadServerId", "invalid server id")
        if int(id_) not in group:
            raise Failed(404, "UpstreamServerNotFound", f'server with ID "{id_}" does not exist')
        return group[int(id_)]

    def add(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """A server that is added."""
        if "server" not in body:
            raise Failed(400, "UpstreamConfFormatError", 'missing "server" argument')
        # Some parameters are shown always, `drain` is where it is set alone.
        shown = {"weight": 1, "max_conns": 0, "max_fails": 1, "fail_timeout": "10s", "slow_start": "0s", "route": ""}
        server = {"id": self.next_id, **shown, "backup": False, "down": False}
        self.next_id += 1
        self.change(server, body)
        self.group(name)[server["id"]] = server
        return server

    def change(self, server: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """A server that is modified."""
        for key, value in body.items():
            if key not in CONFIGURABLE:
                raise Failed(400, "UpstreamConfFormatError", f'unknown parameter "{key}"')
            if key in ("down", "drain") and not isinstance(value, bool):
                raise Failed(400, "UpstreamConfFormatError", f'invalid "{key}" value')
            if key == "weight" and (not isinstance(value, int) or value < 1):
                raise Failed(400, "UpstreamBadWeight", 'invalid "weight"')
        server.update(body)
        if not server.get("drain"):
            server.pop("drain", None)
        return server

    def peer(self, server: dict[str, Any]) -> dict[str, Any]:
        """A server as its state is shown."""
        state = "down" if server["down"] else "draining" if server.get("drain") else "up"
        checks: dict[str, Any] = {"checks": 0, "fails": 0, "unhealthy": 0}
        if self.config.get("checked", True):
            checks = {"checks": 9, "fails": 0, "unhealthy": 0, "last_passed": True}
        return {
            **{key: server[key] for key in ("id", "server", "backup", "weight")},
            "name": server["server"], "state": state, "active": 0, "requests": 7, "fails": 1, "unavail": 0, "health_checks": checks,
            "responses": {"1xx": 0, "2xx": 3, "3xx": 0, "4xx": 1, "5xx": 2, "codes": {"200": 3, "404": 1, "500": 2}, "total": 6},
        }  # fmt: skip


class Api(BaseHTTPRequestHandler):
    """One exchange."""

    upstreams: Upstreams

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        login = self.upstreams.config.get("login")
        if login and self.headers.get("Authorization") != "Basic " + base64.b64encode(login.encode()).decode():
            self._answer(401, "<html><title>401 Authorization Required</title></html>")
            return
        try:
            with self.upstreams.lock:
                self._answer(*self._do(data))
        except Failed as error:
            told = {"status": error.status, "text": error.text, "code": error.code}
            self._answer(
                error.status,
                {"error": told, "request_id": "0", "href": "https://nginx.org/en/docs/http/ngx_http_api_module.html"},
            )

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def _do(self, data: bytes) -> tuple[int, Any]:
        path, _mark, query = self.path.partition("?")
        _empty, root, *parts = path.rstrip("/").split("/")
        if (self.command, root) == ("POST", "reload"):
            self.upstreams.reload()
            return 200, {}
        if root not in ("api", "look"):
            raise Failed(404, "PathNotFound", "path not found")
        if not parts:
            return 200, list(range(1, 10))
        if parts[0] != "9":
            raise Failed(404, "UnknownVersion", "unknown version")
        if self.command != "GET" and root == "look":
            raise Failed(405, "MethodDisabled", "method disabled")
        if parts[1:] == ["nginx"]:
            return 200, {
                "version": "1.27.4", "build": "nginx-plus-r34", "address": "127.0.0.1", "generation": self.upstreams.generation,
                "load_timestamp": moment(self.upstreams.loaded), "timestamp": moment(time.time()), "pid": 32212, "ppid": os.getpid(),
            }  # fmt: skip
        if parts[1:] == ["stream", "upstreams"] and "stream" in self.upstreams.config:
            stream = self.upstreams.config["stream"].items()
            return 200, {
                name: {"peers": [{"id": id_, "server": one} for id_, one in enumerate(all_)]} for name, all_ in stream
            }
        if parts[1:3] != ["http", "upstreams"]:
            raise Failed(404, "PathNotFound", "path not found")
        return self._upstreams(parts[3:], query, data)

    def _upstreams(self, parts: list[str], query: str, data: bytes) -> tuple[int, Any]:
        upstreams = self.upstreams
        if not parts:
            return 200, [*upstreams.groups] if query == "fields=" else {
                name: self._status(name) for name in upstreams.groups
            }
        name, *rest = parts
        if not rest and self.command == "GET":
            return 200, self._status(name)
        if rest == ["servers"] and self.command == "GET":
            return 200, [*upstreams.group(name).values()]
        if rest == ["servers"] and self.command == "POST":
            upstreams.group(name)
            return 201, upstreams.add(name, self._body(data))
        if len(rest) == 2 and rest[0] == "servers":
            server = upstreams.server(name, rest[1])
            if self.command == "PATCH":
                return 200, upstreams.change(server, self._body(data))
            if self.command == "DELETE":
                del upstreams.group(name)[server["id"]]
                return 200, [*upstreams.group(name).values()]
            return 200, server
        raise Failed(404, "PathNotFound", "path not found")

    def _status(self, name: str) -> dict[str, Any]:
        peers = [self.upstreams.peer(server) for server in self.upstreams.group(name).values()]
        return {"peers": peers, "keepalive": 0, "zombies": 0, "zone": name}

    def _body(self, data: bytes) -> dict[str, Any]:
        try:
            body = json.loads(data)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Failed(415, "JsonError", "json error")
        return body

    def _answer(self, status: int, told: Any) -> None:
        data = (told if isinstance(told, str) else json.dumps(told)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Many pollers at once."""

    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Api.upstreams = Upstreams(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
    Server(("127.0.0.1", int(sys.argv[1])), Api).serve_forever()
