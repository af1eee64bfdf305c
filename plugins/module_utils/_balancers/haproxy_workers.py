# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Former workers of HAProxy: those that a reload leaves behind to finish their requests.

The worker that answers on the ``stats socket`` has the requests of its own in its statistics, and none of former workers.  These are
counted by way of the master socket (``haproxy -S``), else by their connections in ``/proc``; where neither can be reached they are held to
be busy for some time after a reload.  Measured on 2.2, 2.6, 2.8, 3.0 and 3.2:

* in a former worker a member stays as it was at the reload: its proxies are stopped, and ``set server`` is answered with
  ``Proxy is disabled.``;
* so a client's connection that is idle may still bring a request for a member that has been disabled since: with ``option
  idle-close-on-response``, which keeps such connections, and always before 2.4.  Without it they are closed at the reload;
* at a reload the master starts itself anew, and its socket refuses connections until it has read its configuration;
* to a command for a process that has ended, the master says so and, from 3.0 on, keeps the connection open.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterable, List, Tuple

from .._clock import Clock, Deadline
from .._domain.errors import InvalidInput, Refused, Unreachable
from .._domain.members import ENABLED, Member
from . import haproxy_processes as local

CURRENT = "`scur` and `qcur` of the member in the worker that answers"
FRONTENDS_AND_BACKENDS, SERVERS = 3, 4  # types of `show stat`
ENDED = "Can't find the target PID"
WORKER = re.compile(r"^(\d+)\s+worker\s", re.MULTILINE)
SESSION = re.compile(r"^(0x[0-9a-f]+): .*?\bbe=(\S+) srv=(\S+)", re.MULTILINE)
NUMBER = re.compile(r"[0-9]{1,20}")

ADDS_SERVERS = (2, 5)  # the first version that does, without `experimental-mode on`
UNSEEN = 30.0  # seconds that requests of a former worker are given, where it cannot be seen whether it has any
UNSEEN_WORKER = 0  # in place of its number
RELOAD = 10.0  # seconds that a master may take to read its configuration
PAUSE = 0.05

# Requests of each member, by name; None where they are not known.
Counts = Dict[str, "int | None"]


class Reloading(Unreachable):
    """The master's socket refuses connections, as it does during a reload."""


@dataclass(frozen=True)
class Info:
    """What the answering worker says of itself.

    :param pid: its number, as it knows it.
    :param adds_servers: whether its version can add and remove servers.
    """

    pid: int
    uptime: float
    processes: int
    adds_servers: bool

    @classmethod
    def read(cls, text: str) -> Info:
        """From the answer to ``show info``."""
        found = dict(re.findall(r"^(Pid|Uptime_sec|Nbproc): *(\d{1,15})", text, re.MULTILINE))
        version = re.search(r"^Version: *(\d{1,9})\.(\d{1,9})", text, re.MULTILINE)
        adds = version is None or (int(version.group(1)), int(version.group(2))) >= ADDS_SERVERS
        return cls(int(found.get("Pid", 0)), float(found.get("Uptime_sec", 0)), int(found.get("Nbproc", 1)), adds)


