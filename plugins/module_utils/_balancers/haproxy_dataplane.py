# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy by way of its Data Plane API, version 3: https://www.haproxy.com/documentation/dataplaneapi/community/

For those whose machines reach the API and not the runtime socket; who reaches the socket is better served by `haproxy`.  Written
after the API's specification and its published source, and never run against it.  What is not obvious there:

* `admin_state` comes from HAProxy's number, which is decimal, read as a hexadecimal one.  So a server that its configuration
  calls `disabled`, brought in and drained (12), is said to be in maintenance (issue 343).  The statistics say MAINT and DRAIN
  rightly, and hide a drain of a server that is down alone.  Each is believed where it can be;
* a write of what the API believes to be so already is not done, and answered with 200: hence the reading back;
* `operational_state` is written before `admin_state` of the same request, and leaving maintenance undoes it: two requests;
* weights cannot be written at run time, and not every version shows them.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Callable, Dict
from urllib.parse import quote

from .._clock import Clock
from .._domain.counters import Counters, Served
from .._domain.errors import InvalidInput, Refused, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Change, Member
from .base import Balancer
from .declaration import Capabilities
from .haproxy_counters import FORGETFUL, LOOKS, PAUSE, errors, forgets, numbers, requests, served, speaks_http
from .http_api import Answer, HttpApi

SERVICE = "/v3/services/haproxy"
ADMIN_STATE = {ENABLED: "ready", DRAINED: "drain", DISABLED: "maint"}
NO_WEIGHT = 1  # of servers whose weight is not 0: what it is cannot be changed


class HAProxyDataPlane(Balancer):
    """See the module's own text."""

    provider = "haproxy_dataplane"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.api = HttpApi.of("HAProxy's Data Plane API", options, re.sub(r"/v3/?$", "", options["url"]))
        super().__init__(name, self.api.endpoint, capabilities)
        # Servers that track another, by pool, as last read: they have no result of their own.
        self._following: dict[str, set[str]] = {}

    def version(self) -> str:
        told = self._get("/v3/info")
        api = told.get("api") if isinstance(told, dict) else None
        return str(api.get("version", "unknown")).lstrip("v") if isinstance(api, dict) else "unknown"

    def running(self) -> tuple[str, float]:
        info = self._info()
        return str(info["pid"]), float(info["uptime"])

    def _info(self) -> dict[str, Any]:
        """What HAProxy's process tells of itself, `pid` and `uptime` among it."""
        path = f"{SERVICE}/runtime/info"
        told = self._get(path)
        found = told[0] if isinstance(told, list) and told else told  # one for each process, before
        info = found.get("info") if isinstance(found, dict) else None
        if not isinstance(info, dict) or not all(isinstance(info.get(key), int) for key in ("pid", "uptime")):
            raise self.api.stranger(f"GET {path}", repr(told))
        return info

    def members(self, pool: str) -> list[Member]:
        servers = self._servers(pool)
        mine = self._mine(pool)
        missing = [server["name"] for server in servers if server["name"] not in mine]
        if missing:
            raise Unreachable(
                f"Balancer {self.name}: the Data Plane API knows the servers of {pool}, and has no statistics of {', '.join(missing)}. "
                "Is HAProxy being reloaded? Run the task again."
            )
        self._following[pool] = {name for name, row in mine.items() if row.get("tracked")}
        return [member(server, mine[server["name"]]) for server in servers]

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        now = {member.name: member for member in self.members(pool)}
        for change in changes:
            if change.name not in now:
                raise Refused(f"Balancer {self.name}: backend {pool} has no server {change.name}.")
            if change.state is not None and change.state != now[change.name].state:
                self._put(pool, change.name, {"admin_state": ADMIN_STATE[change.state]})
            if distrust and change.name not in self._following[pool]:
                self._put(pool, change.name, {"operational_state": "down"})
        members = self.members(pool)
        self.check_written(
            pool,
            changes,
            members,
            "Something else holds it there: a tracked server, name resolution, another controller; or the Data Plane API believed it to "
            "be so already (issue 343, with servers that the configuration calls `disabled`).",
        )
        return members

    def _servers(self, pool: str) -> list[dict[str, Any]]:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", pool):
            raise InvalidInput(
                f"{pool!r} is no name of a pool: HAProxy allows letters, digits and _ . : - in it. Nothing was touched."
            )
        path = f"{SERVICE}/runtime/backends/{quote(pool, safe='')}/servers"
        answer = self.api.ask("GET", path)
        # Of a backend that there is not some versions say 404, others that it has no servers.
        servers = [] if answer.status == 404 else self._json(answer, path)
        if not isinstance(servers, list) or not all(_is_server(server) for server in servers):
            raise self.api.stranger(f"GET {path}", repr(answer.text))
        if not servers:
            known = sorted({row["name"] for row in self._stats("?type=backend", "backend")})
            if pool not in known:
                raise InvalidInput(
                    f"Balancer {self.name} has no pool {pool!r}. HAProxy's backends are: {', '.join(known) or 'none'}. Nothing was touched."
                )
        return servers

    def counters(self, pool: str) -> dict[str, Counters]:
        looks, since = self._looks(pool, lambda: self._mine(pool))
        return {name: Counters(requests(rows[-1]), errors(rows), since) for name, rows in looks.items()}

    def served(self, pool: str) -> Served | None:
        looks, since = self._looks(pool, lambda: self._whole(pool))
        return next((served(rows, since) for rows in looks.values()), None)

    def _looks(
        self, pool: str, read: Callable[[], Dict[str, Dict[str, Any]]]
    ) -> tuple[dict[str, list[dict[str, int]]], str]:
        """Several looks at the counters, by the row's name, and since when they count; none of a pool in TCP mode."""
        self._servers(pool)  # which knows what to say of a pool that there is not
        info = self._info()
        if forgets(str(info.get("version", ""))):
            self.capabilities = replace(self.capabilities, uncounted=FORGETFUL)
        looks: dict[str, list[dict[str, int]]] = {}
        for number in range(LOOKS):
            Clock().sleep(PAUSE if number else 0)
            for name, row in read().items():
                if speaks_http(row):
                    looks.setdefault(name, []).append(numbers(row))
        return looks, str(info["pid"])

    def _whole(self, pool: str) -> dict[str, dict[str, Any]]:
        """The statistics of the backend itself, by its name."""
        return {row["name"]: row["stats"] for row in self._stats("?type=backend", "backend") if row["name"] == pool}

    def _mine(self, pool: str) -> dict[str, dict[str, Any]]:
        """The statistics of a pool's servers, by name."""
        stats = self._stats(f"?type=server&parent={quote(pool, safe='')}", "server")
        return {row["name"]: row["stats"] for row in stats if row.get("backend_name") == pool}

    def _stats(self, query: str, kind: str) -> list[dict[str, Any]]:
        path = f"{SERVICE}/stats/native{query}"
        told = self._get(path)
        # One object for the one process that there is; a list of them, for each process, before.
        groups = told if isinstance(told, list) else [told]
        rows: list[dict[str, Any]] = []
        for group in groups:
            found = group.get("stats") if isinstance(group, dict) else None
            if not isinstance(found, list):
                raise self.api.stranger(f"GET {path}", repr(told))
            rows += [row for row in found if isinstance(row, dict) and row.get("type") == kind]
        return [row for row in rows if isinstance(row.get("name"), str) and isinstance(row.get("stats"), dict)]

    def _put(self, pool: str, name: str, body: dict[str, str]) -> None:
        path = f"{SERVICE}/runtime/backends/{quote(pool, safe='')}/servers/{quote(name, safe='')}"
        answer = self.api.ask("PUT", path, json.dumps(body), {"Content-Type": "application/json"})
        if answer.status != 200:
            raise self._refusal(answer, f"PUT {path}")

    def _get(self, path: str) -> Any:
        return self._json(self.api.ask("GET", path), path)

    def _json(self, answer: Answer, path: str) -> Any:
        if answer.status in (401, 403):
            raise self._refusal(answer, f"GET {path}")
        try:
            told = answer.json()
        except (ValueError, RecursionError):
            told = None
        if answer.status != 200 or told is None:
            raise self.api.stranger(f"GET {path}", f"{answer.status} {answer.text!r}")
        return told

    def _refusal(self, answer: Answer, what: str) -> Refused:
        try:
            said = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError, RecursionError):
            said = repr(answer.text[:200])
        return Refused(f"Balancer {self.name}: the Data Plane API answered {answer.status} to {what}: {said}")


