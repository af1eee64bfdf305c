# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks' output as a story: one line a step, with the seconds since the start."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

TOLD = {
    "Take the lease of the service": "take the lease, so that nobody else deploys",
    "Make the plan": "look at the pool and at the versions, make the plan",
    "Take out of traffic and wait until nothing is in flight": "drain: out of traffic, nothing in flight",
    "Check the hosts from the controller": None,
    "Put the release in place": "deploy",
    "Bring back into traffic, once every balancer sees it healthy": "return: HAProxy sees it healthy, traffic again",
    "Watch the hosts under traffic": "soak under traffic",
    "Keep why the rollout halted": "HALT: the release is bad",
    "Forget what failed on the way forward": "undo what was touched, last batch first",
}


class Narrator:
    """Runs ansible-playbook and tells what it does."""

    def __init__(self, work: Path, environment: dict[str, str]) -> None:
        self.work, self.environment = work, environment

    def play(self, name: str, words: list[str], quiet: bool = False) -> tuple[int, float, list[tuple[float, str]]]:
        """Run a playbook; its whole output goes to a file.

        :return: exit code, seconds, and the tasks with the moments at which they began.
        """
        log = self.work / f"{name}.log"
        started = time.time()
        tasks: list[tuple[float, str]] = []
        with open(log, "w") as out:
            process = subprocess.Popen(
                ["ansible-playbook", *words],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    out.write(line)
                    self._tell(line, started, tasks, quiet)
            except BaseException:
                process.terminate()
                process.wait()
                raise
        return process.wait(), time.time() - started, tasks

    def _tell(self, line: str, started: float, tasks: list[tuple[float, str]], quiet: bool) -> None:
        now = time.time()
        task = re.match(r"TASK \[(?:[\w.]+ : )?(.*?)\] \*", line)
        if task:
            tasks.append((now, task.group(1)))
        told = None
        if task and task.group(1) in TOLD:
            told = TOLD[task.group(1)]
        if told and not quiet:
            print(f"  {now - started:6.1f} s  {told}", flush=True)