class Workers:
    """Counts the requests that former workers have, and adds them to those of the worker that answers.

    :param name: of the balancer, for messages.
    :param info: asks the worker that answers ``show info``.
    :param on_this_machine: whether HAProxy may run on this machine.
    :param master: sends one command to the master socket and returns the answer; None where the user gave none.
    :param connect: makes the same for a path that was found.
    :param label: of the master socket.
    """

    def __init__(
        self,
        name: str,
        info: Callable[[], str],
        on_this_machine: bool,
        master: Callable[[str], str] | None,
        connect: Callable[[str], Callable[[str], str]],
        label: str = "",
    ) -> None:
        self.name, self._info, self._local = name, info, on_this_machine
        self._master, self._connect, self._label = master, connect, label
        self._way: _ByMaster | _ByConnections | _ByTime | None = None
        # Known once :meth:`counted` was called: where the count comes from, and whether members can be added.
        self.source, self.adds_servers = "", True
        self._found: Dict[int, Counts] = {}  # by the former worker's number, as last counted

    def counted(self, pool: str, members: List[Member]) -> List[Member]:
        """The members, with the requests of former workers added to those of members that are out.

        Members that take new requests are not waited for, so that nothing is asked while all members do.

        :raises Unreachable: the master socket that the user gave does not answer.
        :raises InvalidInput: it is another HAProxy's.
        """
        if not self.source:
            self._choose()
        self._found = {}
        out = [member for member in members if member.state != ENABLED]
        if not out or self._way is None:
            return members
        self._found = self._way.former(pool, out, Info.read(self._info()))
        if not self._found:
            return members
        return [self._added(member) if member.state != ENABLED else member for member in members]

    def cut(self, pool: str, names: List[str]) -> None:
        """End the requests that former workers have under way for these members, where they can be told."""
        if not self.source:
            self._choose()
        if isinstance(self._way, _ByMaster):
            self._way.cut(pool, names, Info.read(self._info()))

    def busy_sentence(self, busy: Dict[str, "int | None"]) -> str:
        """Which former workers keep these members busy, and what ends them; empty where none does."""
        hidden = [pid for pid, counts in self._found.items() if any(counts.get(name, 0) is None for name in busy)]
        holding = [pid for pid, counts in self._found.items() if pid not in hidden and any(counts.get(name) for name in busy)]
        sentences = []
        if UNSEEN_WORKER in hidden:
            return (
                f"HAProxy was reloaded, or started, less than {UNSEEN:g} s ago, and a former worker's requests cannot be seen from here: "
                "give its master socket as `master_socket` or `master_address`, or run the task again later."
            )
        if holding:
            sentences.append(
                f"{_number(holding)} that a reload has left behind still {_has(holding)} requests of these members, or clients that may "
                "send them one. Set `hard-stop-after` in HAProxy's `global` section: it bounds how long such a process stays."
            )
        if hidden:
            sentences.append(
                f"{_number(hidden)} that a reload has left behind cannot be looked into by user {local.user()}: use `become`, or give "
                "HAProxy's master socket (`haproxy -S PATH`) as `master_socket`. `hard-stop-after` in HAProxy's `global` section "
                "bounds how long such a process stays."
            )
        return " ".join(sentences)

    def _added(self, member: Member) -> Member:
        counts = [member.in_flight, *(counts[member.name] for counts in self._found.values())]
        known = [count for count in counts if count is not None]
        return replace(member, in_flight=sum(known) if len(known) == len(counts) else None)

    def _choose(self) -> None:
        """Find the best way to count, once."""
        info = Info.read(self._info())
        self.adds_servers = info.adds_servers
        if info.processes > 1:
            raise Refused(
                f"Balancer {self.name}: HAProxy runs {info.processes} processes (`nbproc`), each with states and requests of its own, and "
                "one of them answers here. Use threads (`nbthread`) instead. Nothing was touched."
            )
        if self._master is not None:
            self._way = _ByMaster(self._master, self._is_its_master)
            self._way.check(self.name, self._label, info.pid)
            self.source = f"{CURRENT} and, through the master socket {self._label}, in former workers"
            return
        pid = local.find(info.pid, info.uptime) if self._local else None
        if pid is None:
            self._way = _ByTime()
            self.source = (
                f"{CURRENT}; former workers after a reload cannot be seen from here, so that members that leave count as busy for "
                f"{UNSEEN:g} s after one: set `master_socket` or `master_address`"
            )
            return
        self._way, self.source = self._here(pid, info)

    def _here(self, pid: int, info: Info) -> Tuple[_ByMaster | _ByConnections, str]:
        master = local.master_of(pid)
        path = local.master_socket(master) if master is not None else None
        if path is not None:
            way = _ByMaster(self._connect(path), self._is_its_master)
            try:
                if way.knows(info.pid):
                    return way, f"{CURRENT} and, through the master socket {path} of its command line, in former workers"
            except Unreachable:
                pass  # this user may not open it: what /proc shows is left
        if local.may_look(pid):
            return _ByConnections(), f"{CURRENT}, and connections of former workers to the member in /proc"
        return _ByConnections(), (
            f"{CURRENT}; a former worker after a reload cannot be looked into by user {local.user()}, and counts as busy: use `become`, or "
            "set `master_socket`"
        )

    def _is_its_master(self, pids: List[int]) -> bool:
        """Whether the worker that answers now is one of the master's."""
        return Info.read(self._info()).pid in pids


