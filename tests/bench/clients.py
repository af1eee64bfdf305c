# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients on the balancers from before a run to after it; every request is counted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from places import LONGEST, OUT, SUPPORT

RATE = 200  # requests a second, those of the kind `slow` aside
KINDS = "keepalive=6,connect=4,post=4,sticky=6,slow=12"
SLOW = (
    0.2  # seconds that an answer of the kind `slow` takes; with twelve such clients most members are busy at any moment
)


class Clients:
    """Between `with` and its end; `seen` is what they saw, afterwards."""

    def __init__(self, urls: list[str]) -> None:
        self.seen: dict[str, Any] = {}
        self._urls = urls
        self._stop, self._summary, self._samples = (OUT / name for name in ("stop", "summary.json", "samples"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Clients:
        OUT.mkdir(parents=True, exist_ok=True)
        for path in (self._stop, self._summary, self._samples):
            path.unlink(missing_ok=True)
        words = [word for url in self._urls for word in ("--url", url)]
        words += ["--requests", "1000000", "--rate", str(RATE), "--seconds", str(LONGEST), "--clients", KINDS]
        words += [
            "--slow-seconds",
            str(SLOW),
            "--stop-file",
            str(self._stop),
            "--summary",
            str(self._summary),
            "--samples",
            str(self._samples),
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "load", "run", *words],
            cwd=SUPPORT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until(lambda: self._samples.exists() and self._samples.stat().st_size > 0, "the first request")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._stop.touch()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.seen = json.loads(Path(self._summary).read_text()) if self._summary.exists() else {}


def until(condition: Any, what: str, seconds: float = 60.0) -> None:
    """Wait for a condition.

    :raises SystemExit: not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
