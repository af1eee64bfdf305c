# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy, over its runtime API: https://docs.haproxy.org/2.8/management.html#9.3

What is not obvious, each measured on 2.6, 2.8 and 3.0:

* the state is read from the admin bits of ``show servers state``: a drained member whose check fails shows ``DOWN``;
* what is written and compared is the state of the server itself: one that tracks another, or whose name has no address, is in
  maintenance without that, and leaves it without us (:mod:`haproxy_member`);
* errors come as text on a connection that otherwise succeeded, and success is an empty line;
* leaving maintenance brings a member up at once on a stale result: see `distrust` of :meth:`HAProxy.apply`.
"""

from __future__ import annotations

import csv
import io
import os
import re
from dataclasses import replace
from operator import itemgetter
from typing import Any, Iterable, Iterator

from .._clock import Clock, Deadline
from .._domain.counters import Counters, Served
from .._domain.errors import DeployError, InvalidInput, Refused, Unreachable
from .._domain.members import ENABLED, Change, Member
from .._domain.pools import OtherPool, Timing
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .haproxy_api import RuntimeApi, host_and_port, is_loopback
from .haproxy_config import HASHING, Config, Source
from .haproxy_counters import COLUMNS, FORGETFUL, LOOKS, PAUSE, errors, forgets, numbers, requests, served, speaks_http
from .haproxy_files import Configuration
from .haproxy_member import STAT_COLUMNS, Members, tiers
from .haproxy_memory import Memory
from .haproxy_pools import Listed, comparable, going_with, others
from .haproxy_workers import Workers

NUMBER = re.compile(r"[0-9]{1,20}")

IDLE_CONNECTIONS = 30.0  # seconds that connections kept open to an idle member may take to end: 13.7 were seen, on 2.8
# Characters of commands in a line. One longer than the server's buffer (16 kB unless tuned down) is refused.
LINE = 6000
BACKEND, SERVERS = 2, 4  # the types of `show stat` that list the backend and the servers alone
BACKEND_ROW = "1"  # its column `type` in the row of a backend
ANYWHERE = frozenset("pxname svname tracked addr scur".split())  # of these, those of the servers of all backends
COUNTERS = COLUMNS | {"pxname", "svname", "mode"}


MEMBERSHIP = ("add server", "del server")


class HAProxy(Balancer):
    """See the module's own text."""

    provider = "haproxy"
    running_tells_all = True

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        path, address = options["socket"], options["address"]
        capabilities = replace(capabilities, survives_reload=bool(options["state_file"]))
        super().__init__(name, os.path.realpath(path) if path else address, capabilities)
        if address:
            host_and_port(address)
        self._weight_range = self.capabilities.weight_range
        self.server_options = options["server_options"]
        if re.search(r"[;\x00-\x1f\x7f]", self.server_options or ""):
            raise InvalidInput(
                f"Balancer {name}: `server_options` has a `;`, a line break or a control character in it, with which another command "
                "would begin. Nothing was touched."
            )
        self.state_file = ConfigFile(absolute("state_file", options["state_file"])) if options["state_file"] else None
        # Whether it has been written, or tried to be; and whether a failure of that is known to who called.
        self._kept = self._told = False
        self.api = RuntimeApi(path, address, options["timeout"])
        self._untracked: set[str] = set()  # pools whose servers no server of another backend tracks
        self.workers = self._workers(options)
        self.on_marked_down = options["on_marked_down"]
        self.configuration = Configuration(options["config"], not address or is_loopback(address))
        self._known: dict[str, Memory] = {}  # by pool
        self._rows: dict[str, Members] = {}  # by pool

    def _workers(self, options: dict[str, Any]) -> Workers:
        path, address, timeout = options["master_socket"], options["master_address"], options["timeout"]
        if path and address:
            raise InvalidInput(f"Balancer {self.name}: give `master_socket` or `master_address`, not both. Nothing was touched.")
        if address:
            host_and_port(address)
        master = RuntimeApi(path, address, timeout, master=True) if path or address else None
        return Workers(
            self.name,
            lambda: self.api.ask("show info")[0],
            self.api.is_here,
            master.say if master else None,
            lambda found: RuntimeApi(found, None, timeout, master=True).say,
            path or address or "",
        )

    def busy_sentence(self, pool: str, busy: dict[str, int | None]) -> str:
        return self.workers.busy_sentence(busy)

    def version(self) -> str:
        (info,) = self.api.ask("show info")
        return _version(info)

    def running(self) -> tuple[str, float]:
        (info,) = self.api.ask("show info")
        found = dict(re.findall(r"^(Pid|Uptime_sec): *(\d+)", info, re.MULTILINE))
        if len(found) < 2:
            raise self.api.stranger("show info", info)
        return found["Pid"], float(found["Uptime_sec"])

    def members(self, pool: str) -> list[Member]:
        states, stats, algorithm = self._tables(pool)
        try:
            self._narrow(pool, algorithm)
            tier = tiers(stats.values(), self._all_backups(pool, stats))
            at_sockets = self._unix((pool, name) for name, row in stats.items() if row.get("addr") == "unix")
            unix = {name: address for (_pool, name), address in at_sockets.items()}
            memory = self._known.setdefault(pool, Memory())
            memory.note(states, stats)
            weight_by = {name: now.weight_by for name, now in memory.servers.items() if now.weight_by}
            members = self._rows.setdefault(pool, Members()).of(states, stats, tier, unix, weight_by)
        except (KeyError, ValueError):
            raise self._unfitting(pool) from None
        members = self.workers.counted(pool, self._with_trackers(pool, members))
        self.in_flight_source = self.workers.source
        if not self.workers.adds_servers:
            self.capabilities = replace(self.capabilities, membership=False)
        return members

    def other_pools(self, pool: str) -> list[OtherPool]:
        self._states(pool)  # whether there is such a pool
        rows = {(row["pxname"], row["svname"]): row for row in self._all_stats()}
        (states,) = self.api.ask("show servers state")
        if not states.startswith("1\n# be_id "):
            raise self.api.stranger("show servers state", states)
        unix = self._unix(name for name, row in rows.items() if row.get("addr") == "unix")
        servers = []
        for state in _state_rows(states):
            name = state.get("be_name", ""), state.get("srv_name", "")
            if name in rows:  # else its backend is disabled, and carries nothing
                address = unix.get(name) or comparable(state.get("srv_addr", ""), state.get("srv_port", ""))
                servers.append(Listed(*name, address, rows[name].get("tracked", "")))
        return others(pool, servers)

    def timing(self, pool: str) -> Timing:
        config = self._config()
        found = config.check_time(pool) if config else None
        return Timing(check=found[0], source=found[1]) if found else Timing()

    def drains_first(self, pool: str) -> bool | None:
        if self.on_marked_down != "auto":
            return bool(self.on_marked_down == "shutdown_sessions")
        source = self._source()
        if source is None:
            return None
        if pool not in self._known:
            self.members(pool)
        return source.shuts_sessions(pool, self._known[pool].servers)

    def counters(self, pool: str) -> dict[str, Counters]:
        looks, since = self._looks(pool, SERVERS)
        return {name: Counters(requests(rows[-1]), errors(rows), since) for name, rows in looks.items()}

    def served(self, pool: str) -> Served | None:
        looks, since = self._looks(pool, BACKEND)
        return next((served(rows, since) for rows in looks.values()), None)

    def _looks(self, pool: str, kind: int) -> tuple[dict[str, list[dict[str, int]]], str]:
        """Several looks at the counters, by the row's name, and since when they count; none of a pool in TCP mode."""
        states, (info,) = self._states(pool), self.api.ask("show info")
        # A number of a process may be another's later.
        since = " ".join(re.findall(r"^(?:Pid|Start_time_sec): *(\d+)", info, re.MULTILINE))
        if forgets(_version(info)):
            self.capabilities = replace(self.capabilities, uncounted=FORGETFUL)
        looks: dict[str, list[dict[str, int]]] = {}
        for number in range(LOOKS):
            Clock().sleep(PAUSE if number else 0)
            for name, row in self._stats(states, COUNTERS, kind).items():
                if speaks_http(row):
                    looks.setdefault(name, []).append(numbers(row))
        return looks, since

    def _states(self, pool: str) -> list[dict[str, str]]:
        _check_name("pool", pool)
        command = f"show servers state {pool}"
        (states,) = self.api.ask(command)
        return self._state_rows(pool, command, states)

    def _state_rows(self, pool: str, command: str, states: str) -> list[dict[str, str]]:
        if not states.startswith("1\n# be_id "):
            raise self._unknown_pool(pool, states)
        rows = list(_state_rows(states))
        numbers = {row.get("be_id", "") for row in rows}
        if not all(map(NUMBER.fullmatch, numbers)) or not all("be_name" in row and "srv_name" in row for row in rows):
            raise self.api.stranger(command, states)
        return rows

    def _stats(
        self, states: list[dict[str, str]], columns: frozenset[str] = STAT_COLUMNS, kind: int = SERVERS
    ) -> dict[str, dict[str, str]]:
        if not states:
            return {}
        command = _stat_command(states, kind)
        (stats,) = self.api.ask(command)
        return self._by_name(states, command, stats, columns)

    def _all_stats(self) -> list[dict[str, str]]:
        """The statistics of the servers of all backends."""
        command = f"show stat -1 {SERVERS} -1"
        (stats,) = self.api.ask(command)
        try:
            rows = list(_stat_rows(stats, ANYWHERE))
        except csv.Error:
            rows = [{}]
        if not all("pxname" in row and "svname" in row for row in rows):
            raise self.api.stranger(command, stats)
        return rows

    def _by_name(
        self, states: list[dict[str, str]], command: str, stats: str, columns: frozenset[str]
    ) -> dict[str, dict[str, str]]:
        try:
            rows = [row for row in _stat_rows(stats, columns) if row.get("pxname") == states[0]["be_name"]]
            # A server may be named like the row of its backend.
            return {"" if row.get("type") == BACKEND_ROW else row["svname"]: row for row in rows}
        except (KeyError, csv.Error):
            raise self.api.stranger(command, stats) from None

    def _tables(self, pool: str) -> tuple[list[dict[str, str]], dict[str, dict[str, str]], str]:
        """Both tables of a pool, servers by name, and its algorithm, where HAProxy tells that.

        :raises Refused: when the backend is disabled: it has servers, and no statistics.
        """
        states = self._states(pool)
        stats = self._stats(states, STAT_COLUMNS, BACKEND | SERVERS)
        if not _fit(states, stats):
            # Another process may have answered the second command. Ask again for both, in one connection.
            number, command = states[0]["be_id"], _stat_command(states, BACKEND | SERVERS)
            table = f"show servers state {pool}"
            first, second = self.api.ask(table, command)
            states = self._state_rows(pool, table, first)
            same = bool(states) and states[0]["be_id"] == number
            stats = self._by_name(states, command, second, STAT_COLUMNS) if same else {}
            if same and not stats:
                raise Refused(
                    f"Balancer {self.name}: HAProxy at {self.api.label} lists the servers of pool {pool!r} and no statistics of it, so the "
                    "backend has the word `disabled` in its section and carries no traffic. Remove the word and reload HAProxy, or name "
                    "another pool."
                )
            if not _fit(states, stats):
                raise self._unfitting(pool)
        algorithm = stats.pop("", {}).get("algo", "")
        return states, stats, algorithm

    def _with_trackers(self, pool: str, members: list[Member]) -> list[Member]:
        """Members that are out, with the requests that reach them through servers that track them: those are counted there alone."""
        if pool in self._untracked or all(member.own == ENABLED for member in members):
            return members
        # In the column `tracked` of no server: this saves the parsing of all backends.
        if f",{pool}/" not in self.api.say(f"show stat -1 {SERVERS} -1"):
            self._untracked.add(pool)
            return members
        sessions = self._sessions(pool, elsewhere=True)
        return [
            replace(member, in_flight=member.in_flight + sessions[member.name])
            if member.own != ENABLED and member.in_flight is not None and sessions.get(member.name)
            else member
            for member in members
        ]

    def _busy(self, pool: str) -> set[str]:
        """The servers that have sessions at this moment, or are tracked by one that has."""
        sessions = self._sessions(pool)
        return {name for name, count in sessions.items() if count}

    def _sessions(self, pool: str, elsewhere: bool = False) -> dict[str, int]:
        """The sessions of each server, with those of servers that track it.

        :param elsewhere: whether only the sessions of those other servers are counted.
        """
        servers, sessions = [], []
        for row in self._all_stats():
            servers.append(Listed(row["pxname"], row["svname"], None, row.get("tracked", "")))
            count = row.get("scur") or "0"
            if not re.fullmatch("[0-9]{1,20}", count):
                raise self.api.stranger("show stat", count)
            if int(count) and not (elsewhere and row["pxname"] == pool):
                sessions.append(((row["pxname"], row["svname"]), int(count)))
        with_ours = going_with(pool, servers)
        counts: dict[str, int] = {}
        for place, count in sessions:
            for name in with_ours[place]:
                counts[name] = counts.get(name, 0) + count
        return counts

    def _unfitting(self, pool: str) -> Unreachable:
        return Unreachable(
            f"Balancer {self.name}: the two answers of HAProxy at {self.api.label} about pool {pool!r} do not fit together. "
            "Is it being reloaded? Run the task again."
        )

    def _narrow(self, pool: str, algorithm: str) -> None:
        """A pool with a static algorithm has no weights to speak of: 0 and 100 % alone."""
        fixed = algorithm == "static-rr"
        if algorithm in HASHING:
            config = self._config()
            fixed = bool(config and config.weights_are_fixed(pool))
        self.capabilities = replace(self.capabilities, weight_range=None if fixed else self._weight_range)

    def _all_backups(self, pool: str, stats: dict[str, dict[str, str]]) -> bool:
        if sum(row.get("bck") == "1" for row in stats.values()) < 2:
            return False
        config = self._config()
        return bool(config and config.all_backups(pool))

    def _unix(self, servers: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The addresses of servers at unix sockets, by backend and server, where the configuration tells them."""
        servers = list(servers)
        config = self._config() if servers else None
        return {name: re.sub(r"^unix@", "", config.address(*name)) for name in servers} if config else {}

    def _config(self) -> Config | None:
        source = self._source()
        return source.config if source else None

    def _source(self) -> Source | None:
        (info,) = self.api.ask("show info")
        found = dict(re.findall(r"^(Pid|Uptime_sec): *(\d+)", info, re.MULTILINE))
        if len(found) < 2:
            raise self.api.stranger("show info", info)
        return self.configuration.of(int(found["Pid"]), float(found["Uptime_sec"]))

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        _check_name("pool", pool)
        if self.state_file and not self._kept:
            self.state_file.check_writable()
        for change in changes:
            _check_name("member", change.name)
        self._write(self._orders(pool, changes, distrust))
        members = self.members(pool)
        if self.state_file:
            self._keep(pool)
        self.check_written(
            pool,
            changes,
            members,
            "Something else holds it there: its agent, or another controller.",
        )
        return members

    def _orders(self, pool: str, changes: list[Change], distrust: bool) -> list[list[str]]:
        """The commands for each change, by how the servers are at this moment."""
        if distrust or pool not in self._known or self._known[pool].has_agents:
            self.members(pool)
        busy = self._busy(pool) if distrust and self.drains_first(pool) is not False else set()
        return self._known[pool].orders(pool, changes, busy, distrust)

    def cut(self, pool: str, names: list[str]) -> None:
        for name in (pool, *names):
            _check_name("pool or member", name)
        self._write([[f"shutdown sessions server {pool}/{name}"] for name in names])
        self.workers.cut(pool, names)

    def persist(self, pool: str, check_mode: bool = False) -> bool:
        if self.state_file is None:
            return super().persist(pool, check_mode)
        # Of all pools: the file is one for the whole process.
        (states,) = self.api.ask("show servers state")
        if not states.startswith("1\n# be_id "):
            raise self.api.stranger("show servers state", states)
        try:
            known = self.state_file.read()
        except Unreachable:
            known = ""
        if _lasting(known) == _lasting(states):
            return False
        if not check_mode:
            self.state_file.write(states + "\n")
        return True

    def _keep(self, pool: str) -> None:
        """Write the state file after a change.

        :raises Refused: it cannot be written.  Once is enough: when the change is undone, that it was undone is what counts.
        """
        try:
            self.persist(pool)
            self._kept, self._told = True, False
        except Refused:
            if self._told:
                return
            self._kept = self._told = True
            raise

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        _check_name("pool", pool)
        _check_name("member", name)
        host_and_port(address)
        # It starts in maintenance, and its checks start disabled.
        words = f"{self.server_options} weight {weight}" if weight is not None else self.server_options
        self._write([[f"add server {pool}/{name} {address} {words}"]], success="New server registered.")
        if re.search(r"\bcheck\b", words):
            self._write([[f"enable health {pool}/{name}"]])

    def remove(self, pool: str, names: list[str]) -> None:
        clock = Clock()
        deadline = Deadline(clock, IDLE_CONNECTIONS)
        for name in names:
            _check_name("member", name)
            command = f"del server {pool}/{name}"
            # Connections that are kept open to it, though nothing is under way, count too and end by themselves.
            while (answer := self.api.say(command)) != "Server deleted.":
                if "connection" not in answer or deadline.passed:
                    raise self._refusal(command, answer)
                clock.sleep(0.1)

    def _write(self, commands: list[list[str]], success: str = "") -> None:
        for line in _lines(commands):
            for command, answer in zip(line, self.api.ask(*line)):
                if answer.strip() != success:
                    raise self._refusal(command, answer.strip())

    def _refusal(self, command: str, answer: str) -> DeployError:
        if answer.startswith("Permission denied"):
            return Refused(
                f"Balancer {self.name}: HAProxy answered 'Permission denied' to `{command}`: {self.api.label} may read and not "
                "write. Its `stats socket` line needs `level admin`."
            )
        if answer.startswith("Unknown command"):
            verb = " ".join(command.split()[:2])
            reason = f"it can {verb.split()[0]} servers from 2.5 on" if verb in MEMBERSHIP else "this version is too old for it"
            return Refused(
                f"Balancer {self.name}: HAProxy {self.version()} does not know the command `{verb}`: {reason}. "
                "Nothing was touched by it."
            )
        return Refused(f"Balancer {self.name}: HAProxy answered {answer!r} to `{command}`.")

    def _unknown_pool(self, pool: str, answer: str) -> DeployError:
        if answer.startswith("Permission denied"):
            return self._refusal("show servers state", answer)
        if not answer.startswith("Can't find backend"):
            return self.api.stranger(f"show servers state {pool}", answer)
        (backends,) = self.api.ask("show backend")
        known = sorted(name for name in backends.split() if not name.startswith(("#", "name")))
        return InvalidInput(
            f"Balancer {self.name} has no pool {pool!r}. HAProxy's backends are: {', '.join(known) or 'none'}. Nothing was touched."
        )


def _lines(groups: Iterable[list[str]]) -> list[list[str]]:
    """Commands by the line they are sent in; what belongs together stays together."""
    lines: list[list[str]] = []
    room = 0
    for group in groups:
        length = sum(len(command) + 1 for command in group)
        if length > room:
            lines.append([])
            room = LINE
        lines[-1].extend(group)
        room -= length
    return lines


def _version(info: str) -> str:
    found = re.search(r"^Version: *(\S+)", info, re.MULTILINE)
    return found.group(1) if found else "unknown"


def _state_rows(text: str) -> Iterator[dict[str, str]]:
    lines = text.split("\n")[1:]  # the first is the format's version
    header = lines[0].lstrip("# ").split()
    for line in filter(None, lines[1:]):  # a file of them ends with a newline, an answer does not
        yield dict(zip(header, line.split()))


def _lasting(text: str) -> list[tuple[str | None, ...]]:
    """Of the states of all servers what somebody has set."""
    if not text.startswith("1\n# be_id "):
        return []
    columns = ("be_name", "srv_name", "srv_addr", "srv_port", "srv_admin_state", "srv_uweight")
    return [tuple(row.get(column) for column in columns) for row in _state_rows(text)]


def _stat_rows(text: str, wanted: frozenset[str]) -> Iterator[dict[str, str]]:
    # Of about a hundred columns the few that are read: a pool of a thousand servers is parsed at every poll.
    rows = csv.reader(io.StringIO(text.lstrip("# ")))
    columns = [(index, name) for index, name in enumerate(next(rows, [])) if name in wanted]
    names, width = [name for _index, name in columns], max((index for index, _name in columns), default=0)
    pick = itemgetter(*(index for index, _name in columns)) if len(columns) > 1 else None
    for row in rows:
        if pick and len(row) > width:
            yield dict(zip(names, pick(row)))
        else:
            yield {name: row[index] for index, name in columns if index < len(row)}


def _stat_command(states: list[dict[str, str]], kind: int) -> str:
    # Asked for by number (`#`, or a proxy that is named like a number would be meant): a frontend may bear the pool's name too.
    return f"show stat #{states[0]['be_id']} {kind} -1"


def _fit(states: list[dict[str, str]], stats: dict[str, dict[str, str]]) -> bool:
    """Whether both tables have the same servers."""
    return {row["srv_name"] for row in states} == {name for name in stats if name}


def _check_name(kind: str, name: str) -> None:
    # HAProxy allows no other characters; a `;` or a line end would start another command.
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", name):
        raise InvalidInput(
            f"{name!r} is no name of a {kind}: HAProxy allows letters, digits and _ . : - in it. Nothing was touched."
        )
