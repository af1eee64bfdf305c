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
* of a server that is in maintenance with another one, which it tracks, or because its name has no address, neither view tells whether
  it is so by a write as well.  It is supposed not to be, unless this task wrote it; to disable it takes a drain first, or the API
  leaves the write out;
* `operational_state` is written before `admin_state` of the same request, and leaving maintenance undoes it: two requests;
* weights cannot be written at run time, and not every version shows them;
* one process answers.  Former ones, which finish their requests after a reload, are not seen; they are held to be busy for some time.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Callable, Dict, Tuple
from urllib.parse import quote

from .._clock import Clock
from .._domain.counters import Counters, Served
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Change, Member
from .._domain.pools import OtherPool, Timing
from . import dataplane_config
from .base import Balancer
from .dataplane_api import SERVICE, DataPlaneApi
from .declaration import Capabilities
from .haproxy_config import Config
from .haproxy_counters import FORGETFUL, LOOKS, PAUSE, errors, forgets, numbers, requests, served, speaks_http
from .haproxy_member import tiers
from .haproxy_pools import Listed, comparable, others
from .haproxy_workers import UNSEEN

ADMIN_STATE = {ENABLED: "ready", DRAINED: "drain", DISABLED: "maint"}
NO_WEIGHT = 1  # of servers whose weight is not 0: what it is cannot be changed
INHERITED = "MAINT ("  # as the statistics begin that say so


