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
* Requests that are under way when a host leaves are not cut, but no longer shown: only who is idle leaves.  While the former process
  of a hot restart serves on, its requests are not shown either: a member leaves at once, and its connections are counted (`envoy_parent`).
* A higher priority gets requests before the lower one is empty: as soon as less than 72 % of that are healthy (`overprovisioning_factor`
  1.4).  A host that is DRAINING, or was so before it became UNHEALTHY, does not count there, one that became UNHEALTHY at once does.
* Workers hear up to `update_merge_window` later what a check has found.  So a member that takes itself out may get requests that long
  after it is shown to have failed.  Before 1.40 the same is so of new states and weights in the file, within that time of another update.
* A file with no resources is accepted and changes nothing, one that is refused shows in two counters alone, and the reason is in the log.
"""

from __future__ import annotations

import contextlib
import re
import os
from dataclasses import replace
from typing import Any, Callable, Sequence

from .._clock import Clock, Deadline
from .._domain.counters import Counters
from .._domain.errors import InvalidInput, NotApplied, Refused, TimedOut, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Change, Member
from .._domain.pools import OtherPool, Timing
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .eds_file import EdsFile, Entry, normal, seconds
from .envoy_clusters import CLUSTERS, EPOCH, STATS, UPDATED, Cluster, clusters, counted, entries
from .envoy_config import DUMPS, EDS, MERGE, ClusterConfig, configs
from .envoy_parent import Former, former
from .http_api import HttpApi

POOL = "{pool}"  # stands in `file` for the name of the pool
PAUSE = 0.01  # seconds between two looks at what should be so any moment
SECOND_LOOK = 0.02  # seconds after which who is idle must still be so: workers hear of a change a moment after the admin interface
STARTED = "/config_dump?mask=last_updated"  # times alone
SERVER = "/server_info"
SICK = ("failed_active_health_check", "pending_active_hc", "failed_outlier_check", "excluded_via_immediate_hc_fail")
EACH, OF_CLUSTER = (
    "`rq_active` and `rq_pending_active` of the host",
    "`rq_active` of the host, and all requests of the cluster that wait for a connection (before Envoy 1.39)",
)
FORMER = "connections of both processes of a hot restart in /proc, while the former one serves"
UNSEEN = "not known while the former process of a hot restart serves, which is not seen from here: it takes root, or Envoy's user"


class Envoy(Balancer):
    """See the module's own text."""

    provider = "envoy"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.timeout = options["timeout"]
        self.api = HttpApi(
            "Envoy's admin interface",
            self.timeout,
            url=options["url"],
            socket_path=options["socket"],
            headers=options["headers"],
        )
        self.files = _Files(options["file"]) if options["file"] else None
        if self.files is None:  # it is read alone
            capabilities = replace(
                capabilities, writes=False, sticky_drain=False, weight_range=None, membership=False, fresh_health=False
            )
        super().__init__(name, self.files.path if self.files else self.api.endpoint, capabilities)
        self.instance = self.api.endpoint
        self.in_flight_source = EACH
        self._parsed: dict[str, tuple[str, EdsFile]] = {}  # a file that has not changed is not parsed at every poll
        self._configs: dict[str, ClusterConfig] | None = None
        self._all: list[Cluster] = []  # as last seen, as is the process before a hot restart
        self._former: Former | None = None
        self._updated: int | None = None  # updates that workers were told at once
        self._failed: dict[str, Deadline] = {}  # by address, until when workers may not know of it

    def lock_name(self) -> str:
        return f"{self.provider} {self.files.folder if self.files else self.endpoint}"

    def version(self) -> str:
        answer = self.api.ask("GET", SERVER)
        found = re.search(r'"version": *"[^"/]*/([0-9][^"/]*)', answer.text)
        return found.group(1) if found else "unknown"  # `allow_paths` need not allow it

    def heal(self, pool: str) -> None:
        self._file(pool)  # refuses before anything is written anywhere

    def members(self, pool: str) -> list[Member]:
        entries, clusters = self._agreed(pool)
        by_zone = self._by_zone(entries, clusters)
        self._narrow(clusters)
        members = [self._member(entry, clusters, by_zone) for entry in entries]
        return members if self.files else self._known_to_workers(members, clusters)

    def _known_to_workers(self, members: list[Member], clusters: list[Cluster]) -> list[Member]:
        """The members, without a count of those that may still get requests because workers do not know that their checks fail."""
        window = self._window(clusters)
        failed = {member.address for member in members if member.health == DOWN}
        self._failed = {
            address: self._failed.get(address) or Deadline(Clock(), window + SECOND_LOOK) for address in failed
        }
        late = {address for address, deadline in self._failed.items() if not deadline.passed}
        return [replace(member, in_flight=None) if member.address in late else member for member in members]

    def other_pools(self, pool: str) -> list[OtherPool]:
        entries, clusters = self._agreed(pool)
        mine = {entry.address: entry.name for entry in entries}
        ours = {cluster.name for cluster in clusters}
        found: dict[tuple[str, str], dict[str, None]] = {}
        for cluster in self._all:
            shared = {mine[address]: None for address in cluster.hosts if address in mine}
            if shared and cluster.name not in ours:
                config = self._config().get(cluster.name)
                fixed = bool(config) and config.kind != EDS
                reason = (
                    f"same address, in a cluster that reads no EDS file ({config.kind})" if fixed else "same address"
                )
                found.setdefault((cluster.service, reason), {}).update(shared)
        return [OtherPool(name, tuple(shared), reason) for (name, reason), shared in found.items()]

    def timing(self, pool: str) -> Timing:
        _entries, clusters = self._agreed(pool)
        known = [(self._config()[cluster.name], cluster.used) for cluster in clusters if cluster.name in self._config()]
        try:
            return max(
                (config.timing(used) for config, used in known), key=lambda each: each.check or 0, default=Timing()
            )
        except (ValueError, TypeError):
            return Timing()

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

    def busy_sentence(self, pool: str, busy: dict[str, int | None]) -> str:
        if self._former is None:
            return ""
        known = (
            "Its connections are counted too."
            if self._former.connections is not None
            else "What it has under way is not seen from here."
        )
        return (
            f"Envoy was restarted a short while ago, and its former process still serves. {known} It ends by itself after Envoy's "
            "`--parent-shutdown-time-s`."
        )

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        with contextlib.ExitStack() as written:  # what stood there before is put back when a later step fails
            if distrust:
                self._forget(written, pool, [change.name for change in changes])
            kept = {entry.name for entry in self._entries(pool, self._file(pool).read()) if entry.kept}
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
                pool, changes, members, f"Something else writes {self._file(pool).path}, or its members share a name."
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
        busy = [m.name for m in self.members(pool) if m.name in names and (m.state != DISABLED or m.in_flight != 0)]
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
            if self._former and not busy:  # they have left already, and are seen by their connections alone
                busy = [m.name for m in self.members(pool) if m.name in names and m.in_flight != 0]
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
        busy = [entry.name for entry in waiting if _shown(entry, clusters) or _shown(entry, later)]
        if self._former and self._former.connections is not None:
            busy = []  # only of hosts that are gone do the connections tell what is under way
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
        elsewhere = self._other_source(pool, before)
        if elsewhere:
            raise Refused(f"Balancer {self.name}: {elsewhere} Nothing was touched.")
        updated = self._updated
        own = self._file(pool)
        old = own.read()
        earlier = self._entries(pool, old)
        file = self._opened(own.path, old)
        try:
            edit(file)
        except ValueError as error:
            raise self._unfit(own.path, error) from None
        if str(file) == old:
            return
        file.renew()
        written.enter_context(own.replaced(old, str(file)))
        deadline = Deadline(Clock(), self.timeout)
        entries = file.entries(pool)
        left = {entry.address for entry in entries}
        gone = [entry.address for entry in earlier if entry.address not in left]
        while True:
            clusters = self._look(pool, deadline)
            objections = self._objections(entries, clusters, gone, file.version)
            if not objections:
                self._await_workers(updated, _changed(earlier, entries), clusters)
                return
            refused = any(now.refusals > was.refusals for was, now in zip(before, clusters))
            if refused or deadline.passed:
                raise NotApplied(self._not_taken(own.path, objections, refused))
            Clock().sleep(PAUSE)

    def _await_workers(self, before: int | None, changed: dict[int, bool], clusters: list[Cluster]) -> None:
        """Wait until the workers know what was written: they are told at once, or when `update_merge_window` has passed.

        :param before: updates that they were told at once, before the write.
        :param changed: see :func:`_changed`.
        """
        if not any(changed.values()):
            return
        now = self._updated
        # Fewer were put off, and of more it is not known whose they are.
        if before is None or now is None or now - before != len(changed) * len(clusters):
            Clock().sleep(self._window(clusters))

    def _window(self, clusters: list[Cluster]) -> float:
        """Seconds after which at most the workers know what the admin interface shows."""
        configs = [self._config()[each.name] for each in clusters if each.name in self._config()]
        return max((config.merge for config in configs), default=seconds(MERGE))

    def _not_taken(self, path: str, objections: list[str], refused: bool) -> str:
        if refused:
            why = "Envoy refused it (update_rejected, update_failure): its log says why."
        else:
            why = (
                "Is it the file of its `path_config_source`, and watched where it lies? In a container, is its directory mounted, not the "
                f"file alone? Envoy had {self.timeout:g} s."
            )
        return f"Balancer {self.name}: {path} was written, and {objections[0]}. {why} What stood in the file before was put back."

    def _agreed(self, pool: str, patient: bool = False) -> tuple[list[Entry], list[Cluster]]:
        """The file's members and the clusters that go by it.

        :param patient: bear with an Envoy that is being restarted: what was written is lost to nobody, it is in the file.
        :raises Unreachable: when they do not come to say the same: only together they tell what is so.
        """
        if self.files is None:
            clusters = self._look(pool, Deadline(Clock(), self.timeout) if patient else None)
            return entries(clusters), clusters
        file = self._file(pool)
        deadline = Deadline(Clock(), self.timeout)
        while True:
            written = self._entries(pool, file.read())
            clusters = self._look(pool, deadline if patient else None)
            objections = self._objections(written, clusters)
            if not objections:
                return written, clusters
            if deadline.passed:
                why = self._other_source(pool, clusters) or (
                    "Is Envoy starting, was the file refused (its log says why) or changed in place instead of replaced, or is it another "
                    "cluster's?"
                )
                raise Unreachable(f"Balancer {self.name}: Envoy does not go by {file.path}: {objections[0]}. {why}")
            Clock().sleep(PAUSE)

    def _file(self, pool: str) -> ConfigFile:
        """The file that a pool is in.

        :raises Refused: when there is none to write.
        """
        if self.files is None:
            raise Refused(
                f"Balancer {self.name} can only be read: give `file`, the EDS file of the cluster, to change members. One that gets its "
                "endpoints from a control plane is changed there. Nothing was touched."
            )
        return self.files.of(self.name, pool)

    def _objections(
        self, entries: list[Entry], clusters: list[Cluster], gone: Sequence[str] = (), version: str | None = None
    ) -> list[str]:
        """How the clusters are not as the file has it."""
        found = []
        for cluster in clusters:
            if version is not None and cluster.stats["version_text"] != version:
                found.append(
                    f"cluster {cluster.name} goes by version {cluster.stats['version_text']!r}, not {version!r}"
                )
            config = self._config().get(cluster.name)
            weighs = config is None or config.weighs
            said = [cluster.objection(entry, weighs) for entry in entries]
            found += [f"cluster {cluster.name} {each}" for each in said if each]
            found += [f"cluster {cluster.name} still has {address}" for address in gone if address in cluster.hosts]
        return found

    def _opened(self, path: str, text: str) -> EdsFile:
        try:
            return EdsFile(text)
        except ValueError as error:
            raise self._unfit(path, error) from None

    def _unfit(self, path: str, error: ValueError) -> InvalidInput:
        return InvalidInput(
            f"Balancer {self.name}: {path} is no EDS file in JSON, the one format that is changed here: {error}. Nothing was touched."
        )

    def _entries(self, pool: str, text: str) -> list[Entry]:
        path = self._file(pool).path
        if path not in self._parsed or self._parsed[path][0] != text:
            self._parsed[path] = (text, self._opened(path, text))
        file = self._parsed[path][1]
        if pool not in file.clusters:
            raise InvalidInput(
                f"Balancer {self.name} has no pool {pool!r}. The clusters in {path} are: "
                f"{', '.join(sorted(file.clusters)) or 'none'}. Nothing was touched."
            )
        try:
            return file.entries(pool)
        except ValueError as error:
            raise self._unfit(path, error) from None

    def _other_source(self, pool: str, clusters: list[Cluster]) -> str:
        """How Envoy does not read this file, as far as it tells; empty when it does, or does not tell."""
        path = self._file(pool).path
        for config in (self._config()[each.name] for each in clusters if each.name in self._config()):
            if config.source != "file":
                return f"Cluster {config.name} gets its endpoints by `{config.source}`, not from a file, so {path} changes nothing."
            watched = config.watched or os.path.dirname(config.path)
            for said, theirs, ours in (("reads", config.path, path), ("watches", watched, os.path.dirname(path))):
                if _elsewhere(theirs, ours):
                    return (
                        f"Cluster {config.name} {said} {theirs}, not {ours}, by its `path_config_source`, so {path} changes nothing. If "
                        "Envoy runs in a container, where that is another place, remove the one that is called so here."
                    )
        return ""

    def _config(self) -> dict[str, ClusterConfig]:
        """The configuration of all clusters by name; of none where `allow_paths` does not allow to read it."""
        if self._configs is None:
            found: dict[str, ClusterConfig] = {}
            for path in DUMPS:
                answer = self.api.ask("GET", path)
                with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
                    found.update(configs(answer.json() if answer.status == 200 else {}))
            self._configs = found
        return self._configs

    def _narrow(self, clusters: list[Cluster]) -> None:
        """Go by what this Envoy can do."""
        if any(not self._config()[each.name].weighs for each in clusters if each.name in self._config()):
            self.capabilities = replace(self.capabilities, weight_range=None)
        hosts = [host for cluster in clusters for those in cluster.hosts.values() for host in those]
        self.in_flight_source = EACH if all(host.waiting for host in hosts) else OF_CLUSTER
        if self._former:
            self.in_flight_source = UNSEEN if self._former.connections is None else FORMER

    def _by_zone(self, entries: list[Entry], clusters: list[Cluster]) -> bool:
        """Whether weights count within a locality alone.

        Without its configuration Envoy does not tell.  Where localities are balanced by weight, one without a weight gets no traffic: so
        they are when there is one with a weight in the file.
        """
        known = [self._config()[each.name].by_locality for each in clusters if each.name in self._config()]
        told = any(known) if known else any(entry.weighed for entry in entries)
        return told or any(cluster.by_zone for cluster in clusters)

    def _member(self, entry: Entry, clusters: list[Cluster], by_zone: bool) -> Member:
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
            in_flight=self._in_flight(entry, clusters),
            checked=checked,
            last_check="" if health == UNKNOWN else ", ".join(flags) or "healthy",
            tier=hosts[-1].tier if hosts else entry.tier,
            locality=(entry.zone or "-") if by_zone else "",
            requests=sum(host.given for host in hosts) if hosts else None,
        )

    def _in_flight(self, entry: Entry, clusters: list[Cluster]) -> int | None:
        """What a member has under way; None where a former process may have something of which nothing is known."""
        shown = _shown(entry, clusters)
        if self._former is None:
            return shown
        return self._former.to(entry.address) if entry.kept else shown or None

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
        stats = counted(self._ask(STATS))
        seen = self._ask(CLUSTERS)
        try:
            self._all = clusters(seen, stats)
            self._updated = stats.get("", {}).get(UPDATED)
            self._former = former(self._server()) if stats.get("", {}).get(EPOCH) else None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self.api.stranger(f"GET {CLUSTERS}", f"something else ({error})") from None
        found = [cluster for cluster in self._all if cluster.service == pool]
        if found:
            return found
        if self.files is None:
            raise InvalidInput(
                f"Balancer {self.name} has no pool {pool!r}. The clusters of Envoy are: "
                f"{', '.join(sorted(cluster.service for cluster in self._all)) or 'none'}. Nothing was touched."
            )
        raise Unreachable(
            f"Balancer {self.name}: Envoy has no cluster of type EDS that is called {pool!r}, or is so by its `service_name`. "
            "Is it starting?"
        )

    def _server(self) -> Any:
        """What Envoy says of its process; None where `allow_paths` does not allow to ask."""
        answer = self.api.ask("GET", SERVER)
        return answer.json() if answer.status == 200 else None

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


