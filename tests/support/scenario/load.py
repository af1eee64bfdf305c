# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients on both balancers, from before a run to after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .fleet import addresses, lab, until
from .places import BALANCERS, OUT, SUPPORT

RATE = 200.0  # enough to notice anything, and little enough to leave the machine to what is tested
LONGEST = 600.0  # seconds after which the clients end by themselves, whatever becomes of us
RECORD = OUT / "load.pid"


class Load:
    """Clients that run beside us; see `start`, `stop` and `report`."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory / f"load-{name}"

    def start(self, at_least: int, rate: float = RATE) -> Load:
        """Start the clients, `rate` requests a second, and wait until the first are answered."""
        end_load()
        self.directory.mkdir(parents=True, exist_ok=True)
        for file in self.directory.iterdir():
            file.unlink()
        words = [word for name in BALANCERS for word in ("--url", f"http://{addresses()[name]}:8000")]
        words += ["--requests", "1000000", "--at-least", str(at_least)]
        words += ["--rate", str(rate), "--seconds", str(LONGEST), "--stop-file", str(self.directory / "stop")]
        words += ["--samples", str(self.directory / "samples"), "--summary", str(self.directory / "summary")]
        with open(self.directory / "log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "load", "run", *words],
                cwd=SUPPORT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        RECORD.write_text(str(process.pid))
        until(
            lambda: (self.directory / "samples").exists() and (self.directory / "samples").stat().st_size > 0,
            "the first requests",
            10,
        )
        return self

    def stop(self) -> dict[str, Any]:
        """Let the clients make their number and finish what is under way; return the report.

        Failures that the death of an application forced are ``cut_by_death``, all others ``failed``.
        """
        (self.directory / "stop").touch()
        until((self.directory / "summary").exists, f"the end of the clients, see {self.directory}/log", 60)
        RECORD.unlink(missing_ok=True)
        deaths = self.directory / "deaths"
        deaths.write_text(lab("deaths"))
        report = [
            sys.executable,
            "-m",
            "load",
            "report",
            "--samples",
            str(self.directory / "samples"),
            "--deaths",
            str(deaths),
        ]
        done = subprocess.run(
            report, cwd=SUPPORT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False
        )
        (self.directory / "report").write_text(done.stdout)
        return dict(json.loads(done.stdout))


def end_load() -> bool:
    """End clients that an interrupted run has left; whether there were any."""
    try:
        pid = int(RECORD.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    ours = b"load" in words and b"run" in words
    if ours:
        os.kill(pid, signal.SIGTERM)
        until(
            lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(),
            "the end of the clients",
        )
    RECORD.unlink(missing_ok=True)
    return ours
