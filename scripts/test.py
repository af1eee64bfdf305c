# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""test.py [STAGE...]: run the stages of the tests and tell how they went.

One stage named: its output is shown as it comes. Otherwise two run side by side where they may, each one's output is
shown in one piece when it ends, and a summary follows. The last line counts tests: `N passed, N failed`.
The exit code is 0 only when no stage failed. A stage is a program in scripts/stages; it ends with 77 when it cannot run
here, and writes its counts (passed, failed, skipped) to the file $TALLY.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
STAGES = ROOT / "scripts" / "stages"
RESULTS = ROOT / "build" / "test"
SIDE_BY_SIDE = 2
SKIPPED = 77
PATIENCE = 3 if os.environ.get("ZD_TESTS") == "all" else 1  # `make test-all` does more in the same stages


@dataclass
class Stage:
    """One stage, and what became of it."""

    name: str
    what: str
    minutes: int  # after that it hangs
    needs: tuple[str, ...] = ()  # those must have succeeded
    after: tuple[str, ...] = ()  # those must have ended
    alone: bool = False  # it fills the machine
    state: str = ""
    seconds: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])
    process: subprocess.Popen | None = None
    started: float = 0.0
    lock: IO[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the stage printed."""
        return RESULTS / f"{self.name}.log"

    @property
    def tally(self) -> Path:
        """What the stage counted."""
        return RESULTS / f"{self.name}.tally"


def table() -> list[Stage]:
    """The stages in the order in which they start and are told."""
    return [
        Stage("deps", "what the machine itself must have", 15),
        Stage("venv", "environments of ansible-core 2.16 and 2.19", 15, after=("deps",)),
        Stage("trixie", "Debian 13 with ansible-core 2.21 and HAProxy 3.0", 15, after=("deps", "venv")),
        Stage("lab", "the Debian on which the lab's hosts stand", 15, after=("deps", "venv")),
        Stage("build", "the collection as it is published", 5, needs=("venv",)),
        # Half of its time it waits for its hosts, so that the short ones have room beside it.
        Stage("molecule", "the scenarios, on real hosts", 60, needs=("build",), after=("trixie", "lab")),
        Stage("sanity", "ansible-test sanity", 20, needs=("venv",)),
        Stage("lint", "ansible-lint, yamllint, ruff, shellcheck", 10, needs=("venv",)),
        Stage("docs", "documentation and changelog", 5, needs=("venv",)),
        Stage("unit", "unit tests", 30, needs=("venv",)),
        Stage("integration", "against real balancers", 90, needs=("venv",), after=("trixie",), alone=True),
    ]


def take(stage: Stage) -> bool:
    """Whether no other run in this checkout is at the same stage: they would share its files in build/."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    told_before = stage.lock is not None
    stage.lock = stage.lock or (RESULTS / f"{stage.name}.lock").open("wb")
    try:
        fcntl.flock(stage.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not told_before:
            print(f"{stage.name}: another run is at it, waiting for its end", flush=True)
        return False
    return True


def start(stage: Stage, shown: bool) -> None:
    """Start `stage` in a process group of its own."""
    stage.tally.unlink(missing_ok=True)
    print(f"==> {stage.name}: {stage.what}", flush=True)
    environment = {**os.environ, "TALLY": str(stage.tally)}
    with stage.log.open("wb") as log:
        output = None if shown else log
        stage.process = subprocess.Popen(
            [STAGES / stage.name],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,
        )
    stage.started = time.monotonic()
    stage.state = "running"


def settle(stage: Stage, code: int, shown: bool) -> None:
    """Note how `stage` ended, and show what it said."""
    stage.seconds = time.monotonic() - stage.started
    if stage.tally.exists():
        for line in stage.tally.read_text(encoding="utf-8").splitlines():
            stage.counts = [old + int(new) for old, new in zip(stage.counts, line.split())]
    if code == SKIPPED:
        stage.state = "skipped"
        stage.counts[2] += 1
    elif code or stage.counts[1]:
        stage.state = "FAILED"
        # A stage that broke before it could count has failed all the same.
        stage.counts[1] = max(1, stage.counts[1])
    else:
        stage.state = "ok"
    if not shown:
        sys.stdout.write(stage.log.read_text(encoding="utf-8", errors="replace"))
    print(f"<== {stage.name}: {stage.state} in {stage.seconds:.0f} s ({told(stage.counts)})\n", flush=True)


def end(stage: Stage, grace: float = 60.0) -> None:
    """End a running stage with everything it started: it may have hosts to stop, so it is asked first."""
    assert stage.process is not None
    # Interrupted, pytest still tells what has failed so far.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(stage.process.pid, number)
        except ProcessLookupError:
            return
        try:
            stage.process.wait(grace)
        except subprocess.TimeoutExpired:
            print(f"{stage.name} does not end, killing it", flush=True)


def told(counts: list[int]) -> str:
    """Counts in the words of the last line."""
    passed, failed, skipped = counts
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def ready(stage: Stage, stages: dict[str, Stage], running: list[Stage]) -> bool:
    """Whether `stage` may start beside what runs; one whose needs failed is given up."""
    if any(stages[name].state in ("", "running") for name in stage.needs + stage.after if name in stages):
        return False
    broken = [name for name in stage.needs if name in stages and stages[name].state != "ok"]
    if broken:
        stage.state = "not run"
        stage.counts[2] += 1
        print(f"<== {stage.name}: not run, because {', '.join(broken)} did not succeed\n", flush=True)
        return False
    if stage.alone and running:
        return False
    return len(running) < SIDE_BY_SIDE and not any(other.alone for other in running)


def run(chosen: list[Stage]) -> None:
    """Run the stages; returns when each of them has a state."""
    stages = {stage.name: stage for stage in chosen}
    shown = len(chosen) == 1
    running: list[Stage] = []
    try:
        while running or any(not stage.state for stage in chosen):
            for stage in chosen:
                if not stage.state and ready(stage, stages, running) and take(stage):
                    start(stage, shown)
                    running.append(stage)
            for stage in list(running):
                assert stage.process is not None
                code = stage.process.poll()
                if code is None and time.monotonic() - stage.started > stage.minutes * 60 * PATIENCE:
                    print(f"{stage.name} has not ended within {stage.minutes * PATIENCE} minutes, ending it", flush=True)
                    end(stage)
                    code = 1
                if code is not None:
                    running.remove(stage)
                    settle(stage, code, shown)
                    assert stage.lock is not None
                    stage.lock.close()
            time.sleep(0.05)
    finally:
        for stage in running:
            end(stage)


def main(names: list[str]) -> int:
    """Run what is asked for; return the exit code."""
    stages = table()
    unknown = [name for name in names if name not in {stage.name for stage in stages}]
    if unknown:
        print(f"unknown stage: {', '.join(unknown)}; known: {', '.join(stage.name for stage in stages)}")
        return 2
    chosen = [stage for stage in stages if stage.name in names or not names]
    begun = time.monotonic()
    try:
        run(chosen)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130
    if len(chosen) > 1:
        print(f"{'stage':<14}{'state':<10}{'time':>7}   tests")
        for stage in chosen:
            print(f"{stage.name:<14}{stage.state:<10}{stage.seconds:>5.0f} s   {told(stage.counts)}")
        print(f"{'all':<24}{time.monotonic() - begun:>5.0f} s\n")
    total = told([sum(column) for column in zip(*(stage.counts for stage in chosen))])
    (RESULTS / "summary").write_text(total + "\n", encoding="utf-8")
    print(total, flush=True)
    return 0 if all(stage.state in ("ok", "skipped") for stage in chosen) else 1


def interrupted(number: int, frame: object) -> None:
    """SIGTERM ends a run the way Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    sys.exit(main(sys.argv[1:]))
