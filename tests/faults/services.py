# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts' service manager: like systemd it is no child of a playbook, so that no death of one leaves a restart half done.

As a program it is what a host's restart command calls: ``services.py SOCKET HOST`` restarts and says how that went.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

PATIENCE = 15.0  # seconds for a process to end by itself


class Services:
    """The instances of all hosts.

    :param directories: of each host; `current` in there is what is started.
    :param ports: of each host.
    """

    def __init__(self, path: Path, directories: dict[str, Path], ports: dict[str, int]) -> None:
        self.path, self.directories, self.ports = path, directories, ports
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.delays: dict[str, float] = {}
        self._locks = {host: threading.Lock() for host in directories}
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._door.bind(str(path))
        self._door.listen(16)
        threading.Thread(target=self._listen, name="services", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                line, _address = self._door.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line:
            host = line.recv(100).decode().strip()
            try:
                self.restart(host)
                answer = b"ok\n"
            except (OSError, KeyError) as error:
                answer = f"{error}\n".encode()
            try:
                line.sendall(answer)
            except OSError:  # whoever asked is dead
                pass

    def restart(self, host: str) -> None:
        """Stop it gracefully, and start it."""
        with self._locks[host]:
            self._stop(host, signal.SIGTERM)
            time.sleep(self.delays.get(host, 0.0))
            self._start(host)

    def kill(self, host: str) -> None:
        """As a power cut does."""
        with self._locks[host]:
            self._stop(host, signal.SIGKILL)

    def pid(self, host: str) -> int | None:
        """The process, None when there is none."""
        process = self.processes.get(host)
        return process.pid if process and process.poll() is None else None

    def _stop(self, host: str, number: int) -> None:
        process = self.processes.pop(host, None)
        if process is None:
            return
        try:
            if number == signal.SIGTERM:
                process.send_signal(number)
                process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def _start(self, host: str) -> None:
        directory = self.directories[host]
        mine = ("SHOP_", "FAULTS_", "ANSIBLE_")
        with open(directory / "log", "ab") as log:
            self.processes[host] = subprocess.Popen(
                [
                    sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "16", "--keep-alive", "75",
                    "--bind", f"127.0.0.1:{self.ports[host]}", "--chdir", str(directory / "current"), "--log-level", "warning",
                    "shop:application",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith(mine)},
                    "SHOP_MEMBER": host, "SHOP_DEATH_LOG": str(directory / "deaths"), "PYTHONDONTWRITEBYTECODE": "1",
                },
            )  # fmt: skip

    def close(self) -> None:
        """End all of it."""
        self._door.close()
        for host in list(self.processes):
            self.kill(host)
        self.path.unlink(missing_ok=True)


def main() -> int:
    """Ask for a restart, wait until it is done."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(sys.argv[1])
        line.sendall(f"{sys.argv[2]}\n".encode())
        answer = line.recv(1000).decode().strip()
    if answer != "ok":
        print(answer, file=sys.stderr)
    return answer != "ok"


if __name__ == "__main__":
    sys.exit(main())
