# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are, and how programs are started from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
SUPPORT = CHECKOUT / "tests" / "support"
OUT = CHECKOUT / "build" / "bench"
LAB = CHECKOUT / "build" / "lab"
# What a user is told to have, and what both sides run with.
ANSIBLE_CFG = CHECKOUT / "examples" / "shop" / "ansible.cfg"
LONGEST = 900.0  # seconds for one playbook, far more than it takes


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds on the wall, seconds of the controller's CPU, MB of its largest process."""

    wall: float
    cpu: float
    memory: float
    pieces: list[dict[str, Any]]  # its tasks, in order, with their seconds


def lab(*words: str) -> str:
    """Run a command of the lab and return what it says."""
    line = [sys.executable, str(SUPPORT / "lab" / "lab.py"), *words]
    return subprocess.run(line, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


def playbook(name: str, *words: str, environment: dict[str, str] | None = None, **variables: Any) -> Cost:
    """Run a playbook and wait for its end; its output goes to a file named `name`.

    :raises SystemExit: it failed; the end of its output is shown.
    """
    log = OUT / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    line = [str(Path(sys.executable).parent / "ansible-playbook"), *words, "-e", json.dumps(variables)]
    settings = {
        "ANSIBLE_CONFIG": str(ANSIBLE_CFG),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "BENCH_PIECES": str(log.with_suffix(".pieces")),
        **(environment or {}),
    }
    started = time.monotonic()
    with open(log, "wb") as out:
        process = subprocess.Popen(
            line, cwd=HERE, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **settings}
        )
        try:
            # Not `wait`: this returns what the process and all that it waited for have used.
            _pid, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
    wall = time.monotonic() - started
    if status:
        sys.exit(f"{name} failed, see {log}. Its last lines:\n" + "\n".join(log.read_text().splitlines()[-25:]))
    pieces = [json.loads(line) for line in log.with_suffix(".pieces").read_text().splitlines()]
    return Cost(round(wall, 3), round(used.ru_utime + used.ru_stime, 3), round(used.ru_maxrss / 1024, 1), pieces)
