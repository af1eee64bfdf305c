# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a balancer, held against what it can do, before anything is touched.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping

from .members import DRAINED

if TYPE_CHECKING:
    from .groups import Group


@dataclass(frozen=True)
class Asks:
    """What is to be done with members of a pool.

    :param state: that members leave to, if any leave.
    :param returns: whether members come back.
    :param weight: that is to be written, if any.
    :param writes: whether anything is to be changed at all.
    :param membership: whether members are to be added or removed.
    :param warmup: percents of a member's own weight.
    :param own_weights: of those that come back, by name.
    :param waits: whether those that leave are waited for until they are idle.
    :param groups: with all their members, whose shares of the traffic are to be as they say.
    :param tolerance: percent points by which these may be off.
    """

    state: str | None = None
    returns: bool = False
    weight: int | None = None
    membership: bool = False
    health: str = "none"
    drain_wait: float = 0.0
    on_drain_timeout: str = "fail"
    warmup: tuple[int, ...] = ()
    own_weights: Mapping[str, int] = field(default_factory=dict)
    writes: bool = False
    accept_errors: bool = False
    waits: bool = True
    groups: tuple[Group, ...] = ()
    tolerance: float = 0.0


def unmet(where: str, provider: str, can: Mapping[str, Any], asks: Asks, prefix: str = "") -> list[str]:
    """Sentences, one for each thing that is asked for and cannot be had, with the option that accepts it.

    :param where: the balancer, for the message.
    :param can: capabilities, as `pool_info` returns them.
    :param prefix: of the options' names where the user sets them: `traffic_` in the roles.
    """
    problems: list[str] = []
    who = f"{where}: provider {provider}"
    if asks.writes and not can.get("writes", True):
        return [
            f"{who} can only be read as its entry has it. Give the `file` that is written, or let the members leave by themselves, with "
            "`provider: health_endpoint` and this entry in `seen_by`."
        ]
    if asks.writes and not can["clean_writes"] and not asks.accept_errors:
        problems.append(
            f"{who} breaks some of its clients' connections at every change, whatever is changed. Let the members leave by themselves, "
            f"with `provider: health_endpoint`, or accept the errors with `{prefix}accept_errors: true`."
        )
    if asks.state == DRAINED and not can["sticky_drain"]:
        problems.append(
            f"{who} has no state between enabled and disabled, so members cannot be `drained`. Use `disabled`."
        )
    if asks.membership and not can["membership"]:
        problems.append(f"{who} cannot add or remove members. Do it in the balancer's configuration.")
    leaves = asks.state is not None and asks.waits
    if leaves and not can["in_flight"] and not asks.drain_wait:
        problems.append(
            f"{who} does not tell when a member has nothing in flight any more. Say within how many seconds every request has surely "
            f"ended, with `{prefix}drain_wait`: so long is waited, and what takes longer is cut."
        )
    if leaves and asks.on_drain_timeout == "cut" and not can["cut"]:
        problems.append(f"{who} cannot end requests that are under way. Use `{prefix}on_drain_timeout: fail`.")
    knows = can["fresh_health"] or (asks.health == "current" and can["health_readback"])
    if asks.returns and asks.health != "none" and not knows:
        shown = "whether its check, begun anew, passes" if can["health_readback"] else "whether a member is healthy"
        problems.append(
            f"{who} does not tell {shown}, so members would return on the word of the host's own check alone. "
            f"Accept that with `{prefix}health: none`."
        )
    if can["weight_range"] is None and (asks.warmup or asks.weight is not None):
        option = f"{prefix}warmup" if asks.warmup else "weight"
        problems.append(
            f"{who} has no weights, or none as it is configured, so `{option}` cannot be done. Leave it out."
        )
    elif asks.returns and asks.warmup:
        problems += _too_light(who, asks, can["weight_range"][0], prefix)
    if can["weight_range"] is None and asks.groups:
        from .share_limits import uneven  # by a split alone: it needs exact fractions, which take a while to load

        problems += uneven(who, asks.groups, asks.tolerance, prefix)
    return problems


def _too_light(who: str, asks: Asks, low: int, prefix: str) -> list[str]:
    """A step that comes out as the weight itself, or as that of the step before, is no step."""
    least = max(low, 1)
    for name, own in asks.own_weights.items():
        if 0 < own and own * asks.warmup[0] // 100 < least and own <= least:
            return [
                f"{who}: {name} has weight {own}, the smallest there is, so a warm-up ({prefix}warmup: {list(asks.warmup)}) would change "
                f"nothing. Give the members larger weights, for example 100, or leave `{prefix}warmup` out."
            ]
    return []