class _ByMaster:
    """Former workers, asked by way of the master socket.

    :param ask: sends one command to it.
    :param is_its: whether the worker that answers is among some numbers.
    """

    def __init__(self, ask: Callable[[str], str], is_its: Callable[[List[int]], bool]) -> None:
        self._ask, self._is_its = ask, is_its
        self._servers: Dict[int, _Servers] = {}  # of each former worker: they no longer change

    def knows(self, pid: int) -> bool:
        """Whether a worker is one of the master's."""
        pids = self._pids()
        # Between two questions there may have been a reload.
        return pid in pids or self._is_its(self._pids())

    def check(self, name: str, label: str, pid: int) -> None:
        """Refuse a master of other workers."""
        if not self.knows(pid):
            raise InvalidInput(
                f"Balancer {name}: {label} is the master socket of another HAProxy: process {pid}, which answers, is none of its workers "
                f"({', '.join(map(str, self._pids())) or 'it has none'}). Nothing was touched."
            )

    def former(self, pool: str, out: List[Member], info: Info) -> Dict[int, Counts]:
        """The requests that each former worker has of members that are out."""
        pids = [pid for pid in self._pids() if pid != info.pid]
        self._servers = {pid: servers for pid, servers in self._servers.items() if pid in pids}
        found = {pid: self._counts(pid, pool, out) for pid in pids}
        return {pid: counts for pid, counts in found.items() if counts is not None}

    def cut(self, pool: str, names: List[str], info: Info) -> None:
        """End the sessions that former workers have with these members."""
        for pid in self._pids():
            if pid != info.pid:
                for session, backend, server in SESSION.findall(self._ask(f"@!{pid} show sess")):
                    if backend == pool and server in names:
                        self._ask(f"@!{pid} shutdown session {session}")

    def _pids(self) -> List[int]:
        clock = Clock()
        deadline = Deadline(clock, RELOAD)
        answer = ""
        while not answer:
            try:
                answer = self._ask("show proc")
            except Reloading:
                if deadline.passed:
                    raise
            if deadline.passed:
                break
            clock.sleep(0 if answer else PAUSE)
        if not answer.startswith("#<PID>"):
            raise Unreachable(f"`master_socket` is not HAProxy's master socket: to `show proc` it said {answer[:200]!r}.")
        return [int(pid) for pid in WORKER.findall(answer)]

    def _counts(self, pid: int, pool: str, out: List[Member]) -> Counts | None:
        """None when the worker has ended."""
        if pid not in self._servers:
            states = self._ask(f"@!{pid} show servers state")
            if states.startswith("1\n# be_id "):
                self._servers[pid] = _Servers(states)
        servers = self._servers.get(pid)
        # Frontends first: a request that goes from one to a server in between is counted twice rather than not at all.
        proxies = self._ask(f"@!{pid} show stat -1 {FRONTENDS_AND_BACKENDS} -1")
        if servers is None or not proxies.startswith("# pxname"):
            return self._unknown(pid, out)
        wanted = {member.name: servers.called(pool, member) for member in out}
        backends = {number for pairs in wanted.values() for number, _server in pairs}
        tables = {number: self._ask(f"@!{pid} show stat #{number} {SERVERS} -1") for number in backends}
        if not all(table.startswith("# pxname") for table in tables.values()):
            return self._unknown(pid, out)
        return requests(wanted, rows(proxies), {number: rows(table) for number, table in tables.items()})

    def _unknown(self, pid: int, out: List[Member]) -> Counts | None:
        """A worker that has ended is through; what one that has not ended did not tell is not known."""
        return dict.fromkeys((member.name for member in out), None) if pid in self._pids() else None


class _Servers:
    """The servers of a former worker: numbers of their backends, and names.

    :param states: the answer to ``show servers state``.
    """

    def __init__(self, states: str) -> None:
        self._by_name: Dict[Tuple[str, str], List[Tuple[str, str]]] = {}
        self._by_address: Dict[str, List[Tuple[str, str]]] = {}
        lines = states.split("\n")
        header = lines[1].lstrip("# ").split()
        for line in filter(None, lines[2:]):
            row = dict(zip(header, line.split()))
            address = ("[{}]:{}" if ":" in row["srv_addr"] else "{}:{}").format(row["srv_addr"], row["srv_port"])
            pair = (row["be_id"], row["srv_name"])
            self._by_name[(row["be_name"], row["srv_name"])] = [pair]
            self._by_address.setdefault(address, []).append(pair)

    def called(self, pool: str, member: Member) -> List[Tuple[str, str]]:
        """What the worker calls a member: by its name, or, where the configuration had another one, by its address in any backend."""
        return self._by_name.get((pool, member.name)) or self._by_address.get(member.address, [])


