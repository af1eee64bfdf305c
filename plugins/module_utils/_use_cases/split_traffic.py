# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give groups of members their shares of a pool's traffic, on one balancer or on several as one operation."""

from __future__ import annotations

from typing import Any, Callable

from .._balancers.registry import BALANCER_OPTIONS, POOL_OPTION, by_pool, open_balancer
from .._clock import Clock
from .._domain import guard
from .._domain.errors import DeployError, InvalidInput
from .._domain.groups import groups_in
from .._domain.members import DISABLED, DRAINED, Member, kept_state
from .fence import LEASE_OPTION
from .place import keepers
from .splitting import Splitting
from .together import all_or_none, side_by_side

ARGUMENT_SPEC: dict[str, Any] = {
    "balancers": {"type": "list", "elements": "dict", "required": True, "options": BALANCER_OPTIONS},
    "pool": POOL_OPTION,
    "groups": {"type": "dict"},
    "before": {"type": "dict"},
    "leave": {"type": "str", "default": DISABLED, "choices": [DISABLED, DRAINED]},
    "tolerance": {"type": "float", "default": 0.5},
    "prepare": {"type": "bool", "default": False},
    "prepared": {"type": "bool", "default": False},  # of concern to the controller's door alone
    "min_available": {"type": "str", "default": "1"},
    "wait": {"type": "bool", "default": False},
    "drain_timeout": {"type": "float", "default": 60.0},
    "on_drain_timeout": {"type": "str", "default": "fail", "choices": ["fail", "cut"]},
    "drain_wait": {"type": "float", "default": 0.0},
    "hold": {"type": "float", "default": 0.0},
    "health": {"type": "str", "default": "fresh", "choices": ["fresh", "current", "none"]},
    "health_timeout": {"type": "float", "default": 60.0},
    "accept_errors": {"type": "bool", "default": False},
    "on_failure": {"type": "str", "default": "fail", "choices": ["fail", "report"]},
    **LEASE_OPTION,
}
CONSTRAINTS: dict[str, Any] = {
    "required_one_of": [("groups", "before")],
    "mutually_exclusive": [("groups", "before")],
}


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Split the traffic on every balancer, or leave every balancer as it was."""
    try:
        return split_all(params, check_mode, clock)
    except DeployError as error:
        if params["on_failure"] == "fail":
            raise
        return problem(error)


def problem(error: DeployError) -> dict[str, Any]:
    """The result of a task that reports a failure instead of failing."""
    return {"changed": False, "seconds": 0.0, "before": {}, **error.facts, "balancers": [], "problem": error.message}


def split_all(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """See :func:`run`.

    No balancer switches before all are ready, so that they switch at the same moment.

    :raises DeployError: whatever `on_failure` says.
    """
    check_options(params)
    entries = by_pool(params["balancers"], params["pool"])
    names = [entry["name"] for entry in entries]
    places = [Splitting(open_balancer(entry), entry, params, clock) for entry in entries]

    def everywhere(step: Callable[[Splitting], None]) -> None:
        all_or_none(names, side_by_side(places, step), lambda index: places[index].put_back())

    with keepers(places):
        everywhere(lambda place: place.make_ready(check_mode))
        if not check_mode:
            decided = clock.monotonic()
            if not params["prepare"]:
                everywhere(lambda place: place.switch(decided))
            everywhere(lambda place: place.finish())
    return summed([place.result(check_mode) for place in places])


def check_options(params: dict[str, Any]) -> None:
    """Find what is wrong with the options before any balancer is asked.

    :raises InvalidInput: naming the option.
    """
    if params["groups"] is not None:
        groups_in(params["groups"])
    if params["prepare"] and params["prepared"]:
        raise InvalidInput("`prepare` makes ready and `prepared` switches: a task is one of them. Nothing was touched.")
    for option in ("drain_timeout", "drain_wait", "hold", "health_timeout"):
        if params[option] < 0:
            raise InvalidInput(f"`{option}` is {params[option]:g} s; it cannot be negative. Nothing was touched.")
    if not 0 <= params["tolerance"] <= 100:
        raise InvalidInput(
            f"`tolerance` is {params['tolerance']:g}; it is percent points from 0 to 100. Nothing was touched."
        )
    guard.minimum(params["min_available"], 1)


def summed(balancers: list[dict[str, Any]]) -> dict[str, Any]:
    """The task's result from the results of its balancers."""
    lines: dict[str, list[str]] = {"before": [], "after": []}
    for balancer in balancers:
        for member in balancer["members"]:
            group = f" ({member['group']})" if member["group"] else ""
            for side, text in lines.items():
                told = Member(**member[side]).describe()
                text.append(f"{balancer['name']} {balancer['pool']}/{member['name']}{group}: {told}")
    result = {
        "changed": any(balancer["changed"] for balancer in balancers),
        "balancers": balancers,
        "before": states_before(balancers),
        "seconds": max(balancer["seconds"] for balancer in balancers),
        "problem": "",
        "diff": {side: "\n".join(text) + "\n" for side, text in lines.items()},
    }
    warnings = [sentence for balancer in balancers for sentence in balancer["warnings"]]
    return {**result, "warnings": warnings} if warnings else result


def states_before(balancers: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the option `before` takes to bring it all back."""
    return {
        balancer["name"]: {
            member["name"]: kept_state(member["before"])
            for member in balancer["members"]
        }
        for balancer in balancers
    }