class HAProxyDataPlane(Balancer):
    """See the module's own text."""

    provider = "haproxy_dataplane"
    running_tells_all = True
    in_flight_source = (
        "`scur` and `qcur` of the process that answers; former processes after a reload cannot be seen, so that members that leave count "
        f"as busy for {UNSEEN:g} s after one"
    )

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.api = DataPlaneApi(name, options)
        super().__init__(name, self.api.endpoint, capabilities)
        # Servers that track another, by pool, as last read: they have no result of their own.
        self._following: dict[str, set[str]] = {}
        self._configs: dict[str, Config] = {}
        self._reloaded = False  # a short while ago, as last read
        self._written: dict[tuple[str, str], str] = {}  # states that this task wrote, by pool and server

    def version(self) -> str:
        return self.api.version()

    def running(self) -> tuple[str, float]:
        info = self.api.info()
        return str(info["pid"]), float(info["uptime"])

    def members(self, pool: str) -> list[Member]:
        servers = self._servers(pool)
        mine = self._mine(pool)
        missing = [server["name"] for server in servers if server["name"] not in mine]
        if missing:
            raise self._unfitting(pool, missing, bool(mine))
        self._following[pool] = {name for name, row in mine.items() if row.get("tracked")}
        tier = self._tiers(pool, mine)
        members = [
            member(server, mine[server["name"]], tier[server["name"]], self._written.get((pool, server["name"]), ENABLED))
            for server in servers
        ]
        out = any(each.state != ENABLED for each in members)
        self._reloaded = out and float(self.api.info()["uptime"]) < UNSEEN
        return [replace(each, in_flight=None) if self._reloaded and each.state != ENABLED else each for each in members]

    def busy_sentence(self, pool: str, busy: dict[str, int | None]) -> str:
        if not self._reloaded:
            return ""
        return (
            f"HAProxy was reloaded, or started, less than {UNSEEN:g} s ago, and the Data Plane API does not show a former process's "
            "requests: run the task again later, or reach its master socket with provider haproxy."
        )

    def other_pools(self, pool: str) -> list[OtherPool]:
        self._servers(pool)  # which knows what to say of a pool that there is not
        rows = self.api.stats("?type=server", "server")
        if rows and not any(row["stats"].get("addr") for row in rows):
            raise Refused(
                f"Balancer {self.name}: the runtime socket of the Data Plane API shows no addresses of servers, by which their other pools "
                "would be found. Its `stats socket` line needs `level operator` or `level admin`."
            )
        return others(pool, [_listed(row) for row in rows])

    def timing(self, pool: str) -> Timing:
        found = self._config(pool).check_time(pool)
        return Timing(check=found[0], source=found[1]) if found else Timing()

    def drains_first(self, pool: str) -> bool | None:
        names = [server["name"] for server in self._servers(pool)]
        return self._config(pool).shuts_sessions(pool, names)

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        now = {member.name: member for member in self.members(pool)}
        gentle = distrust and self._config(pool).shuts_sessions(pool, [change.name for change in changes]) is not False
        for change in changes:
            if change.name not in now:
                raise Refused(f"Balancer {self.name}: backend {pool} has no server {change.name}.")
            inherited = now[change.name].own != now[change.name].state
            if change.state is not None and (change.state != now[change.name].own or inherited):
                self._set_state(pool, change.name, change.state, inherited)
            # To mark it down would end what it has under way, where it is configured so.
            busy = now[change.name].in_flight != 0
            if distrust and change.name not in self._following[pool] and not (gentle and busy):
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

    def _set_state(self, pool: str, name: str, state: str, inherited: bool) -> None:
        if inherited and state == DISABLED:
            drained = self._put(pool, name, {"admin_state": ADMIN_STATE[DRAINED]})
            if not isinstance(drained, dict) or drained.get("admin_state") == ADMIN_STATE[DISABLED]:
                raise NotApplied(
                    f"Balancer {self.name}: {pool}/{name} is in maintenance for another reason than a write, and the Data Plane API does "
                    "not let it be disabled for itself (issue 343). Provider haproxy does, where the runtime socket can be reached."
                )
        self._put(pool, name, {"admin_state": ADMIN_STATE[state]})
        self._written[pool, name] = state

    def _servers(self, pool: str) -> list[dict[str, Any]]:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", pool):
            raise InvalidInput(
                f"{pool!r} is no name of a pool: HAProxy allows letters, digits and _ . : - in it. Nothing was touched."
            )
        path = f"{SERVICE}/runtime/backends/{quote(pool, safe='')}/servers"
        # Of a backend that there is not some versions say 404, others that it has no servers.
        servers = self.api.get(path, absent=[])
        if not isinstance(servers, list) or not all(_is_server(server) for server in servers):
            raise self.api.http.stranger(f"GET {path}", repr(servers))
        if not servers:
            known = sorted({row["name"] for row in self.api.stats("?type=backend", "backend")})
            if pool not in known:
                raise InvalidInput(
                    f"Balancer {self.name} has no pool {pool!r}. HAProxy's backends are: {', '.join(known) or 'none'}. Nothing was touched."
                )
        return servers

    def _unfitting(self, pool: str, missing: list[str], partly: bool) -> Unreachable:
        why = "Is HAProxy being reloaded? Run the task again."
        if not partly:
            why = f"Either HAProxy is being reloaded: run the task again. Or backend {pool} is `disabled` in the configuration."
        return Unreachable(
            f"Balancer {self.name}: the Data Plane API knows the servers of {pool}, and has no statistics of {', '.join(missing)}. {why}"
        )

    def _config(self, pool: str) -> Config:
        """The backend in HAProxy's configuration, as far as the API shows it."""
        if pool not in self._configs:
            where = f"{SERVICE}/configuration"
            backend = f"{where}/backends/{quote(pool, safe='')}"
            try:
                told = [self.api.get(path) for path in (backend, f"{backend}/servers", f"{where}/defaults")]
            except DeployError:  # it is not known then, which is no reason not to go on
                told = [None, None, None]
            self._configs[pool] = dataplane_config.config(pool, *told)
        return self._configs[pool]

    def _tiers(self, pool: str, stats: dict[str, dict[str, Any]]) -> dict[str, int]:
        rows = [{"svname": name, "bck": str(row.get("bck", ""))} for name, row in stats.items()]
        backups = any(row["bck"] == "1" for row in rows)
        return tiers(rows, backups and bool(self._config(pool).all_backups(pool)))

    def counters(self, pool: str) -> dict[str, Counters]:
        looks, since = self._looks(pool, lambda: self._mine(pool))
        return {name: Counters(requests(rows[-1]), errors(rows), since) for name, rows in looks.items()}

    def served(self, pool: str) -> Served | None:
        looks, since = self._looks(pool, lambda: self._whole(pool))
        return next((served(rows, since) for rows in looks.values()), None)

    def _looks(self, pool: str, read: Callable[[], Dict[str, Dict[str, Any]]]) -> tuple[dict[str, list[dict[str, int]]], str]:
        """Several looks at the counters, by the row's name, and since when they count; none of a pool in TCP mode."""
        self._servers(pool)  # which knows what to say of a pool that there is not
        info = self.api.info()
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
        return {row["name"]: row["stats"] for row in self.api.stats("?type=backend", "backend") if row["name"] == pool}

    def _mine(self, pool: str) -> dict[str, dict[str, Any]]:
        """The statistics of a pool's servers, by name."""
        stats = self.api.stats(f"?type=server&parent={quote(pool, safe='')}", "server")
        return {row["name"]: row["stats"] for row in stats if row.get("backend_name") == pool}

    def _put(self, pool: str, name: str, body: dict[str, str]) -> Any:
        return self.api.put(f"{SERVICE}/runtime/backends/{quote(pool, safe='')}/servers/{quote(name, safe='')}", body)


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