class _ByConnections:
    """Former workers on this machine, by their connections."""

    def former(self, pool: str, out: List[Member], info: Info) -> Dict[int, Counts]:
        """The connections that each former worker has to members that are out."""
        pid = local.find(info.pid, info.uptime)
        if pid is None:  # between two workers: the next look finds it
            return {info.pid: dict.fromkeys((member.name for member in out), None)}
        has_master = local.master_of(pid) is not None
        found: Dict[int, Counts] = {}
        for number in local.former(pid):
            try:
                seen = local.connections(number)
            except PermissionError:
                found[number] = dict.fromkeys((member.name for member in out), None)
                continue
            # One that listens beside us, and has no master in common, is another HAProxy.
            if seen is not None and (has_master or not seen.listens):
                found[number] = connected(out, seen)
        return found


class _ByTime:
    """Former workers that nothing here shows: after a reload there may be some, for a time."""

    def former(self, pool: str, out: List[Member], info: Info) -> Dict[int, Counts]:
        """Requests that are not known, as long as a reload has not been for long."""
        return {UNSEEN_WORKER: dict.fromkeys((member.name for member in out), None)} if info.uptime < UNSEEN else {}


def connected(out: Iterable[Member], seen: local.Connections) -> Counts:
    """What a former worker may have under way for each member: connections to it, and clients that have none to any server.

    A pooled connection that is idle looks like any other, and counts.
    """
    clients = max(0, seen.clients - seen.servers)
    counts: Counts = {}
    for member in out:
        to_it = seen.lead_to(member.address)
        unknown = to_it is None and seen.servers + seen.clients > 0
        counts[member.name] = None if unknown else (to_it or 0) + clients
    return counts


def requests(
    wanted: Dict[str, List[Tuple[str, str]]], proxies: List[Dict[str, str]], servers: Dict[str, List[Dict[str, str]]]
) -> Counts:
    """What a former worker may have under way for each member: its requests, those of its backend that have no server yet, and clients
    whose connections are idle.

    :param wanted: a member's name to what the former worker calls it: number of the backend, name of the server.
    :param proxies: the statistics of its frontends and backends.
    :param servers: those of the servers, by their backend's number.
    """
    in_backends = {row["iid"]: _integer(row, "scur") for row in proxies if row["svname"] == "BACKEND"}
    clients = sum(_integer(row, "scur") for row in proxies if row["svname"] == "FRONTEND")
    idle = max(0, clients - sum(in_backends.values()))
    under_way: Dict[Tuple[str, str], int] = {}
    for number, table in servers.items():
        if number in in_backends:  # before 2.4 a stopped backend has no statistics
            waiting = max(0, in_backends[number] - sum(_integer(row, "scur") for row in table))
            for row in table:
                under_way[(number, row["svname"])] = _integer(row, "scur") + _integer(row, "qcur") + waiting
    return {
        name: idle + sum(under_way[pair] for pair in pairs) if all(pair in under_way for pair in pairs) else None
        for name, pairs in wanted.items()
    }


def rows(table: str) -> List[Dict[str, str]]:
    """The few columns of ``show stat`` that are read here."""
    wanted = ("pxname", "svname", "iid", "scur", "qcur")
    lines = csv.reader(io.StringIO(table.lstrip("# ")))
    columns = [(index, name) for index, name in enumerate(next(lines, [])) if name in wanted]
    return [{name: row[index] for index, name in columns} for row in lines if len(row) > columns[-1][0]]


def _integer(row: Dict[str, str], column: str) -> int:
    return int(row[column]) if NUMBER.fullmatch(row.get(column, "")) else 0


def _number(pids: List[int]) -> str:
    return f"{len(pids)} former worker{'s' if len(pids) > 1 else ''} (process {', '.join(map(str, sorted(pids)))})"


def _has(pids: List[int]) -> str:
    return "have" if len(pids) > 1 else "has"
