# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold after a case: pure, from what was seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from load.report import cut_by

Pools = Mapping[str, Mapping[str, tuple[str, int]]]


@dataclass
class Window:
    """Failures that a fault forces: through that target, between two moments (seconds since the epoch)."""

    target: str
    began: float
    ended: float


@dataclass
class Seen:
    """What was seen in the end, past the collection."""

    versions: Mapping[str, str]
    current: Mapping[str, str]
    pools: Pools
    owner: Any
    outcome: str
    strangers: Mapping[int, str] = field(default_factory=dict)


def forced(samples: Iterable[dict[str, Any]], windows: Sequence[Window], deaths: Sequence[dict[str, Any]]) -> tuple[list[dict], list[dict]]:
    """Failed requests: those that the fault forced, and the others."""
    by_fault, others = [], []
    for sample in samples:
        if sample["outcome"] == "ok":
            continue
        held = any(
            sample["target"] == window.target and sample["end"] >= window.began and sample["start"] <= window.ended for window in windows
        )
        (by_fault if held or cut_by(sample, deaths) else others).append(sample)
    return by_fault, others


def expected_pools(before: Pools, strategy: str, done: bool) -> dict[str, dict[str, tuple[str, int]]]:
    """The pools after a rollout: as before, but that blue-green has changed sides when it is done."""
    pools = {name: dict(pool) for name, pool in before.items()}
    if strategy == "blue_green" and done:
        other = {"enabled": "disabled", "disabled": "enabled"}
        pools = {name: {host: (other[state], weight) for host, (state, weight) in pool.items()} for name, pool in pools.items()}
    return pools


# What a run may say in the end of hosts that it counts, and of the service as a whole.
COUNTED = re.compile(r"(\d+) hosts? (?:is|are) (?:on it, healthy and in traffic as before|back on (\S+), states and weights as before)")
UNTOUCHED = re.compile(r"No host had been touched: the service is as it was before\.|Nothing was (?:touched|contacted)\.$")


def untrue(said: str, seen: Seen, before: Pools, old: str, new: str) -> list[str]:
    """What a run has said in the end, and is not so, in words. A balancer that does not answer is left out.

    :param said: its last words.
    """
    found = []
    home = {host for host in seen.versions if all(pool.get(host) == before[name].get(host) for name, pool in seen.pools.items())}
    for count, version in COUNTED.findall(said):
        there = [host for host in sorted(home) if seen.versions[host] == (version or new)]
        if len(there) < int(count):
            found.append(f"it says {count} hosts are on {version or new} and as before, and they are {there}")
    if UNTOUCHED.search(said) and (home != {*seen.versions} or {*seen.versions.values()} - {"none"} != {old}):
        found.append(f"it says that nothing was touched, and there is {dict(seen.versions)} in {dict(seen.pools)}")
    return found


def violations(seen: Seen, before: Pools, strategy: str, version: str, done: bool) -> list[str]:
    """Whatever is not as it must be, in words.

    :param version: that of every host which is in traffic.
    :param done: the rollout has come to its end, as opposed to having been undone.
    """
    found = []
    expected = expected_pools(before, strategy, done)
    if {name: dict(pool) for name, pool in seen.pools.items()} != expected:
        found += [
            f"{name}/{host}: {seen.pools.get(name, {}).get(host)}, expected {about}"
            for name, pool in expected.items()
            for host, about in pool.items()
            if seen.pools.get(name, {}).get(host) != about
        ]
    serving = {host for pool in expected.values() for host, (state, _weight) in pool.items() if state == "enabled"}
    if strategy != "blue_green":
        serving = set(seen.versions)
    for what, versions in (("answers", seen.versions), ("current on disk", seen.current)):
        wrong = {host: versions[host] for host in sorted(serving) if versions[host] != version}
        if wrong:
            found.append(f"{what}: {wrong}, expected {version}")
    # A colour that turned out to be bad is left as it is, out of traffic, for whoever wants to know why.
    alive = serving if strategy == "blue_green" and not done else set(seen.versions)
    if any(seen.versions[host] == "none" for host in alive):
        found.append(f"a host does not answer: {dict(seen.versions)}")
    if seen.owner is not None:
        found.append(f"the lease is still held: {seen.owner}")
    if seen.outcome == "unfinished":
        found.append("the last rollout has no outcome")
    found += [f"left running: {pid} {line}" for pid, line in seen.strangers.items()]
    return found
