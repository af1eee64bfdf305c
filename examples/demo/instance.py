# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for a service manager, so that the demo needs no root: one gunicorn for each directory.

    instance.py restart DIRECTORY PORT MEMBER
    instance.py stop DIRECTORY
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 15.0  # seconds for a process to end by itself


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def stop(directory: Path) -> None:
    """End the instance: gracefully, then by force."""
    record = directory / "pid"
    if not record.exists():
        return
    pid = int(record.read_text())
    for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
        try:
            os.killpg(pid, number) if number == signal.SIGKILL else os.kill(pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + patience
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not alive(pid):
            break
    record.unlink(missing_ok=True)


def start(directory: Path, port: str, member: str) -> None:
    """Start what `current` points at, detached, in a process group of its own."""
    log = open(directory / "log", "ab")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "16", "--keep-alive", "75",
            "--bind", f"127.0.0.1:{port}", "--chdir", str(directory / "current"), "--log-level", "warning", "shop:application",
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env={
            **os.environ,
            "SHOP_MEMBER": member,
            "SHOP_SWITCH": str(directory / "out"),
            "SHOP_DEATH_LOG": str(directory / "deaths"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )  # fmt: skip
    (directory / "pid").write_text(str(process.pid))


def main(words: list[str]) -> None:
    """See the top of this file."""
    command, directory = words[0], Path(words[1])
    stop(directory)
    if command == "restart":
        start(directory, *words[2:4])


if __name__ == "__main__":
    main(sys.argv[1:])
