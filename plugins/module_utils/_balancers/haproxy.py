# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy, over its runtime API: https://docs.haproxy.org/2.8/management.html#9.3

What is not obvious, each measured on 2.6, 2.8 and 3.0:

* the state is read from the admin bits of ``show servers state``: a drained member whose check fails shows ``DOWN``;
* errors come as text on a connection that otherwise succeeded, and success is an empty line;
* leaving maintenance brings a member up at once on a stale result: see `distrust` of :meth:`HAProxy.apply`.
"""

from __future__ import annotations

import csv
import io
import os
import re
import socket
from dataclasses import replace
from typing import Any, Iterable, Iterator

from .._clock import Clock, Deadline
from .._domain.counters import Counters, Served
from .._domain.errors import DeployError, InvalidInput, Refused, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, STARTING, UNKNOWN, UP, Change, Member
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .haproxy_counters import COLUMNS, FORGETFUL, LOOKS, PAUSE, errors, forgets, numbers, requests, served, speaks_http
from .haproxy_processes import user
from .haproxy_workers import ENDED, Reloading, Workers

# srv_admin_state: forced, inherited, DNS and host-name maintenance; forced and inherited drain.
# Bit 0x04 only remembers that the configuration said `disabled`.
MAINTENANCE = 0x01 | 0x02 | 0x20 | 0x40
DRAIN = 0x08 | 0x10

# srv_check_state: configured, and not switched off by `disable health`.
CHECKED = 0x02 | 0x04

HOST = re.compile(r"\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]|[\w.:@-]+", re.ASCII)
NUMBER = re.compile(r"[0-9]{1,20}")
HEALTH = {"0": DOWN, "1": STARTING, "2": UP, "3": DOWN}  # srv_op_state; 3 is a check's 404: no new work
WRITTEN_STATE = {ENABLED: "ready", DRAINED: "drain", DISABLED: "maint"}

IDLE_CONNECTIONS = 30.0  # seconds that connections kept open to an idle member may take to end: 13.7 were seen, on 2.8
# Characters of commands in a line. One longer than the server's buffer (16 kB unless tuned down) is refused.
LINE = 6000
BACKEND, SERVERS = 2, 4  # the types of `show stat` that list the backend and the servers alone
# The columns of `show stat` that are read.
STAT_COLUMNS = frozenset("pxname svname status tracked scur qcur check_status check_code last_chk check_desc".split())
COUNTERS = COLUMNS | {"pxname", "svname", "mode"}


# Answers that HAProxy's runtime API begins with, for one that was cut short.
BEGINNINGS = ("\n", "1\n# be_id", "# pxname", "# name", "Name: ", "Permission denied", "Can't find", "No such")
# The help of the master's CLI, which no worker's has.
MASTERS_HELP = re.compile(r"Unknown command.*show proc +: show processes status", re.DOTALL)


MEMBERSHIP = ("add server", "del server")


class RuntimeApi:
    """Commands to one HAProxy process and their answers.

    :param socket_path: the unix socket, or
    :param address: ``host:port`` of a TCP one.
    :param timeout: seconds for one exchange.
    :param master: whether it is the socket of a master, which answers and waits for more.
    """

    def __init__(self, socket_path: str | None, address: str | None, timeout: float, master: bool = False) -> None:
        self.socket_path = socket_path
        self.address = address
        self.timeout = timeout
        self.master = master
        self.label = socket_path or address or ""

    def ask(self, *commands: str) -> list[str]:
        """Send `commands` in one connection and return one answer for each.

        :raises Unreachable: naming the socket, what the system said and what to look at.
        """
        text = self._exchange(";".join(commands) + "\n")
        answers = _answers(text)
        known = any(text.startswith(words) or words.startswith(text) for words in BEGINNINGS)
        if len(answers) > len(commands) or (len(answers) < len(commands) and not known):
            raise self.stranger(commands[0], text.strip())
        if len(answers) < len(commands):
            raise Unreachable(
                f"HAProxy at {self.label} closed the connection after {len(answers)} of {len(commands)} answers. "
                "Is it being reloaded? Run the task again."
            )
        return answers

    def say(self, command: str) -> str:
        """Send one command and return all that comes back: some answers lack the empty line at their end.

        :raises Unreachable: as :meth:`ask` does.
        """
        return self._exchange(command + "\n").strip()

    def stranger(self, command: str, answer: str) -> Unreachable:
        """The error for an answer that no HAProxy gives."""
        if answer.startswith("HTTP/"):
            status = answer.split("\n")[0].strip()
            return Unreachable(
                f"An HTTP server answers at {self.label}, not HAProxy's runtime API: to `{command}` it said {status!r}. Give the address "
                "of a line `stats socket ipv4@HOST:PORT level admin` in HAProxy's `global` section."
            )
        return Unreachable(
            f"What answers at {self.label} is not HAProxy's runtime API: to `{command}` it said {answer[:200]!r}."
        )

    def _is_the_masters(self) -> Unreachable:
        """The error for a master's socket in place of a worker's."""
        option = "address" if self.address else "socket"
        return Unreachable(
            f"{self.label} is the socket of HAProxy's master process (`haproxy -S`), which knows no servers. Give the `stats socket` of "
            f"its `global` section as `{option}`, and this one as `master_{option}`, so that requests of former workers are counted."
        )

    def _exchange(self, line: str) -> str:
        deadline = Deadline(Clock(), self.timeout)
        try:
            with self._connect() as connection:
                connection.sendall(line.encode())
                if self.master:  # it answers, and ends then
                    connection.shutdown(socket.SHUT_WR)
                received = bytearray()
                while True:
                    if deadline.passed:
                        raise socket.timeout
                    connection.settimeout(deadline.left or self.timeout)
                    piece = connection.recv(65536)
                    if not piece:
                        return received.decode(errors="replace")
                    received += piece
                    if self.master and received.startswith(ENDED.encode()):  # the connection stays open then
                        return ""
                    if not self.master and received.startswith(b"Unknown command"):
                        if MASTERS_HELP.match(received.decode(errors="replace")):
                            raise self._is_the_masters()
        except FileNotFoundError:
            raise Unreachable(
                f"There is no socket {self.label}: HAProxy is not running, or its `global` section lacks "
                f"`stats socket {self.label} level admin`."
            ) from None
        except PermissionError:
            raise Unreachable(
                f"User {user()} may not open {self.label}: use `become`, or widen the socket's mode or group."
            ) from None
        except (ConnectionRefusedError, ConnectionResetError) as error:
            if self.master:
                raise Reloading(f"The master of HAProxy does not listen on {self.label}: does it run?") from None
            if isinstance(error, ConnectionResetError):
                raise Unreachable(f"HAProxy at {self.label} cannot be talked to: {error}") from None
            raise Unreachable(f"Nothing listens on {self.label}: is HAProxy running?") from None
        except BlockingIOError:  # of a local socket, whose queue is full
            raise Unreachable(f"HAProxy at {self.label} takes no more connections: it hangs, or has too much to do.") from None
        except socket.timeout:
            raise Unreachable(f"HAProxy at {self.label} did not answer within {self.timeout:g} s.") from None
        except (OSError, UnicodeError) as error:  # the latter for a part of a host's name that is too long
            raise Unreachable(f"HAProxy at {self.label} cannot be talked to: {error}") from None

    @property
    def is_here(self) -> bool:
        """Whether the process may be on this machine."""
        if self.socket_path:
            return True
        host, _port = _host_and_port(self.address or "")
        try:
            for family, kind, protocol, _name, where in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
                with socket.socket(family, kind, protocol) as probe:
                    probe.bind(where)  # succeeds for the machine's own addresses alone
                    return True
        except (OSError, UnicodeError):
            pass
        return False

    def _connect(self) -> socket.socket:
        if self.socket_path:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(self.timeout)
            try:
                connection.connect(self.socket_path)
            except OSError:
                connection.close()
                raise
            return connection
        host, port = _host_and_port(self.address or "")
        return socket.create_connection((host, port), timeout=self.timeout)


class HAProxy(Balancer):
    """See the module's own text."""

    provider = "haproxy"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        path, address = options["socket"], options["address"]
        capabilities = replace(capabilities, survives_reload=bool(options["state_file"]))
        super().__init__(name, os.path.realpath(path) if path else address, capabilities)
        if address:
            _host_and_port(address)
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
        self.workers = self._workers(options)
        # Members that track another, by pool, as last read: they have no result of their own.
        self._following: dict[str, set[str]] = {}

    def _workers(self, options: dict[str, Any]) -> Workers:
        path, address, timeout = options["master_socket"], options["master_address"], options["timeout"]
        if path and address:
            raise InvalidInput(f"Balancer {self.name}: give `master_socket` or `master_address`, not both. Nothing was touched.")
        if address:
            _host_and_port(address)
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
        states = self._states(pool)
        stats = self._stats(states)
        try:
            self._following[pool] = {name for name, row in stats.items() if row["tracked"]}
            members = [_member(row, stats[row["srv_name"]]) for row in states]
        except (KeyError, ValueError):
            raise Unreachable(
                f"Balancer {self.name}: the two answers of HAProxy at {self.api.label} about pool {pool!r} do not fit together. "
                "Is it being reloaded? Run the task again."
            ) from None
        members = self.workers.counted(pool, members)
        self.in_flight_source = self.workers.source
        return members

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
        (states,) = self.api.ask(f"show servers state {pool}")
        if not states.startswith("1\n# be_id "):
            raise self._unknown_pool(pool, states)
        rows = list(_state_rows(states))
        if not all(NUMBER.fullmatch(row.get("be_id", "")) and "be_name" in row and "srv_name" in row for row in rows):
            raise self.api.stranger(f"show servers state {pool}", states)
        return rows

    def _stats(
        self, states: list[dict[str, str]], columns: frozenset[str] = STAT_COLUMNS, kind: int = SERVERS
    ) -> dict[str, dict[str, str]]:
        # Asked for by number (`#`, or a proxy that is named like a number would be meant): a frontend may bear the pool's name too.
        if not states:
            return {}
        command = f"show stat #{states[0]['be_id']} {kind} -1"
        (stats,) = self.api.ask(command)
        try:
            rows = [row for row in _stat_rows(stats, columns) if row.get("pxname") == states[0]["be_name"]]
            return {row["svname"]: row for row in rows}
        except (KeyError, csv.Error):
            raise self.api.stranger(command, stats) from None

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        if distrust and pool not in self._following:
            self.members(pool)
        following = self._following[pool] if distrust else set()
        commands = []  # a list for each member
        _check_name("pool", pool)
        if self.state_file and not self._kept:
            self.state_file.check_writable()
        for change in changes:
            _check_name("member", change.name)
            # A member that leaves does so before its weight changes, one that returns after it.
            server = f"{pool}/{change.name}"
            weight = [] if change.weight is None else [f"set server {server} weight {change.weight}"]
            state = [] if change.state is None else [f"set server {server} state {WRITTEN_STATE[change.state]}"]
            if distrust and change.name not in following:
                # Of the ways to make a result fresh this is the only one that holds for every `fall` and needs no second
                # state change. Leaving maintenance resets it, so it comes after that, in the same line.
                state.append(f"set server {server} health down")
            commands.append(weight + state if distrust or change.state == ENABLED else state + weight)
        self._write(commands)
        members = self.members(pool)
        if self.state_file:
            self._keep(pool)
        self.check_written(
            pool,
            changes,
            members,
            "Something else holds it there: a tracked server, name resolution, an agent, or another controller.",
        )
        return members

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
        _host_and_port(address)
        # It starts in maintenance, and its checks start disabled.
        words = f"{self.server_options} weight {weight}" if weight is not None else self.server_options
        self._write([[f"add server {pool}/{name} {address} {words}"]], success="New server registered.")
        if re.search(r"\bcheck\b", words):
            self._write([[f"enable health {pool}/{name}"]])
        self._following.pop(pool, None)

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
        self._following.pop(pool, None)

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


