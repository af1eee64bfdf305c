# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy, by the file of an EDS cluster and the admin interface: https://www.envoyproxy.io/docs/envoy/latest/operations/admin

The file is written, the admin interface tells what Envoy made of it.  What is not obvious, each measured on 1.40:

* `drained` is ``DRAINING``: bound clients still reach it where `override_host_status` lists DRAINING.  So it cannot stand for `disabled`
  as well.  ``UNHEALTHY`` hands bound clients over, but each counts as sick: below `healthy_panic_threshold` all of them get requests.
* Hence `disabled` is ``UNHEALTHY`` while there is something in flight, and then an entry that Envoy is not told of (`eds_file`): no mode
  of it can send there.  A host that leaves as UNHEALTHY is gone at once, without `ignore_health_on_host_removal`; one that leaves in any
  other state is kept, and used, for as long as its check passes.
* A host that comes back is a new one: it counts as failed until its first check, begun then, has ended, and one pass is enough.  That is
  how a check is made fresh.
* Requests that are under way when a host leaves are not cut, but no longer shown: only who is idle leaves.
* A file with no resources is accepted and changes nothing, one that is refused shows in two counters alone, and the reason is in the log.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from .._clock import Clock, Deadline
from .._domain.counters import Counters
from .._domain.errors import InvalidInput, NotApplied, Refused, TimedOut, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Change, Member
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .eds_file import STATES, EdsFile, Entry, normal, pick, place, status
from .http_api import HttpApi

PAUSE = 0.01  # seconds between two looks at what should be so any moment
SECOND_LOOK = 0.02  # seconds after which who is idle must still be so: workers hear of a change a moment after the admin interface
COUNTED = "version_text update_rejected update_failure lb_healthy_panic upstream_rq_pending_active health_check.attempt"
STATS = "/stats?format=json&filter=%5C.(" + COUNTED.replace(" ", "%7C").replace(".", "%5C.") + ")%24"
CLUSTERS = "/clusters?format=json"
STARTED = "/config_dump?mask=last_updated"  # times alone
SICK = ("failed_active_health_check", "pending_active_hc", "failed_outlier_check", "excluded_via_immediate_hc_fail")


@dataclass(frozen=True)
class Host:
    """An endpoint as Envoy has it.

    :param flags: its health flags that are set.
    :param leaving: gone from the file, and kept because its check passes.
    :param requests: that have ended.
    :param errors: of these, without an answer or with one of status 5xx.  Envoy takes an answer that breaks off for a success.
    """

    state: str
    weight: int
    in_flight: int
    flags: tuple[str, ...]
    leaving: bool
    requests: int
    errors: int


@dataclass(frozen=True)
class Cluster:
    """A cluster as Envoy has it.

    :param hosts: by address; several where one takes the place of another.
    :param stats: those of `COUNTED`.
    """

    name: str
    hosts: dict[str, list[Host]]
    stats: dict[str, Any]

    @property
    def refusals(self) -> int:
        """Updates that were not taken over."""
        return self.stats["update_rejected"] + self.stats["update_failure"]

    @property
    def checked(self) -> bool:
        """Whether hosts have active health checks: without them there are no such statistics."""
        return "health_check.attempt" in self.stats

    def objection(self, entry: Entry) -> str:
        """How this is not as the entry says; empty when it is."""
        hosts = [host for host in self.hosts.get(entry.address, []) if not (host.leaving and not entry.kept)]
        if entry.kept:
            return f"still has {entry.name}" if hosts else ""
        if not hosts:
            return f"does not have {entry.name}"
        host = hosts[-1]
        if (host.state, host.weight) != (entry.state, entry.weight):
            return (
                f"has {entry.name} {host.state} with weight {host.weight}, not {entry.state} with weight {entry.weight}"
            )
        return ""


