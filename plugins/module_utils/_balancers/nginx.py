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
* ``drain`` without `sticky`, or with a balancing method named below `sticky`, is accepted and is the same as ``down``;
* a new worker proves that NGINX read its configuration, and not that the file is part of it: ``nginx -T`` lists the files, and the
  master's own root and mounts show whether it sees the file replaced, see `nginx_sight.py`.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
import time
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Callable, ContextManager, Iterable, Iterator, List

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, DRAINED, ENABLED, UNKNOWN, Change, Member
from .._domain.pools import OtherPool
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .lock import only_writer
from .nginx_dump import Dump
from .nginx_file import Server, Unclear, Upstream, changed, includes, upstreams, with_server, without_servers
from .nginx_pools import others, with_port
from .nginx_processes import ENDS, SERVES, TICKS, Connections, Log, Master, Worker, started
from .nginx_sight import place
from .programs import Ended, run

DRAIN_SINCE = (1, 29, 6)
POLL = 0.005  # seconds between two looks at what a reload has come to
ENDING = 0.5  # seconds that a worker without requests takes at most to end
ADDRESS = re.compile(r"unix:/[\w./@%+-]+|(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True)
class Seen:
    """The pool as the file has it.

    :param unread: whether the file was changed after NGINX had last read it, so that this is not what runs.
    :param replaced: whether the same may be so of a file whose time says otherwise, such as a backup that was moved there.
    :param problem: why nothing can be told of what runs.
    """

    members: List[Member]
    unread: bool
    replaced: bool
    problem: str


class Nginx(Balancer):
    """See the module's own text.  A member is called by its address, as its `server` line has it."""

    provider = "nginx"
    in_flight_source = (
        "worker processes from before the last reload, of all pools; of drained members also the connections to them"
    )

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.file = ConfigFile(absolute("file", options["file"]), any_bytes=True)
        self.test, self.reload, self.timeout = options["test"], options["reload"], options["timeout"]
        self.master = Master(os.path.realpath(absolute("pid_file", options["pid_file"])))
        super().__init__(name, self.file.path, capabilities)
        self.instance = f"nginx {self.master.pid_file}"
        self._config: Dump | None = None  # as NGINX last printed it
        self._asked = False  # whether it was asked for that, by a reader
        self._version = self._ask_version()
        if not self._can_print:
            self.capabilities = capabilities = replace(capabilities, finds_pools=False)
            self.in_flight_source += "; `test` is no `nginx -t`, so that NGINX is not asked whether it reads the file"
        numbers = tuple(int(number) for number in re.findall(r"[0-9]+", self._version)[:3])
        if numbers and numbers < DRAIN_SINCE:
            self.capabilities = replace(capabilities, sticky_drain=False)

    def version(self) -> str:
        return self._version or "unknown"

    def heal(self, pool: str) -> None:
        with self._alone():
            seen = self._look(pool)
            if not (seen.unread or seen.replaced):
                return
            self._check_is_read_once()
            deadline = Deadline(Clock(), self.timeout)
            # A refused write that was undone looks like a replaced file, and what NGINX refused then it may refuse now.
            if seen.unread or run(self.test, deadline.left).rc == 0:
                self._run("NGINX refuses what is in its configuration", self.test, deadline)
                self._take_effect(deadline)

    def members(self, pool: str) -> list[Member]:
        seen = self._look(pool)
        self._check_is_read_once()
        for _poll in _polls(self.timeout):  # one of our own kind may be about to reload it
            if not (seen.unread or seen.problem):
                break
            seen = self._look(pool)
        if seen.problem:
            raise Unreachable(f"Balancer {self.name}: {seen.problem}")
        # Of what is not in effect yet nothing is known to be idle.
        return [replace(member, in_flight=None) for member in seen.members] if seen.unread else seen.members

    def other_pools(self, pool: str) -> list[OtherPool]:
        if not self._can_print:
            return super().other_pools(pool)
        upstream = self._upstream(self.file.read(), pool)
        pid, deadline = self.master.pid(), Deadline(Clock(), self.timeout)
        config = self._print(deadline)
        if config is None:
            ended = self._run("NGINX refuses its configuration as it is", self.test, deadline)
            raise Refused(
                f"Balancer {self.name}: NGINX refused its configuration a moment ago: {ended.said}. Run the task again."
            )
        path = self._check_is_read(pid, config)
        servers = {
            server.address: (with_port(server.address), "resolve" not in _words(server)) for server in upstream.servers
        }
        return others(config, (path, pool), servers, _Addresses(deadline))

    def busy_sentence(self, pool: str, busy: dict[str, int]) -> str:
        own, old = self.master.all_workers(self.master.pid())
        count = len(old) + sum(does != SERVES for does in own.values())
        if not count:
            return ""
        many = count > 1
        bound = (self._config.value("worker_shutdown_timeout") if self._config else "") or "not set"
        said = (
            f"NGINX tells this by its processes: {count} old worker process{'es' if many else ''} still "
            f"{'have' if many else 'has'} requests, perhaps of other pools (long downloads, websockets). "
            f"`worker_shutdown_timeout` ({bound}) in NGINX's configuration bounds that by ending them."
        )
        masters = sorted({str(worker.master) for worker in old.values() if worker.master})
        if masters:
            said += f" Of these {len(old)} are of an earlier master (process {', '.join(masters)}), whose upgrade is not finished."
        return said

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
            found = os.stat(self.file.path)
        except OSError as error:
            raise Unreachable(f"Balancer {self.name}: {self.file.path}: {error.strerror}.") from None
        servers = self._upstream(text, pool).servers
        pid = self.master.pid()
        workers, earlier = self.master.all_workers(pid)
        serving = [worker for worker, does in workers.items() if does == SERVES]
        # A worker of an earlier master may send anything anywhere, whatever it does.
        leaving = len(workers) - len(serving) + len(earlier)
        connections = Connections(pid)
        members = [_member(server, connections, leaving) for server in servers]
        problem = ""
        if not serving:
            problem = f"NGINX (process {pid}) has no worker that takes requests. Is it being stopped?"
        born = min((started(worker) for worker in serving), default=math.inf)
        unread, replaced = (born + TICKS < at < time.time() for at in (found.st_mtime, found.st_ctime))
        # A file from the future is one from before somebody set the clock back.
        return Seen(members, unread, replaced, problem)

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
            problem = (
                f"has no pool {pool!r}. The upstreams in {self.file.path} are: {known}{self._elsewhere(text, pool)}"
            )
        elif len(here) > 1:
            problem = f"has {len(here)} pools {pool!r} in {self.file.path}, which cannot be told apart"
        elif here[0].includes:
            problem = f"pool {pool!r} in {self.file.path} includes other files. Write its servers into the block itself"
        elif len(here[0].by_address) < len(here[0].servers):
            problem = f"pool {pool!r} has several servers of one address, which cannot be told apart"
        if problem:
            raise InvalidInput(f"Balancer {self.name} {problem}. Nothing was touched.")
        return here[0]

    def _elsewhere(self, text: str, pool: str) -> str:
        """Name the places where a pool that the file does not have may stand, to be added to a sentence."""
        said = ""
        if includes(text):
            said += f". It includes other files, which are not followed: {'; '.join(includes(text))}"
        with contextlib.suppress(DeployError):
            config = self._print(Deadline(Clock(), self.timeout)) if self._can_print else None
            for path in config.files_with(pool) if config else ():
                said += f". NGINX has an upstream {pool!r} in {path}: set `file` to that"
        return said

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
        workers, earlier = self.master.all_workers(pid)
        self._check_no_upgrade({worker: old.master for worker, old in earlier.items() if old.does == SERVES})
        config = self._config or (self._print(deadline) if self._can_print else None)
        if config:
            self._check_is_read(pid, config)
        testing = False
        try:
            with self.file.replaced(old, new):
                testing = True
                self._test(pid, new, deadline)
                testing = False
                self._take_effect(deadline)
        except BaseException as error:
            if testing and isinstance(error, Refused):
                self._check_old_one()
            with contextlib.suppress(DeployError):
                same = self.master.pid() == pid and not self.master.workers(pid).keys() - workers.keys()
                if not same or not self.master.rests(pid):
                    # It has read what is no longer there, or may yet.
                    run(self.reload, self.timeout)
            raise

    def _test(self, pid: int, new: str, deadline: Deadline) -> None:
        """Let NGINX check the new configuration, and verify that it read the new content."""
        failed = "NGINX refuses the new configuration"
        if not self._can_print:
            self._run(failed, self.test, deadline)
            return
        config = Dump(self._run(failed, self._with("-T"), deadline).raw)
        path, problem = place(pid, self.file.path, config.files)
        if not problem and not config.shows(path, new):
            problem = f"NGINX reads {path}, and prints another content of it than was written"
        if problem:
            raise NotApplied(f"Balancer {self.name}: {problem}. {self.file.path} is as it was.")
        self._config = config

    def _check_old_one(self) -> None:
        """Name the cause when NGINX refuses the configuration without the change too."""
        ended = None
        with contextlib.suppress(DeployError):
            ended = run(self.test, self.timeout)
        if ended and ended.rc:
            raise Refused(
                f"Balancer {self.name}: NGINX refuses its configuration without the change too: `{' '.join(self.test)}` said "
                f"{ended.said or 'nothing'} (rc {ended.rc}). Repair that first. {self.file.path} is as it was."
            )

    def _check_no_upgrade(self, serving: dict[Worker, int]) -> None:
        """Refuse to write while workers take requests that no reload reaches.

        :param serving: those, each with the number of its master, 0 where that has ended.
        """
        if not serving:
            return
        pids = ", ".join(str(worker.pid) for worker in serving)
        masters = " ".join(sorted({str(master) for master in serving.values() if master}))
        why = (
            f"An upgrade of its program is not finished. End the earlier master (`kill -QUIT {masters}`)"
            if masters
            else f"Their master was killed. End them (`kill -QUIT {pids.replace(',', '')}`)"
        )
        raise Refused(
            f"Balancer {self.name}: worker processes of an earlier master of NGINX still take requests, and no reload reaches them: "
            f"{pids}. {why}, and run the task again. Nothing was touched."
        )

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
        try:
            ended = run(words, deadline.left)
        except Unreachable as error:
            raise Unreachable(
                f"Balancer {self.name}: {error.message} {self.file.path} is as it was. Allow more time with `timeout`, "
                f"which is {self.timeout:g} s for a check and a reload together."
            ) from None
        if ended.rc:
            raise Refused(
                f"Balancer {self.name}: {failed}: `{' '.join(words)}` said {ended.said or 'nothing'} (rc {ended.rc}). "
                f"{self.file.path} is as it was."
            )
        return ended

    def _alone(self) -> ContextManager[None]:
        """Keep out others who would write this file, or reload this NGINX for another one."""
        return only_writer(f"nginx {self.master.pid_file}", Clock())

    # Asking NGINX

    @property
    def _can_print(self) -> bool:
        """Whether `test` is NGINX's own check, and not a program of the user's."""
        return "-t" in self.test

    def _with(self, option: str) -> list[str]:
        """The words of `test` with another option; the last ``-t`` is NGINX's, another one that of a program before it."""
        at = len(self.test) - 1 - self.test[::-1].index("-t")
        return [*self.test[:at], option, *self.test[at + 1 :]]

    def _print(self, deadline: Deadline) -> Dump | None:
        """The configuration as NGINX would read it now; None when it refuses it.

        :raises Refused: when it cannot be asked.
        """
        words = self._with("-T")
        try:
            ended = run(words, deadline.left)
            refused = ended.rc and run(self.test, deadline.left).rc
        except Unreachable as error:
            raise Unreachable(
                f"Balancer {self.name}: {error.message} Allow more time with `timeout`, which is {self.timeout:g} s. Nothing was touched."
            ) from None
        if refused:
            return None
        config = Dump(ended.raw)
        if ended.rc or not config.files:
            raise Refused(
                f"Balancer {self.name}: NGINX cannot be asked which files it reads: `{' '.join(words)}` said {ended.said or 'nothing'} "
                f"(rc {ended.rc}), though `{' '.join(self.test)}` succeeds. Allow this user to run it. Where `test` is a program of your "
                "own, do not give it a word `-t`: then NGINX is not asked. Nothing was touched."
            )
        self._config = config
        return config

    def _check_is_read(self, pid: int, config: Dump) -> str:
        """The path by which NGINX reads the file.

        :raises InvalidInput: when it does not, or does not see it replaced.
        """
        try:
            path, problem = place(pid, self.file.path, config.files)
        except OSError as error:
            raise Unreachable(
                f"Balancer {self.name}: {self.file.path}: {error.strerror}. Nothing was touched."
            ) from None
        if problem:
            raise InvalidInput(f"Balancer {self.name}: {problem}. Nothing was touched.")
        return path

    def _check_is_read_once(self) -> None:
        """Check for a reader, so that a plan shows the refusal.  Where NGINX cannot be asked, the write is refused."""
        if self._asked or not self._can_print:
            return
        self._asked = True
        config = self._config
        with contextlib.suppress(DeployError):
            config = config or self._print(Deadline(Clock(), self.timeout))
        if config:
            self._check_is_read(self.master.pid(), config)

    def _ask_version(self) -> str:
        if not self._can_print:
            return ""
        ended = run(self._with("-v"), self.timeout)
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
        address=with_port(server.address),
        state=server.state,
        weight=server.weight,
        health=UNKNOWN,
        in_flight=in_flight,
        checked=False,
        tier=server.tier,
    )


def _words(server: Server) -> list[str]:
    return [word.value for word in server.parameters]


class _Addresses:
    """A host's name to its addresses, each looked up once, and none after the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._known: dict[str, list[str]] = {}

    def __call__(self, host: str) -> list[str]:
        if host not in self._known:
            self._known[host] = []
            if not self._deadline.passed:
                with contextlib.suppress(OSError, UnicodeError):
                    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                    self._known[host] = [str(entry[4][0]) for entry in found]
        return self._known[host]


def _place(address: str) -> tuple[IPv4Address | IPv6Address, int] | None:
    """What a connection to it is known by; None unless it is an IP address."""
    host, _colon, port = with_port(address).rpartition(":")
    try:
        return ip_address(host.strip("[]")), int(port)
    except ValueError:
        return None
