# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches: how many hosts at a time, and in which order.  Pure."""

from __future__ import annotations

import re
from typing import Any, Iterable

from .errors import InvalidInput


def as_list(value: Any) -> list[Any]:
    """A list, also where the command line or a survey made text of it: ``1,25%`` or ``[1, "25%"]``."""
    if isinstance(value, str):
        parts = [part.strip(" '\"") for part in value.strip(" []").split(",")]
        return [part for part in parts if part]
    return list(value) if isinstance(value, Iterable) else [value]


def batch_sizes(asked: Any, total: int) -> list[int]:
    """The sizes of the batches that `total` hosts make.

    :param asked: counts (``2``) and shares (``"25%"``, rounded down, at least one host) as ``serial`` takes them; the
        last one repeats.
    :raises InvalidInput: for anything else.
    """
    steps = [_size(step, total) for step in as_list(asked)]
    if not steps:
        raise InvalidInput("rolling_batches is empty: name at least one size, such as [1, '25%'].")
    sizes: list[int] = []
    left = total
    while left > 0:
        size = min(left, steps[min(len(sizes), len(steps) - 1)])
        sizes.append(size)
        left -= size
    return sizes


def _size(step: Any, total: int) -> int:
    match = re.fullmatch(r"\s*(\d+)\s*(%?)\s*", str(step))
    number = int(match.group(1)) if match else 0
    if not match or number == 0 or (match.group(2) and number > 100):
        raise InvalidInput(f"rolling_batches holds counts such as 2 and shares such as '25%', not {step!r}.")
    return max(1, total * number // 100) if match.group(2) else number


def in_order(hosts: list[str], first: list[str], domains: dict[str, str]) -> list[str]:
    """The hosts in the order in which they are deployed.

    The ones to go first come first.  The others are spread: neighbours come from different failure domains as far as
    they can, each domain in proportion to its size, so that no batch empties one while another is untouched.

    :param domains: failure domain (rack, zone) by host; hosts without one share one.
    """
    known = {*hosts}
    leading = [host for host in dict.fromkeys(first) if host in known]
    rest = known.difference(leading)
    by_domain: dict[str, list[str]] = {}
    for host in hosts:
        if host in rest:
            by_domain.setdefault(domains.get(host) or "", []).append(host)
    # A host's place is where it stands in its own domain, as a share of that domain; ties keep the inventory's order.
    places = [
        ((index + 0.5) / len(members), rank, host)
        for rank, members in enumerate(by_domain.values())
        for index, host in enumerate(members)
    ]
    return leading + [host for _share, _rank, host in sorted(places, key=lambda place: place[:2])]


def grouped(hosts: list[str], sizes: list[int]) -> list[list[str]]:
    """`hosts` cut into batches of `sizes`."""
    groups, start = [], 0
    for size in sizes:
        groups.append(hosts[start : start + size])
        start += size
    return groups


def of_whole_groups(groups: list[list[str]], hosts: list[str]) -> list[str]:
    """Those of the hosts whose group is among them as a whole, in the order of the groups."""
    return [host for group in groups if {*group} <= {*hosts} for host in group]