def _shown(entry: Entry, clusters: list[Cluster]) -> int:
    """Requests under way to a member, of the process that answers."""
    return sum(host.in_flight for cluster in clusters for host in cluster.hosts.get(entry.address, []))


def _changed(earlier: list[Entry], entries: list[Entry]) -> dict[int, bool]:
    """Priorities that a write changes, each an update, to whether it can be put off: where hosts come or go it is not."""

    def told(of: list[Entry], tier: int) -> dict[str, tuple[str, int]]:
        return {entry.address: (entry.state, entry.weight) for entry in of if entry.tier == tier and not entry.kept}

    found = {}
    for tier in {entry.tier for entry in [*earlier, *entries]}:
        before, after = told(earlier, tier), told(entries, tier)
        if before != after:
            found[tier] = set(before) == set(after)
    return found


def _elsewhere(theirs: str, ours: str) -> bool:
    """Whether both are here, and are not the same: a path that is not here may be one within a container."""
    if not os.path.isabs(theirs) or not (os.path.exists(theirs) and os.path.exists(ours)):
        return False
    return not os.path.samefile(theirs, ours)


def _ip_and_port(address: str) -> str:
    known = normal(address)
    if not re.fullmatch(r"(\[[0-9a-f:.]+\]|[0-9.]+):([1-9][0-9]{0,4})", known):
        raise InvalidInput(
            f"{address!r} is no IP address with a port, and Envoy takes no others from a file. Nothing was touched."
        )
    return known


