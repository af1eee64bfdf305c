# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks' output as a story: one line a step, with the seconds since the start."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

TOLD = {
    "Take the lease of the service": "take the lease, so that nobody else deploys",
    "Make the plan": "look at the pool and at the versions, make the plan",
    "Take out of traffic and wait until nothing is in flight": "drain: out of traffic, wait until nothing is in flight",
    "Put the release in place, activate it and restart the service": "deploy to {hosts}",
    "Check the hosts from the controller": "check health and version",
    "Bring back into traffic, once every balancer sees it healthy": "return: once the balancer sees it healthy",
    "Keep why the rollout halted": "HALT: the release is bad",
    "Forget what failed on the way forward": "undo {hosts}",
}
SOAK = "Bring back into traffic, once every balancer sees it healthy"  # the check that follows it is the soak


@dataclass
class Step:
    """One task of the playbook: its name, when it began, and the hosts that it changed or ran on."""

    name: str
    began: float
    hosts: list[str] = field(default_factory=list)


class Narrator:
    """Runs ansible-playbook and tells what it does."""

    def __init__(self, work: Path, environment: dict[str, str]) -> None:
        self.work, self.environment = work, environment

    def play(self, name: str, words: list[str], quiet: bool = False) -> tuple[int, float, list[Step]]:
        """Run a playbook; its whole output goes to a file.

        :return: exit code, seconds, and the tasks in order.
        """
        started = time.time()
        steps: list[Step] = []
        with open(self.work / f"{name}.log", "w") as out:
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
                    task = re.match(r"TASK \[(?:[\w.]+ : )?(.*?)\] \*|PLAY ", line)
                    host = re.match(r"(?:ok|changed): \[(\S+?)[\] ]", line)
                    if task:
                        self._tell(steps, started, quiet)
                        steps.append(Step(task.group(1) or "", time.time()))
                    elif host and steps:
                        steps[-1].hosts.append(host.group(1))
            except BaseException:
                process.terminate()
                process.wait()
                raise
        return process.wait(), time.time() - started, steps

    @staticmethod
    def _tell(steps: list[Step], started: float, quiet: bool) -> None:
        """Tell the step that has just ended: by then it is known whom it was about."""
        if quiet or not steps or not steps[-1].hosts or steps[-1].name not in TOLD:
            return
        step = steps[-1]
        told = TOLD[step.name].format(hosts=", ".join(dict.fromkeys(step.hosts)))
        if step.name.startswith("Check the hosts") and SOAK in [earlier.name for earlier in steps[-4:-1]]:
            told = "soak: still healthy under traffic"
        print(f"  {time.time() - started:6.1f} s  {told}", flush=True)
