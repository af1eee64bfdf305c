# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NGINX Plus, over its REST API: https://nginx.org/en/docs/http/ngx_http_api_module.html

Written after that documentation, and never run against an NGINX Plus.  What is not obvious in it:

* the configuration of a server (``…/servers``) holds `down`, `drain` and `weight`; what it does at the moment (`state`, `active`,
  `health_checks`) stands elsewhere (``…/upstreams/NAME``).  A state is read from both, so that neither a failing check hides a
  drain nor a field that is left out does;
* servers are written by an ID, and IDs change when the configuration is reloaded: what was written is told from the answer;
* the documentation does not say how a drain is undone.  `drain` is written as false, and read back;
* upstreams without a `zone`, and addresses in `proxy_pass` itself, are not shown.  A reload makes the zones anew: requests that the
  workers from before it still have are counted nowhere.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Dict, Tuple
from urllib.parse import quote

from .._domain.counters import Counters
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Change, Member
from .._domain.pools import OtherPool
from .base import Balancer
from .declaration import Capabilities
from .http_api import Answer, HttpApi
from .nginx_pools import canonical, with_port

VERSIONS = range(1, 10)  # of the API; the newest that the server has is used

# A server that gets nothing by its state: after failed requests, before its first check (a mandatory one), after failed checks.
SICK = ("unavail", "checking", "unhealthy")

# By address, each as it does and as it is configured.
Servers = Dict[str, Tuple[Dict[str, Any], Dict[str, Any]]]