def _answers(text: str) -> list[str]:
    """Cut a connection's output at the empty line that ends each answer."""
    answers: list[str] = []
    lines: list[str] = []
    # Not `splitlines`: what a member's own answer to a check says is quoted there, with whatever characters are in it.
    for line in text.split("\n")[:-1]:
        if line:
            lines.append(line)
        else:
            answers.append("\n".join(lines))
            lines = []
    return answers  # lines that no empty one follows are an answer cut short


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
    for row in rows:
        yield {name: row[index] for index, name in columns if index < len(row)}


def _member(state: dict[str, str], stat: dict[str, str]) -> Member:
    admin = int(state["srv_admin_state"])
    checked = stat["status"] != "no check" and (
        bool(stat["tracked"]) or int(state["srv_check_state"]) & CHECKED == CHECKED
    )
    maintenance = bool(admin & MAINTENANCE)
    said = stat.get("last_chk") or stat.get("check_desc")
    last_check = " ".join(filter(None, (stat["check_status"].lstrip("* "), stat["check_code"], said)))
    return Member(
        name=state["srv_name"],
        address=("[{}]:{}" if ":" in state["srv_addr"] else "{}:{}").format(state["srv_addr"], state["srv_port"]),
        state=DISABLED if maintenance else DRAINED if admin & DRAIN else ENABLED,
        weight=int(state["srv_uweight"]),
        health=UNKNOWN if maintenance or not checked else HEALTH.get(state["srv_op_state"], UNKNOWN),
        in_flight=int(stat["scur"] or 0) + int(stat["qcur"] or 0),
        checked=checked,
        last_check=last_check,
    )


def _check_name(kind: str, name: str) -> None:
    # HAProxy allows no other characters; a `;` or a line end would start another command.
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", name):
        raise InvalidInput(
            f"{name!r} is no name of a {kind}: HAProxy allows letters, digits and _ . : - in it. Nothing was touched."
        )


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    # Nothing but what a name or an address is made of: it becomes part of a command.
    if not colon or not HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise InvalidInput(f"`address` is host:port, not {address!r}. Nothing was touched.")
    return host.strip("[]"), int(port)
