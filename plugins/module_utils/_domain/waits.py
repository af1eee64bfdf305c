# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a single task of a rollout may wait, and whether Ansible's own time limit for tasks leaves it the time.  Pure."""

from __future__ import annotations

from typing import Any, Mapping

from .durations import seconds
from .errors import InvalidInput

# What a task waits for, one variable after the other; each list is one task.
TASKS = {
    "": [
        ["traffic_drain_timeout", "traffic_drain_wait"],
        ["rollout_health_deadline"],
        ["rollback_soak", "rollout_health_timeout"],
    ],
    "rolling": [["rolling_soak", "rollout_health_timeout"]],
    "canary": [["rolling_soak", "rollout_health_timeout"]],
    "blue_green": [["blue_green_bake", "blue_green_warm", "rollout_health_timeout"]],
    "rollback": [],
}
MARGIN = 15.0  # seconds that a task needs beside its wait


def waits(values: Mapping[str, Any], strategy: str) -> dict[str, float]:
    """The seconds that a task may wait, by the variables that say so. A value that is no length of time is left to its own check.

    :param values: the variables of the roles.
    :param strategy: of the rollout, or ``rollback``; empty where nothing is moved.
    """
    if strategy not in TASKS or not strategy:
        return {}
    found = {}
    for names in [*TASKS[""], *TASKS[strategy]]:
        lengths = {name: _seconds(values.get(name)) for name in names}
        found[" + ".join(name for name, length in lengths.items() if length)] = sum(lengths.values())
    steps = values.get("traffic_warmup")
    warming = _seconds(values.get("traffic_warmup_step")) * (len(steps) if isinstance(steps, list) else 0)
    found["traffic_health_timeout" + " + traffic_warmup_step of each step" * bool(warming)] = (
        _seconds(values.get("traffic_health_timeout")) + warming
    )
    watched = values.get("canary_steps") if strategy == "canary" else []
    for step in watched if isinstance(watched, list) else []:
        if isinstance(step, Mapping):
            found["watch in canary_steps"] = max(_seconds(step.get("watch")), found.get("watch in canary_steps", 0.0))
    return found


def _seconds(value: Any) -> float:
    try:
        return seconds(0 if value is None else value, "")
    except InvalidInput:
        return 0.0


def cut_short(limit: int, waiting: Mapping[str, float]) -> list[str]:
    """Waits that Ansible would end in the middle, in a sentence.

    :param limit: Ansible's setting `task_timeout`, seconds; 0 for none.
    :param waiting: see :func:`waits`.
    """
    cut = {names: wait for names, wait in waiting.items() if limit and wait + MARGIN > limit}
    if not cut:
        return []
    named = ", ".join(f"{names} ({wait:g} s)" for names, wait in cut.items())
    return [
        f"Ansible ends every task after {limit} s (task_timeout in ansible.cfg, or ANSIBLE_TASK_TIMEOUT), and one of this rollout may wait "
        f"longer: {named}. Set task_timeout to {max(cut.values()) + MARGIN:g} or more, or to 0, or wait for less."
    ]