def member(server: dict[str, Any], row: dict[str, Any], tier: int = 0, own: str = ENABLED) -> Member:
    """A server as the API's two views have it: its run-time state, and its statistics.

    :param own: the state that was written to it, where it is in maintenance for another reason.
    """
    status = str(row.get("status") or "")
    found = state(str(server.get("admin_state")), status)
    # Results are left out while a server is in maintenance; failed checks are counted wherever there are checks.
    checked = status != "no check" and (isinstance(row.get("chkfail"), int) or bool(row.get("tracked")))
    check = str(row.get("check_status") or "").lstrip("* ")
    host, port = str(server.get("address", "")), server.get("port", 0)
    said = row.get("last_chk") or row.get("check_desc")
    weight, scur, qcur = server.get("uweight", row.get("weight")), row.get("scur"), row.get("qcur")
    health = UNKNOWN if found == DISABLED or not checked else DOWN if status.startswith(("DOWN", "NOLB")) else UP
    because = f"in maintenance {status[len(INHERITED) - 1 :]}" if status.startswith(INHERITED) else ""
    stot = row.get("stot")
    return Member(
        name=server["name"],
        address=("[{}]:{}" if ":" in host else "{}:{}").format(host, port),
        state=found,
        weight=0 if weight == 0 else NO_WEIGHT,
        own_state=own if because and own != found else "",
        health=health,
        in_flight=scur + (qcur if isinstance(qcur, int) else 0) if isinstance(scur, int) else None,
        checked=checked,
        last_check=" ".join(str(word) for word in (because, check, row.get("check_code"), said) if word),
        tier=tier,
        check_progress=_progress(row) if health == DOWN else None,
        requests=stot if isinstance(stot, int) else None,
    )


def _progress(row: dict[str, Any]) -> Tuple[int, int] | None:
    """Checks that have passed and those that it takes, of one that is down."""
    passed, needed = row.get("check_health"), row.get("check_rise")
    if not isinstance(passed, int) or not isinstance(needed, int) or not 0 <= passed < needed:
        return None
    return passed, needed


def _listed(row: dict[str, Any]) -> Listed:
    """A row of the statistics as a server of any backend."""
    host, _colon, port = str(row["stats"].get("addr") or "").rpartition(":")
    address = comparable(host.strip("[]"), port)
    return Listed(str(row.get("backend_name") or ""), row["name"], address, str(row["stats"].get("tracked") or ""))