class Envoy(Balancer):
    """See the module's own text."""

    provider = "envoy"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.file = ConfigFile(absolute("file", options["file"]))
        super().__init__(name, self.file.path, capabilities)
        self.timeout = options["timeout"]
        self.api = HttpApi(
            "Envoy's admin interface",
            self.timeout,
            url=options["url"],
            socket_path=options["socket"],
            headers=options["headers"],
        )
        self._parsed = ("", None)  # a file that has not changed is not parsed at every poll

    def version(self) -> str:
        answer = self.api.ask("GET", "/server_info")
        found = re.search(r'"version": *"[^"/]*/([0-9][^"/]*)', answer.text)
        return found.group(1) if found else "unknown"  # `allow_paths` need not allow it

    def members(self, pool: str) -> list[Member]:
        entries, clusters = self._agreed(pool)
        return [_member(entry, clusters) for entry in entries]

    def counters(self, pool: str) -> dict[str, Counters]:
        entries, clusters = self._agreed(pool)
        since, counted = self._since(), {}
        for entry in entries:
            hosts = [host for cluster in clusters for host in cluster.hosts.get(entry.address, [])]
            if hosts:  # one that Envoy is not told of has none
                requests, errors = sum(host.requests for host in hosts), sum(host.errors for host in hosts)
                counted[entry.name] = Counters(requests, errors, since)
        return counted

    def _since(self) -> str:
        """When Envoy was started: nothing else of it that can be asked for does not change by itself."""
        answer = self.api.ask("GET", STARTED)
        found = re.search(r'BootstrapConfigDump",\s*"last_updated":\s*"([^"]+)"', answer.text)
        return found.group(1) if found else "unknown"  # `allow_paths` need not allow it

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        with contextlib.ExitStack() as written:  # what stood there before is put back when a later step fails
            if distrust:
                self._forget(written, pool, [change.name for change in changes])
            kept = {entry.name for entry in self._entries(pool, self.file.read()) if entry.kept}
            new = [Change(c.name, DRAINED, c.weight) for c in changes if c.name in kept and c.state == ENABLED]
            if new and any(change.state not in (None, ENABLED) for change in changes):
                # A new host has no requests before its first check: until then those that leave are still needed.
                self._write(written, pool, lambda file: file.change(pool, new))
                self._await_checks(pool, [change.name for change in new])
            self._write(written, pool, lambda file: file.change(pool, changes))
            self._keep_idle(written, pool, [change.name for change in changes if change.state == DISABLED])
            if not distrust:
                self._await_checks(pool, [c.name for c in changes if c.name in kept and c.state in (ENABLED, DRAINED)])
            members = self.members(pool)
            self.check_written(
                pool, changes, members, f"Something else writes {self.file.path}, or its members share a name."
            )
        return members

    def settle(self, pool: str, names: list[str]) -> None:
        with contextlib.ExitStack() as written:
            self._keep_idle(written, pool, names)

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        address = _ip_and_port(address)
        with contextlib.ExitStack() as written:
            self._write(written, pool, lambda file: file.add(pool, name, address, weight))

    def remove(self, pool: str, names: list[str]) -> None:
        busy = [m.name for m in self.members(pool) if m.name in names and (m.state != DISABLED or m.in_flight)]
        if busy:
            raise Refused(f"Balancer {self.name}: {', '.join(busy)} cannot be removed from {pool}: still in use.")
        with contextlib.ExitStack() as written:
            self._write(written, pool, lambda file: file.remove(pool, names))

    def _forget(self, written: contextlib.ExitStack, pool: str, names: list[str]) -> None:
        """Take these away, so that they come back as hosts whose health is not known.

        :raises TimedOut: when they do not become idle: what they have under way would no longer be seen.
        """
        self._write(written, pool, lambda file: file.change(pool, [Change(name, DISABLED) for name in names]))
        deadline = Deadline(Clock(), self.timeout)
        while True:
            busy = self._keep_idle(written, pool, names)
            if not busy:
                return
            if deadline.passed:
                raise TimedOut(
                    f"Balancer {self.name}: requests of bound clients are under way to {', '.join(busy)}, and for as long as they are, "
                    f"Envoy cannot be made to check anew. They had {self.timeout:g} s: allow more with `timeout`, or take the members "
                    "out with `disabled` first."
                )

    def _keep_idle(self, written: contextlib.ExitStack, pool: str, names: list[str]) -> list[str]:
        """No longer tell Envoy of those that are disabled and idle; the others.

        :raises NotApplied: when Envoy goes on sending to these.
        """
        if not names:
            return []
        entries, clusters = self._agreed(pool, patient=True)
        waiting = [e for e in entries if e.name in names and e.state == DISABLED and not e.kept]
        if not waiting:
            return []
        Clock().sleep(SECOND_LOOK)
        _entries, later = self._agreed(pool, patient=True)
        busy = [entry.name for entry in waiting if _in_flight(entry, clusters) or _in_flight(entry, later)]
        idle = [entry.name for entry in waiting if entry.name not in busy]
        if idle:
            self._write(written, pool, lambda file: file.keep(pool, idle))
        panic = [
            now.name
            for was, now in zip(clusters, later)
            if now.stats["lb_healthy_panic"] > was.stats["lb_healthy_panic"]
        ]
        if busy and panic:
            raise NotApplied(
                f"Balancer {self.name}: cluster {', '.join(panic)} is in panic mode: too few of its members are healthy, so Envoy sends "
                f"requests to all of them, {', '.join(busy)} included. Set its `healthy_panic_threshold` to 0, or take out fewer at a time."
            )
        return busy

    def _await_checks(self, pool: str, names: list[str]) -> None:
        """Give those that come back the moment that Envoy needs: a new host takes no requests before its first check, begun at once.

        Whether that has ended is not told, only whether it has passed.
        """
        deadline = Deadline(Clock(), self.timeout)
        while names and not deadline.passed:
            names = [m.name for m in self.members(pool) if m.name in names and m.health == DOWN]
            Clock().sleep(PAUSE if names else 0)

    def _write(self, written: contextlib.ExitStack, pool: str, edit: Callable[[EdsFile], None]) -> None:
        """Write the file, and wait until Envoy goes by it.

        :raises NotApplied: when it does not.
        """
        before = self._look(pool, Deadline(Clock(), self.timeout))
        old = self.file.read()
        earlier = self._entries(pool, old)
        file = self._opened(old)
        try:
            edit(file)
        except ValueError as error:
            raise self._unfit(error) from None
        if str(file) == old:
            return
        file.renew()
        written.enter_context(self.file.replaced(old, str(file)))
        deadline = Deadline(Clock(), self.timeout)
        entries = file.entries(pool)
        left = {entry.address for entry in entries}
        gone = [entry.address for entry in earlier if entry.address not in left]
        while True:
            clusters = self._look(pool, deadline)
            objections = _objections(entries, clusters, gone, file.version)
            if not objections:
                return
            refused = any(now.refusals > was.refusals for was, now in zip(before, clusters))
            if refused or deadline.passed:
                raise NotApplied(self._not_taken(objections, refused))
            Clock().sleep(PAUSE)

    def _not_taken(self, objections: list[str], refused: bool) -> str:
        if refused:
            why = "Envoy refused it (update_rejected, update_failure): its log says why."
        else:
            why = (
                f"Is it the file of its `path_config_source`, and watched where it lies? Envoy had {self.timeout:g} s."
            )
        return f"Balancer {self.name}: {self.file.path} was written, and {objections[0]}. {why} What stood in the file before was put back."

    def _agreed(self, pool: str, patient: bool = False) -> tuple[list[Entry], list[Cluster]]:
        """The file's members and the clusters that go by it.

        :param patient: bear with an Envoy that is being restarted: what was written is lost to nobody, it is in the file.
        :raises Unreachable: when they do not come to say the same: only together they tell what is so.
        """
        deadline = Deadline(Clock(), self.timeout)
        while True:
            entries = self._entries(pool, self.file.read())
            clusters = self._look(pool, deadline if patient else None)
            objections = _objections(entries, clusters)
            if not objections:
                return entries, clusters
            if deadline.passed:
                raise Unreachable(
                    f"Balancer {self.name}: Envoy does not go by {self.file.path}: {objections[0]}. Is Envoy starting, was the file "
                    "refused (its log says why) or changed in place instead of replaced, or is it another cluster's?"
                )
            Clock().sleep(PAUSE)

    def _opened(self, text: str) -> EdsFile:
        try:
            return EdsFile(text)
        except ValueError as error:
            raise self._unfit(error) from None

    def _unfit(self, error: ValueError) -> InvalidInput:
        return InvalidInput(
            f"Balancer {self.name}: {self.file.path} is no EDS file in JSON, the one format that is changed here: {error}. "
            "Nothing was touched."
        )

    def _entries(self, pool: str, text: str) -> list[Entry]:
        if self._parsed[0] != text or self._parsed[1] is None:
            self._parsed = (text, self._opened(text))
        file: EdsFile = self._parsed[1]
        if pool not in file.clusters:
            raise InvalidInput(
                f"Balancer {self.name} has no pool {pool!r}. The clusters in {self.file.path} are: "
                f"{', '.join(sorted(file.clusters)) or 'none'}. Nothing was touched."
            )
        try:
            return file.entries(pool)
        except ValueError as error:
            raise self._unfit(error) from None

    def _look(self, pool: str, patience: Deadline | None = None) -> list[Cluster]:
        """The clusters that go by the file; usually one.

        :param patience: how long an Envoy is borne with that does not answer.
        """
        while True:
            try:
                return self._seen(pool)
            except Unreachable:
                if patience is None or patience.passed:
                    raise
                Clock().sleep(PAUSE)

    def _seen(self, pool: str) -> list[Cluster]:
        """The same, at this moment.

        The statistics come first: a request that waits for a connection at that moment is counted there, or under way afterwards.
        """
        counted = _counted(self._ask(STATS))
        seen = self._ask(CLUSTERS)
        try:
            clusters = [_cluster(each, counted) for each in pick(seen, "cluster_statuses", []) if _goes_by(each, pool)]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self.api.stranger(f"GET {CLUSTERS}", f"something else ({error})") from None
        if not clusters:
            raise Unreachable(
                f"Balancer {self.name}: Envoy has no cluster of type EDS that is called {pool!r}, or is so by its `service_name`. "
                "Is it starting?"
            )
        return clusters

    def _ask(self, path: str) -> Any:
        answer = self.api.ask("GET", path)
        if answer.status == 403:
            raise Refused(
                f"Balancer {self.name}: Envoy's admin interface at {self.api.endpoint} forbids {path.split('?')[0]}: see `allow_paths`."
            )
        try:
            if answer.status != 200:
                raise ValueError
            return answer.json()
        except (ValueError, RecursionError):
            raise self.api.stranger(f"GET {path.split('?')[0]}", f"{answer.status} {answer.text!r}") from None


