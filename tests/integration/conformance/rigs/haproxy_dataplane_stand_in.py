# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers as HAProxy's Data Plane API does by its specification and its published source, and says it all to a real HAProxy.

    python haproxy_dataplane_stand_in.py PORT SOCKET USER:PASSWORD CONFIGURATION [empty] [v2]

What the API gets wrong it gets wrong too: a decimal number is read as a hexadecimal one, and what is believed to be so already
is not written.  With `empty` a backend that there is not has no servers, as in some versions; else it is not found, as in others.
Where HAProxy does not answer, the statistics have an error, and the rest is empty (issue 401).  With `v2` its paths are those of
version 2.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

SERVICE = ["v3", "services", "haproxy"]
OPERATIONAL = {"0": "down", "1": "up", "2": "up", "3": "stopping"}
COMMANDS = {"operational_state": "health", "admin_state": "state"}


class Failed(Exception):
    """An error as the API shows it."""

    def __init__(self, code: int, message: str, body: Any = None) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.body = body or {"code": code, "message": message}


def admin_state(number: str) -> str:
    """What the API makes of HAProxy's number."""
    mask = int(number, 16)  # it is decimal
    return "maint" if mask & 0b100011 else "drain" if mask & 0b011000 else "ready"


class Runtime:
    """HAProxy's socket."""

    def __init__(self, path: str, older: int) -> None:
        self.path, self.older = path, older

    def ask(self, command: str) -> str:
        """One command's answer."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(self.path)
                connection.sendall(f"{command}\n".encode())
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError as error:
            raise Failed(500, f"dial unix {self.path}: {error}") from None

    def info(self) -> dict[str, Any]:
        """The process."""
        try:
            said = self.ask("show info")
        except Failed:
            return {"runtimeAPI": self.path, "info": {"release_date": "0001-01-01"}}
        about = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
        numbers = {"pid": int(about["Pid"]), "uptime": int(about["Uptime_sec"]) + self.older}
        return {"runtimeAPI": self.path, "info": {"version": about["Version"], **numbers}}

    def servers(self, backend: str) -> list[dict[str, Any]]:
        """The run-time servers of a backend."""
        try:
            said = self.ask(f"show servers state {backend}")
        except Failed:
            said = ""
        if not said.startswith("1\n"):
            raise Failed(404, f"no data for {backend}: not found")
        header, *lines = said.splitlines()[1:]
        rows = [dict(zip(header[2:].split(), line.split())) for line in lines if line]
        return [
            {
                "id": row["srv_id"],
                "name": row["srv_name"],
                "address": row["srv_addr"],
                "port": int(row["srv_port"]),
                "admin_state": admin_state(row["srv_admin_state"]),
                "operational_state": OPERATIONAL[row["srv_op_state"]],
            }
            for row in rows
        ]

    def replace(self, backend: str, name: str, wanted: dict[str, str]) -> dict[str, Any]:
        """Write what differs, health first."""
        now = {server["name"]: server for server in self.servers(backend)}
        if name not in now:
            raise Failed(404, f"Runtime server {name} not found in backend {backend}")
        for key, command in COMMANDS.items():
            if wanted.get(key) and wanted[key] != now[name][key]:
                said = self.ask(f"set server {backend}/{name} {command} {wanted[key]}").strip()
                if said:
                    raise Failed(500, f"[3]:{said}")
        return next(server for server in self.servers(backend) if server["name"] == name)

    def stats(self, wanted: dict[str, list[str]]) -> dict[str, Any]:
        """The statistics that a query asks for."""
        kinds = {"0": "frontend", "1": "backend", "2": "server"}
        found = []
        try:
            said = self.ask("show stat")
        except Failed as error:
            raise Failed(500, error.message, {"runtimeAPI": self.path, "error": error.message}) from None
        for row in csv.DictReader(io.StringIO(said.lstrip("# "))):
            kind = kinds.get(row.get("type") or "")
            if kind not in wanted.get("type", [kind]):
                continue
            if kind == "server" and row["pxname"] not in wanted.get("parent", [row["pxname"]]):
                continue
            numbers = {key: int(value) if value.isdigit() else value for key, value in row.items() if key and value}
            name = (
                {"name": row["svname"], "backend_name": row["pxname"]} if kind == "server" else {"name": row["pxname"]}
            )
            found.append({"type": kind, **name, "stats": numbers})
        return {"runtimeAPI": self.path, "stats": found}


class Configuration:
    """HAProxy's configuration file, of which the API shows what it knows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sections(self) -> list[dict[str, Any]]:
        """Its sections `defaults` and `backend`, in the API's words."""
        found: list[dict[str, Any]] = []
        defaults, section = "", {}
        for line in self.path.read_text(encoding="utf-8").splitlines():
            words = line.partition("#")[0].split()
            if words and not line[0].isspace():
                section = {
                    "kind": words[0],
                    "name": words[1] if len(words) > 1 else "unnamed_defaults_1",
                    "servers": [],
                }
                found.append(section)
                if words[0] == "defaults":
                    defaults = section["name"]
                else:
                    section["from"] = defaults
            elif words[:1] == ["timeout"]:
                section[f"{words[1]}_timeout"] = milliseconds(words[2])
            elif words[:1] == ["default-server"]:
                section["default_server"] = server_words(words[1:])
            elif words[:2] == ["option", "allbackups"]:
                section["allbackups"] = "enabled"
            elif words[:1] == ["server"]:
                host, _colon, port = words[2].rpartition(":")
                section["servers"].append(
                    {"name": words[1], "address": host, "port": int(port), **server_words(words[3:])}
                )
        return found

    def show(self, parts: list[str]) -> Any:
        """What is below ``/configuration``."""
        wanted = {"backends": "backend", "defaults": "defaults"}.get(parts[0], "")
        shown = [section for section in self.sections() if section["kind"] == wanted]
        if len(parts) > 1:
            shown = [section for section in shown if section["name"] == parts[1]]
            if not shown:
                raise Failed(404, f"missing object: {parts[1]}")
            if parts[2:] == ["servers"]:
                return shown[0]["servers"]
        plain = [{key: value for key, value in section.items() if key not in ("kind", "servers")} for section in shown]
        return plain[0] if len(parts) > 1 else plain


