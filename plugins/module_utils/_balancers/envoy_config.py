# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of Envoy's clusters, as `/config_dump` shows it: sources of endpoints, balancing, health checks.  Pure.
https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/cluster.proto
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._domain.pools import Timing
from .eds_file import find_key, pick, seconds

FIELDS = "name type lb_policy load_balancing_policy common_lb_config eds_cluster_config health_checks"
MASK = "%2C".join(f"cluster.{field}" for field in FIELDS.split())
#: where clusters are: those of the bootstrap, and those of a control plane or of a file of clusters
DUMPS = tuple(
    f"/config_dump?resource={resource}&mask={MASK}" for resource in ("static_clusters", "dynamic_active_clusters")
)
EDS = "EDS"
MERGE = "1s"  # the default of `update_merge_window`
#: policies that take hosts by chance, or by the load that these report
WITHOUT_WEIGHTS = frozenset(("RANDOM", "Random", "ClientSideWeightedRoundRobin"))


@dataclass(frozen=True)
class ClusterConfig:
    """One cluster as it is configured.

    :param kind: its type, such as ``EDS``; empty for an extension.
    :param source: where its endpoints come from: ``file``, or the name of the field that says otherwise, such as ``ads``.
    :param path: of the file that it reads.
    :param watched: the directory that it watches instead of the file; empty for none.
    :param by_locality: whether each locality gets a part of the traffic by a weight of its own.
    :param weighs: whether hosts get requests by their weights.
    :param merge: seconds after which at most its workers know what a check has found.
    :param checks: its health checks.
    """

    name: str
    kind: str
    source: str
    path: str
    watched: str
    by_locality: bool
    weighs: bool
    merge: float
    checks: tuple[dict[str, Any], ...]

    def timing(self, used: bool) -> Timing:
        """How long a check takes to bring a host up.

        :param used: whether the cluster has had traffic.
        """
        if not self.checks:
            return Timing()
        longest, said = 0.0, ""
        for check in self.checks:
            name, every = _interval(check, used)
            passes = max(1, int(pick(check, "healthy_threshold", 1)))
            jitter = sum(seconds(pick(check, f"{kind}_jitter", "0s")) for kind in ("initial", "interval"))
            timeout = seconds(pick(check, "timeout", "0s"))
            at_most = every * passes + jitter + timeout
            if at_most > longest:
                longest = at_most
                said = f"{name} {every:g}s, healthy_threshold {passes}, timeout {timeout:g}s of cluster {self.name}"
        return Timing(check=longest, source=said)


def configs(told: Any) -> dict[str, ClusterConfig]:
    """The clusters of one answer to `/config_dump`, by name.

    :raises ValueError: when it is not an answer of Envoy; also TypeError and AttributeError.
    """
    found = [
        _config(pick(pick(each, "cluster", {}), "cluster", pick(each, "cluster", {})))
        for each in pick(told, "configs", [])
    ]
    return {each.name: each for each in found}


def _config(told: Any) -> ClusterConfig:
    balancing = [pick(told, name, {}) for name in ("common_lb_config", "load_balancing_policy")]
    source = pick(pick(told, "eds_cluster_config", {}), "eds_config", {})
    file = pick(source, "path_config_source", {"path": pick(source, "path", "")})
    path = str(pick(file, "path", ""))
    policies = _policies(balancing[1]) or [str(pick(told, "lb_policy", ""))]
    return ClusterConfig(
        name=str(pick(told, "name", "")),
        kind=str(pick(told, "type", "" if pick(told, "cluster_type") else "STATIC")),
        source="file"
        if path
        else next((name for name in sorted(source) if "source" in name or name == "ads"), "another"),
        path=path,
        watched=str(pick(pick(file, "watched_directory", {}), "path", "")),
        by_locality=any(find_key(each, "locality_weighted_lb_config") for each in balancing)
        or "WrrLocality" in policies,
        weighs=not WITHOUT_WEIGHTS.intersection(policies),
        merge=seconds(pick(balancing[0], "update_merge_window", MERGE)),
        checks=tuple(pick(told, "health_checks", [])),
    )


def _policies(told: Any) -> list[str]:
    """The message types of the load balancing policy that is used, and of those that it is made of."""
    if isinstance(told, dict):
        # Of several, Envoy takes the first that it knows.
        inner = told["policies"][:1] if isinstance(told.get("policies"), list) else list(told.values())
        types = [str(told["@type"]).rpartition(".")[2]] if "@type" in told else []
        return types + [name for value in inner for name in _policies(value)]
    return []


def _interval(check: Any, used: bool) -> tuple[str, float]:
    """The longest interval between two checks of a host that is not healthy yet."""
    every = seconds(pick(check, "interval", "0s"))
    names = {"interval": every, "unhealthy_interval": seconds(pick(check, "unhealthy_interval", "0s"))}
    if not used:
        names["no_traffic_interval"] = seconds(pick(check, "no_traffic_interval", "60s"))
    name = max(names, key=lambda each: names[each])
    return name, names[name]