class _Files:
    """The EDS files of an entry: one, or one for each pool with `{pool}` in its name.

    :param folder: where they lie; the same for every way to name them.
    """

    def __init__(self, path: str) -> None:
        folder, name = os.path.split(absolute("file", path))
        self.pattern = name if POOL in name else ""
        if POOL in folder:
            raise InvalidInput(
                f"`file` may have `{POOL}` in the name of the file alone, not in that of a directory: {path}. Nothing was touched."
            )
        self.path = os.path.join(os.path.realpath(folder), name) if self.pattern else os.path.realpath(path)
        self.folder = os.path.dirname(self.path)

    def of(self, balancer: str, pool: str) -> ConfigFile:
        """The file of a pool.

        :raises InvalidInput: when it has none.
        """
        if not self.pattern:
            return ConfigFile(self.path)
        path = os.path.join(self.folder, self.pattern.replace(POOL, pool))
        if "/" in pool or "\0" in pool or not os.path.lexists(path):
            there = re.compile(re.escape(self.pattern).replace(re.escape(POOL), "(.+)"))
            names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
            pools = sorted(found.group(1) for found in map(there.fullmatch, names) if found)
            raise InvalidInput(
                f"Balancer {balancer} has no pool {pool!r}. Pools with a file {self.path} are: {', '.join(pools) or 'none'}. "
                "Nothing was touched."
            )
        return ConfigFile(path)
