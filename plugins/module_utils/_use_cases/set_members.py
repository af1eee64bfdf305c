# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring members of a pool into a state and to a weight, on one balancer or on several as one operation."""

from __future__ import annotations

from typing import Any

from .._balancers.registry import BALANCER_OPTIONS, POOL_OPTION, by_pool, open_balancer
from .._clock import Clock
from .._domain import guard
from .._domain.errors import DeployError, InvalidInput
from .._domain.members import ABSENT, STATES, Member
from .._domain.wishes import AS_BEFORE
from .bringing import Bringing
from .fence import LEASE_OPTION
from .place import keepers
from .together import all_or_none, side_by_side

ARGUMENT_SPEC: dict[str, Any] = {
    "balancers": {"type": "list", "elements": "dict", "required": True, "options": BALANCER_OPTIONS},
    "pool": POOL_OPTION,
    "members": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": [*STATES, ABSENT, AS_BEFORE]},
    "addresses": {"type": "dict", "default": {}},
    "weight": {"type": "int"},
    "before": {"type": "dict"},
    "min_available": {"type": "str", "default": "1"},
    "drain_timeout": {"type": "float", "default": 60.0},
    "on_drain_timeout": {"type": "str", "default": "fail", "choices": ["fail", "cut"]},
    "drain_wait": {"type": "float", "default": 0.0},
    "hold": {"type": "float", "default": 0.0},
    "health": {"type": "str", "default": "fresh", "choices": ["fresh", "none"]},
    "health_timeout": {"type": "float", "default": 60.0},
    "accept_errors": {"type": "bool", "default": False},
    "on_failure": {"type": "str", "default": "fail", "choices": ["fail", "report"]},
    "warmup": {"type": "list", "elements": "int", "default": []},
    "warmup_step": {"type": "float", "default": 5.0},
    **LEASE_OPTION,
}
CONSTRAINTS: dict[str, Any] = {
    "required_one_of": [("state", "weight")],
    "required_if": [("state", AS_BEFORE, ("before",))],
}


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Bring the members there on every balancer, or leave every balancer as it was."""
    try:
        return bring_all(params, check_mode, clock)
    except DeployError as error:
        if params["on_failure"] == "fail":
            raise
        return problem(error)


def problem(error: DeployError) -> dict[str, Any]:
    """The result of a task that reports a failure instead of failing."""
    return {"changed": False, **error.facts, "balancers": [], "problem": error.message}


def bring_all(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """See :func:`run`.

    :raises DeployError: whatever `on_failure` says.
    """
    check_options(params)
    entries = by_pool(params["balancers"], params["pool"])
    names = [entry["name"] for entry in entries]
    places = [Bringing(open_balancer(entry), entry, params, clock) for entry in entries]
    outcomes = side_by_side(places, lambda place: place.bring(check_mode))
    with keepers(places):
        return summed(all_or_none(names, outcomes, lambda index: places[index].put_back()))


def check_options(params: dict[str, Any]) -> None:
    """Find what is wrong with the options before any balancer is asked.

    :raises InvalidInput: naming the option.
    """
    if not params["members"]:
        raise InvalidInput("`members` is empty: name at least one. Nothing was touched.")
    for option in ("drain_timeout", "drain_wait", "hold", "health_timeout", "warmup_step"):
        if params[option] < 0:
            raise InvalidInput(f"`{option}` is {params[option]:g} s; it cannot be negative. Nothing was touched.")
    steps = params["warmup"]
    if steps != sorted(steps) or any(not 1 <= step <= 100 for step in steps):
        raise InvalidInput(f"`warmup` is a rising list of percents from 1 to 100, not {steps}. Nothing was touched.")
    strangers = sorted({*params["addresses"]}.difference(params["members"]))
    if strangers:
        raise InvalidInput(f"`addresses` names {', '.join(strangers)}, which `members` does not. Nothing was touched.")
    guard.minimum(params["min_available"], 1)


def summed(balancers: list[dict[str, Any]]) -> dict[str, Any]:
    """The task's result from the results of its balancers."""
    lines: dict[str, list[str]] = {"before": [], "after": []}
    for balancer in balancers:
        for member in balancer["members"]:
            for side, text in lines.items():
                text.append(
                    f"{balancer['name']} {balancer['pool']}/{member['name']}: {Member(**member[side]).describe()}"
                )
    return {
        "changed": any(balancer["changed"] for balancer in balancers),
        "balancers": balancers,
        "problem": "",
        "diff": {side: "\n".join(text) + "\n" for side, text in lines.items()},
    }
