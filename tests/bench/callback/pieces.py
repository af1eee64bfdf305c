# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down what each task of a playbook took, into the file that BENCH_PIECES names."""

from __future__ import annotations

import json
import os
import resource
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: pieces
type: aggregate
short_description: How long each task took
description: A line of JSON for each task, play and start of a play, with its name, its seconds, and those of CPU.
"""


class CallbackModule(CallbackBase):
    """A piece lasts until the next one begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "pieces"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._path = os.environ.get("BENCH_PIECES")
        self._lines: list[dict[str, Any]] = []
        self._name, self._began = "start of Ansible", _process_started()
        self._used = 0.0  # seconds of CPU by then
        self._check = 0.0  # seconds within the piece in which balancers' own checks were waited for

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._next(f"play: {play.get_name()}")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        del is_conditional
        self._next(task.name)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._next(task.name)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        del stats
        self._next("")
        if self._path:
            with open(self._path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in self._lines)

    def v2_runner_on_ok(self, result: Any) -> None:
        balancers = (getattr(result, "result", None) or result._result).get("balancers") or []
        waits = [member.get("waited", {}) for balancer in balancers for member in balancer["members"]]
        self._check = max([wait["seconds"] for wait in waits if wait.get("for") == "fresh health"], default=0.0)

    def _next(self, name: str) -> None:
        now = time.time()
        used = _cpu()
        self._lines.append(
            {
                "piece": self._name,
                "seconds": round(now - self._began, 4),
                "cpu": round(used - self._used, 4),
                "check": self._check,
            }
        )
        self._name, self._began, self._used, self._check = name, now, used, 0.0


def _cpu() -> float:
    """Seconds of CPU of this process and of all that it waited for."""
    spent = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _process_started() -> float:
    """When this process began, in seconds since the epoch."""
    with open("/proc/self/stat", encoding="utf-8") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/uptime", encoding="utf-8") as file:
        uptime = float(file.read().split()[0])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
