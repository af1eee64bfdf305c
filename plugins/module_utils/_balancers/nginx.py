# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NGINX, by its configuration file and a reload: https://nginx.org/en/docs/http/ngx_http_upstream_module.html

What is not obvious, each measured on 1.22 and 1.31:

* ``nginx -s reload`` succeeds as soon as the signal is sent, and a reload may fail after ``nginx -t`` has passed (a port that
  somebody has taken): whether it took effect is seen by the processes, see `nginx_processes.py`;
* old workers end the requests they have, on connections that they had, by the old configuration: a member that is out is idle
  once none is left;
* what runs is what the file said when the workers were started.  A file that was changed since then, by a person or by one of
  our own kind that was killed before it could reload, is loaded before anything else is done;
* ``drain`` without `sticky`, or with a balancing method named below `sticky`, is accepted and is the same as ``down``.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Callable, ContextManager, Iterable, Iterator, List

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, DRAINED, ENABLED, UNKNOWN, Change, Member
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .lock import only_writer
from .nginx_file import Server, Unclear, Upstream, changed, upstreams, with_server, without_servers
from .nginx_processes import ENDS, SERVES, TICKS, Connections, Log, Master, Worker, started
from .programs import Ended, run

DRAIN_SINCE = (1, 29, 6)
POLL = 0.005  # seconds between two looks at what a reload has come to
ENDING = 0.5  # seconds that a worker without requests takes at most to end
ADDRESS = re.compile(r"unix:/[\w./@%+-]+|(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True)
class Seen:
    """The pool as the file has it.

    :param unread: whether the file was changed after NGINX had last read it, so that this is not what runs.
    :param problem: why nothing can be told of what runs.
    """

    members: List[Member]
    unread: bool
    problem: str


class Nginx(Balancer):
    """See the module's own text.  A member is called by its address, as its `server` line has it."""

    provider = "nginx"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.file = ConfigFile(absolute("file", options["file"]))
        self.test, self.reload, self.timeout = options["test"], options["reload"], options["timeout"]
        self.master = Master(os.path.realpath(absolute("pid_file", options["pid_file"])))
        super().__init__(name, self.file.path, capabilities)
        self._version = self._ask_version()
        numbers = tuple(int(number) for number in re.findall(r"[0-9]+", self._version)[:3])
        if numbers and numbers < DRAIN_SINCE:
            self.capabilities = replace(capabilities, sticky_drain=False)

    def version(self) -> str:
        return self._version or "unknown"

    def heal(self, pool: str) -> None:
        with self._alone():
            if not self._look(pool).unread:
                return
            deadline = Deadline(Clock(), self.timeout)
            self._run("NGINX refuses what is in its configuration", self.test, deadline)
            self._take_effect(deadline)

    def members(self, pool: str) -> list[Member]:
        seen = self._look(pool)
        for _poll in _polls(self.timeout):  # one of our own kind may be about to reload it
            if not (seen.unread or seen.problem):
                break
            seen = self._look(pool)
        if seen.problem:
            raise Unreachable(f"Balancer {self.name}: {seen.problem}")
        # Of what is not in effect yet nothing is known to be idle.
        return [replace(member, in_flight=None) for member in seen.members] if seen.unread else seen.members

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        def edit(text: str, upstream: Upstream) -> str:
            servers = upstream.by_address
            for change in changes:
                if change.name not in servers:
                    raise InvalidInput(
                        f"Balancer {self.name}: {pool} has no member {change.name}. Nothing was touched."
                    )
                if change.state == DRAINED:
                    self._check_drain(upstream, servers[change.name])
            return changed(text, upstream, changes)

        members = self._write(pool, edit)
        self.check_written(pool, changes, members, f"Was {self.file.path} written by somebody else meanwhile?")
        return members

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        if name != address or not ADDRESS.fullmatch(address):
            raise InvalidInput(
                f"Balancer {self.name}: NGINX knows members by their addresses, so {name!r} cannot be added with the address "
                f"{address!r}. Call it by its address, or say it with `names: {{{name}: {address}}}`. Nothing was touched."
            )

        def edit(text: str, upstream: Upstream) -> str:
            if address in upstream.by_address:
                raise InvalidInput(f"Balancer {self.name}: {pool} has a member {address} already. Nothing was touched.")
            return with_server(text, upstream, address, weight)

        members = self._write(pool, edit)
        self.check_written(
            pool, [Change(name, DISABLED, weight)], members, "Was it removed by somebody else meanwhile?"
        )

    def remove(self, pool: str, names: list[str]) -> None:
        def edit(text: str, upstream: Upstream) -> str:
            servers = upstream.by_address
            serving = [name for name in names if name in servers and servers[name].state != DISABLED]
            if serving:
                raise Refused(
                    f"Balancer {self.name}: {pool} still sends work to {', '.join(serving)}. Disable them first. Nothing was touched."
                )
            return without_servers(text, upstream, [name for name in names if name in servers])

        left = {member.name for member in self._write(pool, edit)}.intersection(names)
        if left:
            raise NotApplied(
                f"Balancer {self.name}: {pool} was to lose {', '.join(sorted(left))} and, read back, has not."
            )

    # Reading

    def _look(self, pool: str) -> Seen:
        text = self.file.read()
        try:
            written = os.stat(self.file.path).st_mtime
        except OSError as error:
            raise Unreachable(f"Balancer {self.name}: {self.file.path}: {error.strerror}.") from None
        servers = self._upstream(text, pool).servers
        pid = self.master.pid()
        workers = self.master.workers(pid)
        serving = [worker for worker, does in workers.items() if does == SERVES]
        leaving = len(workers) - len(serving)
        connections = Connections(pid)
        members = [_member(server, connections, leaving) for server in servers]
        problem = ""
        if not serving:
            problem = f"NGINX (process {pid}) has no worker that takes requests. Is it being stopped?"
        # A file from the future is one from before somebody set the clock back.
        unread = written < time.time() and any(started(worker) + TICKS < written for worker in serving)
        return Seen(members, unread, problem)

    def _upstream(self, text: str, pool: str) -> Upstream:
        try:
            everyone = upstreams(text)
        except Unclear as error:
            raise InvalidInput(
                f"Balancer {self.name}: {self.file.path} cannot be understood: {error}. Has `nginx -t` anything to say of it? "
                "Otherwise give the upstream a file of its own. Nothing was touched."
            ) from None
        here = [upstream for upstream in everyone if upstream.name == pool]
        known = ", ".join(sorted({upstream.name for upstream in everyone})) or "none"
        problem = ""
        if not here:
            problem = f"has no pool {pool!r}. The upstreams in {self.file.path} are: {known}"
        elif len(here) > 1:
            problem = f"has {len(here)} pools {pool!r} in {self.file.path}, which cannot be told apart"
        elif here[0].includes:
            problem = f"pool {pool!r} in {self.file.path} includes other files. Write its servers into the block itself"
        elif len(here[0].by_address) < len(here[0].servers):
            problem = f"pool {pool!r} has several servers of one address, which cannot be told apart"
        if problem:
            raise InvalidInput(f"Balancer {self.name} {problem}. Nothing was touched.")
        return here[0]

    def _check_drain(self, upstream: Upstream, server: Server) -> None:
        why = ""
        if not upstream.sticky:
            why = "has no `sticky`, so no client is bound to a member"
        elif _place(server.address) is None:
            why = f"names {server.address} not by its IP address, so the connections that bound clients have to it cannot be counted"
        if why:
            raise InvalidInput(
                f"Balancer {self.name}: upstream {upstream.name} {why}, and members cannot be `drained`. Use `disabled`. "
                "Nothing was touched."
            )

    # Writing

    def _write(self, pool: str, edit: Callable[[str, Upstream], str]) -> list[Member]:
        """Bring the file to what `edit` makes of it, and into effect; whatever fails, the file and what runs are as before."""
        with self._alone():
            old = self.file.read()
            new = edit(old, self._upstream(old, pool))
            if new != old:
                self._put(old, new)
            for _poll in _polls(self.timeout):
                with contextlib.suppress(Unreachable):  # it is being restarted
                    return self._look(pool).members
            return self._look(pool).members

    def _put(self, old: str, new: str) -> None:
        deadline = Deadline(Clock(), self.timeout)
        pid = self.master.pid()
        workers = self.master.workers(pid)
        try:
            with self.file.replaced(old, new):
                self._run("NGINX refuses the new configuration", self.test, deadline)
                self._take_effect(deadline)
        except BaseException:
            with contextlib.suppress(DeployError):
                same = self.master.pid() == pid and not self.master.workers(pid).keys() - workers.keys()
                if not same or not self.master.rests(pid):
                    # It has read what is no longer there, or may yet.
                    run(self.reload, self.timeout)
            raise

    def _take_effect(self, deadline: Deadline) -> None:
        """Reload.  The file is written already: a reload that somebody else begins by now reads it as well."""
        pid = self._at_rest(deadline, "is still at an earlier reload, or hangs")
        before = self.master.workers(pid)
        log = Log(pid)
        self._run("NGINX was not reloaded", self.reload, deadline)
        self._at_rest(deadline, "is not through with the reload")
        now = self.master.workers(pid)
        if self._at_rest(deadline, "is not through with a restart") != pid:
            return  # it was restarted meanwhile, and so has read it
        if not now.keys() - before.keys():
            said = log.alarms()
            raise NotApplied(
                f"Balancer {self.name}: NGINX was reloaded and goes on with its old configuration, though `{' '.join(self.test)}` had "
                f"nothing against the new one. {f'It said: {said}.' if said else 'Its error log says why.'} "
                f"{self.file.path} is as it was."
            )
        for _poll in _polls(deadline.left):
            if SERVES not in self._do(pid, before):
                break
        else:
            raise self._late("has old workers that still take requests")
        # Those with nothing under way are about to end: give them the time to, and the others are what is in flight.
        for _poll in _polls(min(deadline.left, ENDING)):
            if ENDS not in self._do(pid, before):
                break

    def _at_rest(self, deadline: Deadline, otherwise: str) -> int:
        """Wait until the master, the same or another, is through with what it was told; its number."""
        for _poll in _polls(deadline.left):
            with contextlib.suppress(Unreachable):  # it is being restarted, or has ended, which is said at the end
                pid = self.master.pid()
                if self.master.rests(pid):
                    return pid
        raise self._late(otherwise)

    def _late(self, otherwise: str) -> Unreachable:
        return Unreachable(
            f"Balancer {self.name}: NGINX (process {self.master.pid()}) did not do within {self.timeout:g} s what it was told: "
            f"it {otherwise}. {self.file.path} is as it was, and NGINX was told to read it again. Allow more time with `timeout`."
        )

    def _do(self, pid: int, some: Iterable[Worker]) -> set[str]:
        """What these workers do that have not ended."""
        now = self.master.workers(pid)
        return {now[worker] for worker in some if worker in now}

    def _run(self, failed: str, words: list[str], deadline: Deadline) -> Ended:
        ended = run(words, deadline.left)
        if ended.rc:
            raise Refused(
                f"Balancer {self.name}: {failed}: `{' '.join(words)}` said {ended.said or 'nothing'} (rc {ended.rc}). "
                f"{self.file.path} is as it was."
            )
        return ended

    def _alone(self) -> ContextManager[None]:
        """Keep out others who would write this file, or reload this NGINX for another one."""
        return only_writer(f"nginx {self.master.pid_file}", Clock())

    def _ask_version(self) -> str:
        if "-t" not in self.test:  # some program of the user's
            return ""
        ended = run([word for word in self.test if word != "-t"] + ["-v"], self.timeout)
        found = re.search(r"/([0-9]+\.[0-9][0-9.]*)", ended.said)
        return found.group(1) if found else ""


def _polls(seconds: float) -> Iterator[None]:
    """Look once, and again for so long."""
    clock = Clock()
    deadline = Deadline(clock, seconds)
    yield
    while not deadline.passed:
        clock.sleep(POLL)
        yield


def _member(server: Server, connections: Connections, leaving: int) -> Member:
    in_flight = None if server.state == ENABLED else leaving
    place = _place(server.address)
    if server.state == DRAINED:  # its bound clients reach it through the new workers
        in_flight = max(leaving, connections.to(*place)) if place else None
    return Member(
        name=server.address,
        address=_with_port(server.address),
        state=server.state,
        weight=server.weight,
        health=UNKNOWN,
        in_flight=in_flight,
        checked=False,
    )


def _with_port(address: str) -> str:
    has_port = address.startswith("unix:") or re.search(r":[0-9]+$", address)
    return address if has_port else f"{address}:80"


def _place(address: str) -> tuple[IPv4Address | IPv6Address, int] | None:
    """What a connection to it is known by; None unless it is an IP address."""
    host, _colon, port = _with_port(address).rpartition(":")
    try:
        return ip_address(host.strip("[]")), int(port)
    except ValueError:
        return None