def _objections(
    entries: list[Entry], clusters: list[Cluster], gone: Sequence[str] = (), version: str | None = None
) -> list[str]:
    """How the clusters are not as the file has it."""
    found = []
    for cluster in clusters:
        if version is not None and cluster.stats["version_text"] != version:
            found.append(f"cluster {cluster.name} goes by version {cluster.stats['version_text']!r}, not {version!r}")
        found += [f"cluster {cluster.name} {said}" for said in map(cluster.objection, entries) if said]
        found += [f"cluster {cluster.name} still has {address}" for address in gone if address in cluster.hosts]
    return found


def _member(entry: Entry, clusters: list[Cluster]) -> Member:
    hosts = [host for cluster in clusters for host in cluster.hosts.get(entry.address, []) if not entry.kept]
    checked = entry.checked and any(cluster.checked for cluster in clusters)
    flags = sorted({flag for host in hosts if not host.leaving for flag in host.flags})
    if entry.kept or not (checked or flags):
        health = UNKNOWN
    else:
        health = DOWN if any(flag in SICK for flag in flags) else UP
    return Member(
        name=entry.name,
        address=entry.address,
        state=entry.state,
        weight=entry.weight,
        health=health,
        in_flight=_in_flight(entry, clusters),
        checked=checked,
        last_check="" if health == UNKNOWN else ", ".join(flags) or "healthy",
    )