def _is_server(server: Any) -> bool:
    return isinstance(server, dict) and isinstance(server.get("name"), str)


def state(admin_state: str, status: str) -> str:
    """What a server's two views of its state come to."""
    if status.startswith("MAINT"):
        return DISABLED
    if status.startswith("DRAIN"):
        return DRAINED
    if status.startswith(("DOWN", "NOLB")):
        # Statistics show no drain here. Whatever is misread as maintenance without being it is one.
        return ENABLED if admin_state == "ready" else DRAINED
    return ENABLED


def member(server: dict[str, Any], row: dict[str, Any]) -> Member:
    """A server as the API's two views have it: its run-time state, and its statistics."""
    status = str(row.get("status") or "")
    found = state(str(server.get("admin_state")), status)
    # Results are left out while a server is in maintenance; failed checks are counted wherever there are checks.
    checked = status != "no check" and (isinstance(row.get("chkfail"), int) or bool(row.get("tracked")))
    check = str(row.get("check_status") or "").lstrip("* ")
    host, port = str(server.get("address", "")), server.get("port", 0)
    said = row.get("last_chk") or row.get("check_desc")
    weight, scur, qcur = server.get("uweight", row.get("weight")), row.get("scur"), row.get("qcur")
    return Member(
        name=server["name"],
        address=("[{}]:{}" if ":" in host else "{}:{}").format(host, port),
        state=found,
        weight=0 if weight == 0 else NO_WEIGHT,
        health=UNKNOWN if found == DISABLED or not checked else DOWN if status.startswith(("DOWN", "NOLB")) else UP,
        in_flight=scur + (qcur if isinstance(qcur, int) else 0) if isinstance(scur, int) else None,
        checked=checked,
        last_check=" ".join(str(word) for word in (check, row.get("check_code"), said) if word),
    )