def milliseconds(text: str) -> int:
    """A time of the configuration."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|)", text).groups()
    return int(number) * (1000 if unit == "s" else 1)


def server_words(words: list[str]) -> dict[str, Any]:
    """The words of a server line, as the API's model spells them."""
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if word in ("check", "backup"):
            found[word] = "enabled"
        elif word in ("inter", "fastinter", "downinter"):
            found[word] = milliseconds(next(rest))
        elif word in ("rise", "fall", "weight"):
            found[word] = int(next(rest))
        elif word in ("cookie", "track", "on-marked-down"):
            found[word] = next(rest)
    return found


class Api(BaseHTTPRequestHandler):
    """One exchange."""

    runtime: Runtime
    configuration: Configuration
    login: str
    empty: bool
    service: list[str]

    def _serve(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.headers.get("Authorization") != "Basic " + base64.b64encode(self.login.encode()).decode():
                raise Failed(401, "unauthenticated for invalid credentials")
            self._answer(200, self._do(data))
        except Failed as error:
            self._answer(error.code, error.body)

    do_GET = do_PUT = _serve

    def _do(self, data: bytes) -> Any:
        path, _mark, query = self.path.partition("?")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts == [self.service[0], "info"]:
            version = "v2.9.9 0123abc" if parts[0] == "v2" else "v3.0.4 0123abc"
            return {"api": {"version": version, "build_date": "2025-01-31T00:00:00.000Z"}, "system": {}}
        if self.service != SERVICE:
            raise Failed(404, f"path {path} was not found")
        if parts[:3] == SERVICE and parts[3:4] == ["configuration"] and self.command == "GET" and len(parts) > 4:
            return self.configuration.show(parts[4:])
        if parts[:3] == SERVICE and parts[3:] == ["runtime", "info"]:
            return self.runtime.info()
        if parts[:3] == SERVICE and parts[3:] == ["stats", "native"]:
            return self.runtime.stats(parse_qs(query))
        if parts[:3] == SERVICE and parts[3:5] == ["runtime", "backends"] and parts[6:7] == ["servers"]:
            if self.command == "PUT" and len(parts) == 8:
                return self.runtime.replace(parts[5], parts[7], json.loads(data))
            if self.command == "GET" and len(parts) == 7:
                try:
                    return self.runtime.servers(parts[5])
                except Failed as error:
                    if self.empty and error.code == 404:
                        return []
                    raise
        raise Failed(404, f"path {path} was not found")

    def _answer(self, status: int, told: Any) -> None:
        data = json.dumps(told).encode()
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
    Api.runtime = Runtime(sys.argv[2], 0 if "young" in sys.argv[5:] else 60)
    Api.login, Api.configuration = sys.argv[3], Configuration(Path(sys.argv[4]))
    Api.empty, Api.service = "empty" in sys.argv[5:], ["v2" if "v2" in sys.argv[5:] else "v3", *SERVICE[1:]]
    Server(("127.0.0.1", int(sys.argv[1])), Api).serve_forever()