def _in_flight(entry: Entry, clusters: list[Cluster]) -> int:
    return sum(host.in_flight for cluster in clusters for host in cluster.hosts.get(entry.address, []))


def _goes_by(cluster: Any, pool: str) -> bool:
    return pick(cluster, "eds_service_name", pick(cluster, "name")) == pool


def _cluster(told: Any, counted: dict[str, dict[str, Any]]) -> Cluster:
    """One of the answer to `/clusters`, with its statistics.

    :raises ValueError: when it is not what an Envoy says.
    """
    name = str(pick(told, "name"))
    # Of the names that stand in statistics these characters are replaced.
    label = re.sub(r"://|:/|:", "_", str(pick(told, "observability_name", name)))
    stats = {
        "version_text": "",
        "update_rejected": 0,
        "update_failure": 0,
        "lb_healthy_panic": 0,
        **counted.get(label, {}),
    }
    hosts: dict[str, list[Host]] = {}
    for host in pick(told, "host_statuses", []):
        hosts.setdefault(place(pick(host, "address")), []).append(_host(host, stats))
    return Cluster(name, hosts, stats)


def _host(told: Any, stats: dict[str, Any]) -> Host:
    gauges = {pick(stat, "name"): int(pick(stat, "value", 0)) for stat in pick(told, "stats", [])}
    health = pick(told, "health_status", {})
    flags = tuple(name for name, value in health.items() if value is True)
    # Envoys before 1.40 tell for the whole cluster alone how many requests wait for a connection.
    waiting = gauges.get("rq_pending_active", stats.get("upstream_rq_pending_active", 0))
    return Host(
        state=STATES.get(status(pick(health, "eds_health_status", "UNKNOWN")), ENABLED),
        weight=int(pick(told, "weight", 1)),
        in_flight=gauges["rq_active"] + waiting,
        flags=flags,
        leaving="pending_dynamic_removal" in flags,
        requests=gauges.get("rq_success", 0) + gauges.get("rq_error", 0),
        errors=gauges.get("rq_error", 0),
    )


def _counted(told: Any) -> dict[str, dict[str, Any]]:
    """The answer to `/stats`: by cluster and name."""
    found: dict[str, dict[str, Any]] = {}
    try:
        for stat in pick(told, "stats", []):
            name = str(pick(stat, "name", ""))
            for counter in COUNTED.split():
                if name.startswith("cluster.") and name.endswith(f".{counter}"):
                    value = pick(stat, "value", 0)
                    label = name[len("cluster.") : -len(counter) - 1]
                    found.setdefault(label, {})[counter] = str(value or "") if counter == "version_text" else int(value)
    except (ValueError, TypeError):
        return {}
    return found


def _ip_and_port(address: str) -> str:
    known = normal(address)
    if not re.fullmatch(r"(\[[0-9a-f:.]+\]|[0-9.]+):([1-9][0-9]{0,4})", known):
        raise InvalidInput(
            f"{address!r} is no IP address with a port, and Envoy takes no others from a file. Nothing was touched."
        )
    return known
