# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether balancers can give the shares that a strategy will ask for, said before anything is touched.  Pure."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .errors import DeployError
from .guard import after
from .members import ENABLED, Member
from .needs import Asks, unmet
from .splits import split_into
from .tiers import deliverable_groups


def split_problems(
    balancers: Sequence[Mapping[str, Any]],
    steps: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    prefix: str = "",
) -> list[str]:
    """Sentences, one for each thing that `traffic_split` would refuse; none when all steps can be had on all balancers.

    :param balancers: as `pool_info` returned them.
    :param steps: what `groups` will be, one after the other.
    :param options: `leave`, `health`, `tolerance`, `accept_errors`, and with `wait` also `drain_wait` and `on_drain_timeout`, as they will
        be; what is not there is as the module has it.
    :param prefix: of the options' names where the user sets them.
    """
    problems: list[str] = []
    for balancer in balancers:
        where = f"Balancer {balancer['name']}, pool {balancer['pool']}"
        can = balancer["capabilities"]
        weight_range = tuple(can["weight_range"]) if can["weight_range"] else None
        members = [
            Member(**{key: member[key] for key in member if key != "counters"}) for member in balancer["members"]
        ]
        for step in steps:
            try:
                groups = deliverable_groups(step, members, where)
            except DeployError as error:
                problems.append(error.message.replace(" Nothing was touched.", ""))
                continue
            split = split_into(groups, members, options.get("leave", "disabled"), weight_range)
            out = [change.state for change in split.wanted if change.state != ENABLED]
            asks = Asks(
                state=options.get("leave", "disabled") if out else None,
                returns=any(change.state == ENABLED for change in split.wanted),
                health=options.get("health", "fresh"),
                waits=bool(options.get("wait")),
                drain_wait=float(options.get("drain_wait", 0)),
                on_drain_timeout=options.get("on_drain_timeout", "fail"),
                writes=True,
                accept_errors=bool(options.get("accept_errors")),
                groups=tuple(groups),
                tolerance=float(options.get("tolerance", 0.5)),
            )
            problems += unmet(where, balancer["provider"], can, asks, prefix)
            # Later steps find in traffic whom this one brings there.
            members = after(members, split.wanted)
    return list(dict.fromkeys(problems))
