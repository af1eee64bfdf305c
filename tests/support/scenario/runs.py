# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-playbook as a user starts them, with what they printed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from .fleet import until
from .places import CHECKOUT, LAB, RUNS

LONGEST = 1200.0  # seconds after which a playbook hangs
INVENTORIES = [str(LAB / "inventory.yml"), str(CHECKOUT / "molecule" / "shared" / "inventory")]


class Run:
    """One run; begins with its making."""

    def __init__(self, name: str, playbook: str, *words: str, **variables: Any) -> None:
        """Start `playbook` with extra `variables`; its output goes to a file named `name`."""
        RUNS.mkdir(parents=True, exist_ok=True)
        self.log = RUNS / f"{name}.log"
        line = ["ansible-playbook", playbook, *words, "-e", json.dumps(variables)]
        line += [word for inventory in INVENTORIES for word in ("-i", inventory)]
        self.seconds = 0.0  # known at its end
        self._began = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "NO_COLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            )  # fmt: skip

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        try:
            return self.process.wait(LONGEST)
        finally:
            self.seconds = round(time.monotonic() - self._began, 1)
            self.kill()

    def until_task(self, name: str, occurrence: int = 1) -> None:
        """Wait until a task of that name has begun for the nth time."""
        pattern = re.compile(rf"^TASK \[(?:[\w.]+ : )?{re.escape(name)}\]", re.MULTILINE)

        def begun() -> bool:
            assert self.process.poll() is None, (
                f"the run ended before task '{name}' had begun {occurrence} times:\n{self.output}"
            )
            return len(pattern.findall(self.output)) >= occurrence

        until(begun, f"task '{name}' in {self.log}")

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT to all of its processes."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def recap(self) -> dict[str, dict[str, int]]:
        """The counts by host of PLAY RECAP."""
        found = {}
        for line in self.output.partition("PLAY RECAP")[2].splitlines():
            host, colon, counts = line.partition(" : ")
            if colon:
                found[host.strip()] = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", counts)}
        return found

    def last_words(self) -> str:
        """The message of its last failed task."""
        said = re.findall(r"^fatal: .*?FAILED! => (\{.*\})$", self.output, re.MULTILINE)
        assert said, f"no task failed:\n{self.output[-3000:]}"
        return str(json.loads(said[-1])["msg"])


def told(directory: Path, name: str) -> list[list[dict[str, Any]]]:
    """What the runs of a playbook did, task by task, oldest run first; see molecule/shared/callback."""
    return [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(directory.glob(f"*-{name}.jsonl"))
    ]
