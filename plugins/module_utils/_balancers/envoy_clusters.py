# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers of Envoy's admin interface to `/stats` and `/clusters`: clusters, hosts, and counters.  Pure.
https://www.envoyproxy.io/docs/envoy/latest/operations/admin
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .._domain.members import ENABLED
from .eds_file import STATES, Entry, pick, place, status, zone

COUNTED = (
    "version_text update_rejected update_failure lb_healthy_panic upstream_rq_pending_active upstream_cx_total "
    "lb_recalculate_zone_structures health_check.attempt"
)
EPOCH = "hot_restart_epoch"  # of the process: 0 for one that was not started by a hot restart
UPDATED = "cluster_updated"  # updates that its workers were told at once
OWN = {f"server.{EPOCH}": EPOCH, f"cluster_manager.{UPDATED}": UPDATED}
STATS = "/stats?format=json&filter=%5C.({})%24".format(
    f"{COUNTED} {EPOCH} {UPDATED}".replace(" ", "%7C").replace(".", "%5C.")
)
CLUSTERS = "/clusters?format=json"


@dataclass(frozen=True)
class Host:
    """An endpoint as Envoy has it.

    :param tier: its priority.
    :param zone: the name of its locality.
    :param flags: its health flags that are set.
    :param leaving: gone from the file, and kept because its check passes.
    :param waiting: whether Envoy tells of each host how many requests wait for a connection; else only of the whole cluster.
    :param given: requests that it was given.
    :param requests: that have ended.
    :param errors: of these, without an answer or with one of status 5xx.  Envoy takes an answer that breaks off for a success.
    """

    address: str
    hostname: str
    state: str
    weight: int
    tier: int
    zone: str
    in_flight: int
    waiting: bool
    flags: tuple[str, ...]
    leaving: bool
    given: int
    requests: int
    errors: int


@dataclass(frozen=True)
class Cluster:
    """A cluster as Envoy has it.

    :param service: the name that it asks for endpoints by: its `service_name`, else its own.
    :param hosts: by address; several where one takes the place of another.
    :param stats: those of `COUNTED`.
    """

    name: str
    service: str
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

    @property
    def by_zone(self) -> bool:
        """Whether it prefers hosts of Envoy's own zone."""
        return self.stats["lb_recalculate_zone_structures"] > 0

    @property
    def used(self) -> bool:
        """Whether it has ever opened a connection: until then checks have the interval of a cluster without traffic."""
        return self.stats["upstream_cx_total"] > 0

    def objection(self, entry: Entry, weighs: bool = True) -> str:
        """How this is not as the entry says; empty when it is.

        :param weighs: whether its policy goes by weights; one that does not may show others.
        """
        hosts = [host for host in self.hosts.get(entry.address, []) if not (host.leaving and not entry.kept)]
        if entry.kept:
            return f"still has {entry.name}" if hosts else ""
        if not hosts:
            return f"does not have {entry.name}"
        host = hosts[-1]
        if host.state != entry.state or (weighs and host.weight != entry.weight):
            return (
                f"has {entry.name} {host.state} with weight {host.weight}, not {entry.state} with weight {entry.weight}"
            )
        return ""


def clusters(told: Any, counted: dict[str, dict[str, Any]]) -> list[Cluster]:
    """The answer to `/clusters`, with the statistics of each.

    :raises ValueError: when it is not an answer of Envoy; also TypeError, KeyError and AttributeError.
    """
    return [_cluster(each, counted) for each in pick(told, "cluster_statuses", [])]


def entries(found: list[Cluster]) -> list[Entry]:
    """The hosts of clusters, as members are read from a file."""
    hosts = {address: those[-1] for cluster in found for address, those in cluster.hosts.items()}
    names = [host.hostname for host in hosts.values()]
    return [
        Entry(
            name=host.hostname if host.hostname and names.count(host.hostname) == 1 else host.address,
            address=host.address,
            state=host.state,
            weight=host.weight,
            checked=True,
            kept=False,
            tier=host.tier,
            zone=host.zone,
            weighed=False,
        )
        for host in hosts.values()
    ]


def counted(told: Any) -> dict[str, dict[str, Any]]:
    """The answer to `/stats`: by cluster and name; those of the process itself under an empty name."""
    found: dict[str, dict[str, Any]] = {}
    try:
        for stat in pick(told, "stats", []):
            name = str(pick(stat, "name", ""))
            if name in OWN:
                found.setdefault("", {})[OWN[name]] = int(pick(stat, "value", 0))
            for counter in COUNTED.split():
                if name.startswith("cluster.") and name.endswith(f".{counter}"):
                    value = pick(stat, "value", 0)
                    label = name[len("cluster.") : -len(counter) - 1]
                    found.setdefault(label, {})[counter] = str(value or "") if counter == "version_text" else int(value)
    except (ValueError, TypeError):
        return {}
    return found


def _cluster(told: Any, stats_of: dict[str, dict[str, Any]]) -> Cluster:
    name = str(pick(told, "name"))
    # Of the names that stand in statistics these characters are replaced.
    label = re.sub(r"://|:/|:", "_", str(pick(told, "observability_name", name)))
    stats = {
        "version_text": "",
        "update_rejected": 0,
        "update_failure": 0,
        "lb_healthy_panic": 0,
        "upstream_cx_total": 0,
        "lb_recalculate_zone_structures": 0,
        **stats_of.get(label, {}),
    }
    hosts: dict[str, list[Host]] = {}
    for each in pick(told, "host_statuses", []):
        host = _host(each, stats)
        hosts.setdefault(host.address, []).append(host)
    return Cluster(name, str(pick(told, "eds_service_name", name)), hosts, stats)


def _host(told: Any, stats: dict[str, Any]) -> Host:
    gauges = {pick(stat, "name"): int(pick(stat, "value", 0)) for stat in pick(told, "stats", [])}
    health = pick(told, "health_status", {})
    flags = tuple(name for name, value in health.items() if value is True)
    # Envoys before 1.39 tell for the whole cluster alone how many requests wait for a connection.
    waiting = gauges.get("rq_pending_active", stats.get("upstream_rq_pending_active", 0))
    return Host(
        address=place(pick(told, "address")),
        hostname=str(pick(told, "hostname", "")),
        state=STATES.get(status(pick(health, "eds_health_status", "UNKNOWN")), ENABLED),
        weight=int(pick(told, "weight", 1)),
        tier=int(pick(told, "priority", 0)),
        zone=zone(pick(told, "locality", {})),
        in_flight=gauges["rq_active"] + waiting,
        waiting="rq_pending_active" in gauges,
        flags=flags,
        leaving="pending_dynamic_removal" in flags,
        given=gauges.get("rq_total", 0),
        requests=gauges.get("rq_success", 0) + gauges.get("rq_error", 0),
        errors=gauges.get("rq_error", 0),
    )