class NginxPlus(Balancer):
    """See the module's own text."""

    provider = "nginx_plus"
    running_tells_all = True
    in_flight_source = "`active` of each server; requests that began before NGINX's last reload are not in it"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.api = HttpApi.of("NGINX Plus's API", options)
        super().__init__(name, self.api.endpoint, capabilities)
        self._root = ""

    def version(self) -> str:
        told = self._get("/nginx")
        found = told if isinstance(told, dict) else {}
        return " ".join(str(found[key]) for key in ("version", "build") if found.get(key)) or "unknown"

    def running(self) -> tuple[str, float]:
        told = self._get("/nginx")
        try:
            # A reload forgets as much as a restart does. The process that answers is one of several workers: its parent is the same.
            since, now = (_moment(told[key]) for key in ("load_timestamp", "timestamp"))
            return f"{told['ppid']} {told['generation']}", (now - since).total_seconds()
        except (KeyError, TypeError, ValueError):
            raise self.api.stranger("GET /nginx", repr(told)) from None

    def members(self, pool: str) -> list[Member]:
        return [_member(*server) for server in self._servers(pool).values()]

    def other_pools(self, pool: str) -> list[OtherPool]:
        http = self._upstreams("/http/upstreams")
        if pool not in http:
            raise self._unknown_pool(pool)
        members: dict[str, list[str]] = {}
        for peer in http.pop(pool):
            members.setdefault(canonical(with_port(peer["server"])), []).append(peer["server"])
        stream = self._upstreams("/stream/upstreams")
        both = [(name, peers, "same address") for name, peers in http.items()]
        both += [(f"stream upstream {name}", peers, "same address, in `stream`") for name, peers in stream.items()]
        found = []
        for name, peers, reason in both:
            keys = [canonical(with_port(peer["server"])) for peer in peers]
            common = dict.fromkeys(member for key in keys for member in members.get(key, ()))
            if common:
                found.append(OtherPool(name, tuple(common), reason))
        return found

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        servers = self._servers(pool)
        for change in changes:
            if change.name not in servers:
                raise Refused(f"Balancer {self.name}: upstream {pool} has no server {change.name}.")
            body = patch(*servers[change.name], change)
            if body:
                self._patch(pool, servers, change.name, body)
        members = self.members(pool)
        self.check_written(
            pool,
            changes,
            members,
            "Something else holds it there: a reload that brought the configuration back, or another controller.",
        )
        return members

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        if name != address:
            raise InvalidInput(
                f"Balancer {self.name}: NGINX knows servers by address alone, so {name} cannot be added as {address}. "
                f"Say so in `names`: {{{name}: '{address}'}}. Nothing was touched."
            )
        server = {"server": address, "down": True, **({} if weight is None else {"weight": weight})}
        answer = self._ask("POST", f"{self._path(pool)}/servers", server)
        if answer.status != 201:
            raise self._refusal(answer, f"POST of {address}")

    def remove(self, pool: str, names: list[str]) -> None:
        for name in names:
            # Read before each of them: an ID is somebody else's after a reload.
            servers = self._servers(pool)
            if name not in servers:
                raise Refused(f"Balancer {self.name}: upstream {pool} has no server {name}.")
            answer = self._ask("DELETE", f"{self._path(pool)}/servers/{servers[name][0]['id']}")
            if answer.status != 200:
                raise self._refusal(answer, f"DELETE of {name}")
        left = {*self._servers(pool)}.intersection(names)
        if left:
            raise NotApplied(
                f"Balancer {self.name}: {', '.join(sorted(left))} was deleted from {pool} and is still there."
            )

    def counters(self, pool: str) -> dict[str, Counters]:
        told = self._get("/nginx")
        try:
            since = f"{told['ppid']} {told['generation']} {told['load_timestamp']}"
            servers = {name: peer for name, (peer, _conf) in self._servers(pool).items()}
            return {name: Counters(int(peer["requests"]), _failed(peer), since) for name, peer in servers.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise self.api.stranger("GET /nginx", f"{told!r}, and a server lacks {error}") from None

    def _servers(self, pool: str) -> Servers:
        """Each server as it does and as it is configured."""
        path = self._path(pool)
        answer = self._ask("GET", path)
        if answer.status == 404:
            raise self._unknown_pool(pool)
        peers, confs = (
            _rows(self._json(answer, path), "peers"),
            _rows({"servers": self._get(f"{path}/servers")}, "servers"),
        )
        if peers is None or confs is None:
            raise self.api.stranger(f"GET {path}", repr(answer.text))
        configured = {conf["id"]: conf for conf in confs}
        for peer in peers:
            # A name that is resolved is configured as a name; its servers have addresses.
            if peer["id"] in configured and configured[peer["id"]].get("server") not in (
                peer["server"],
                peer.get("name"),
            ):
                raise Unreachable(
                    f"Balancer {self.name}: the two answers of NGINX Plus about upstream {pool} do not fit together. "
                    "Is it being reloaded? Run the task again."
                )
        names = [peer["server"] for peer in peers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidInput(
                f"Balancer {self.name}: upstream {pool} has {', '.join(twice)} several times, and which is which cannot be told. "
                "Nothing was touched."
            )
        return {peer["server"]: (peer, configured.get(peer["id"], {})) for peer in peers}

    def _upstreams(self, path: str) -> dict[str, list[dict[str, Any]]]:
        """The servers of every upstream with a zone, by its name; of none where NGINX has no such block."""
        answer = self._ask("GET", path)
        if answer.status == 404:
            return {}
        told = self._json(answer, path)
        groups = (
            {str(name): _rows(group, "peers") for name, group in told.items()} if isinstance(told, dict) else {"": None}
        )
        if any(peers is None for peers in groups.values()):
            raise self.api.stranger(f"GET {path}", repr(answer.text))
        return {name: peers for name, peers in groups.items() if peers is not None}

    def _patch(self, pool: str, servers: Servers, name: str, body: dict[str, Any]) -> None:
        server = servers[name][0]
        path = f"{self._path(pool)}/servers/{server['id']}"
        answer = self._ask("PATCH", path, body)
        if answer.status != 200:
            raise self._refusal(answer, f"PATCH of {name}")
        told = self._json(answer, path)
        written = told.get("server") if isinstance(told, dict) else None
        if written in (name, server.get("name")):
            return
        # Since a reload the ID is another server's.
        if written in servers:
            down, drain = flags(*servers[written])
            was = {"down": down, "drain": drain, "weight": _weight(*servers[written])}
            self._ask("PATCH", path, {key: was[key] for key in body})
        raise NotApplied(
            f"Balancer {self.name}: {name} of {pool} was to be written, and what was is {written}: NGINX has been reloaded meanwhile. "
            f"{written} was put back as it was seen before, if it was. Look at it, and run the task again."
        )

    def _path(self, pool: str) -> str:
        if not re.fullmatch(r"[^\s/;{}\"'?#%\x00-\x1f]+", pool):
            raise InvalidInput(f"{pool!r} is no name of an upstream. Nothing was touched.")
        return f"/http/upstreams/{quote(pool, safe='')}"

    def _unknown_pool(self, pool: str) -> InvalidInput:
        told = self._get("/http/upstreams?fields=")
        known = sorted(str(name) for name in told) if isinstance(told, (dict, list)) else []
        return InvalidInput(
            f"Balancer {self.name} has no pool {pool!r}. NGINX's upstreams with a zone are: {', '.join(known) or 'none'}. "
            "Nothing was touched."
        )

    def _get(self, path: str) -> Any:
        return self._json(self._ask("GET", path), path)

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

    def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        if not self._root:
            found = self._json(self.api.ask("GET", "/"), "/")
            versions = [version for version in found if version in VERSIONS] if isinstance(found, list) else []
            if not versions:
                raise self.api.stranger(
                    "GET /", f"it has none of the versions {VERSIONS[0]} to {VERSIONS[-1]}: {found!r}"
                )
            self._root = f"/{max(versions)}"
        if body is None:
            return self.api.ask(method, self._root + path)
        return self.api.ask(method, self._root + path, json.dumps(body), {"Content-Type": "application/json"})

    def _refusal(self, answer: Answer, what: str) -> DeployError:
        if answer.status == 405:
            return Refused(
                f"Balancer {self.name}: NGINX Plus's API may read and not write: it needs `api write=on;` ({what})."
            )
        try:
            told = answer.json()["error"]
            said = f"{told['text']} ({told['code']})"
        except (ValueError, KeyError, TypeError, RecursionError):
            said = repr(answer.text[:200])
        return Refused(f"Balancer {self.name}: NGINX Plus answered {answer.status} to {what}: {said}")


def patch(server: dict[str, Any], conf: dict[str, Any], change: Change) -> dict[str, Any]:
    """What is to be written of a server: that alone which differs."""
    down, drain = flags(server, conf)
    # One that is down may stay marked as draining: it gets nothing either way.
    wanted = {ENABLED: (False, False), DRAINED: (False, True), DISABLED: (True, drain)}.get(
        change.state or "", (down, drain)
    )
    body: dict[str, Any] = {}
    if wanted[0] != down:
        body["down"] = wanted[0]
    if wanted[1] != drain:
        body["drain"] = wanted[1]
    if change.weight is not None and change.weight != _weight(server, conf):
        body["weight"] = change.weight
    return body


def flags(server: dict[str, Any], conf: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a server is down by its configuration, and whether it drains."""
    return (
        conf.get("down") is True or server.get("state") == "down",
        conf.get("drain") is True or server.get("state") == "draining",
    )


def _weight(server: dict[str, Any], conf: dict[str, Any]) -> int:
    return next((w for w in (conf.get("weight"), server.get("weight")) if isinstance(w, int)), 1)


def _member(server: dict[str, Any], conf: dict[str, Any]) -> Member:
    down, drain = flags(server, conf)
    checks = server.get("health_checks")
    passed = checks.get("last_passed") if isinstance(checks, dict) else None
    said, active, requests = str(server.get("state")), server.get("active"), server.get("requests")
    checked = isinstance(passed, bool) or said in SICK
    # While it drains its state says that alone, and its last check the rest.
    well = said == "up" or (said not in SICK and passed is True)
    return Member(
        name=server["server"],
        address=server["server"],
        state=DISABLED if down else DRAINED if drain else ENABLED,
        weight=_weight(server, conf),
        health=UNKNOWN if down or not checked else UP if well else DOWN,
        in_flight=active if isinstance(active, int) else None,
        checked=checked,
        last_check=" ".join([said, *([] if passed is None else [f"last check {'passed' if passed else 'failed'}"])])
        if checked
        else "",
        tier=int(server.get("backup") is True or conf.get("backup") is True),
        requests=requests if isinstance(requests, int) else None,
    )


def _failed(server: dict[str, Any]) -> int:
    """Answers of status 5xx, and attempts that failed; one that is told to be both by `proxy_next_upstream http_500` counts twice."""
    return int(server["responses"]["5xx"]) + int(server["fails"])


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")


def _rows(answer: Any, key: str) -> list[dict[str, Any]] | None:
    """A list of servers, each of which has at least an ID and an address."""
    rows = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        return None
    return [
        row
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("id"), int) and isinstance(row.get("server"), str)
    ]
