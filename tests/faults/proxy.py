# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HAProxy of the pair, read past the collection."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import fleet

ADMIN = {0: "enabled", 1: "disabled", 8: "drained"}  # srv_admin_state, as the collection sets it
CONFIGURED = 4  # the bit that only remembers that the configuration says `disabled`
UP = "2"  # srv_op_state

CONFIG = """
global
    stats socket {socket} mode 600 level admin
    stats socket {socket}.reader mode 600 level operator
    stats socket {socket}.operator mode 600 level user
    maxconn 2000
    hard-stop-after 5s
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 30s
    timeout check 2s
    option httpchk GET /health
    retries 3
    option redispatch 1
    default-server check inter 200ms fastinter 50ms fall 2 rise 2
frontend shop
    bind 127.0.0.1:{port}
    default_backend shop
backend shop
    balance roundrobin
    cookie SRV insert indirect nocache
{servers}
"""


class Proxy:
    """A running HAProxy.

    :param link: the socket that users name: another name of the one with the right to write, or of one without. No symbolic link:
        the balancer is to be the same one for whoever keeps it to what was written.
    """

    def __init__(self, name: str, directory: Path, link: Path, port: int, ports: dict[str, int]) -> None:
        self.name, self.directory, self.link, self.port, self.ports = name, directory, link, port, ports
        self.socket = Path(f"{link}.own")
        self.process: subprocess.Popen[bytes] | None = None
        self.touched = True  # since its start something has been done to it that a reset of states does not undo

    def start(self, members: dict[str, tuple[str, int]]) -> None:
        """Start it; what is in the members' lines is all that it knows after each start."""
        self.stop()
        servers = "\n".join(
            f"    server {host} 127.0.0.1:{self.ports[host]} cookie {host} weight {weight}{' disabled' if state == 'disabled' else ''}"
            for host, (state, weight) in members.items()
        )
        config = self.directory / f"{self.name}.cfg"
        config.write_text(CONFIG.format(socket=self.socket, port=self.port, servers=servers))
        self.restart()

    def restart(self) -> None:
        """Start it again with the configuration from before: what was set since is forgotten."""
        self.stop()
        with open(self.directory / f"{self.name}.log", "ab") as log:
            line = [fleet.find_haproxy(), "-db", "-f", str(self.directory / f"{self.name}.cfg")]
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        fleet.until(self.answers, f"HAProxy {self.name} does not come up, see {self.directory}")
        self.lead_to("")
        self.touched = False

    def lead_to(self, level: str) -> None:
        """Have the socket lead to the one of that level: ``reader``, ``operator``, or nothing for all rights."""
        self.touched = True
        self.link.unlink(missing_ok=True)
        self.link.hardlink_to(f"{self.socket}.{level}" if level else self.socket)

    def answers(self) -> bool:
        """Whether it does."""
        try:
            return self.ask("show info").startswith("Name")
        except OSError:
            return False

    def signal(self, number: int) -> None:
        """To the process."""
        self.touched = True
        if self.process is not None:
            self.process.send_signal(number)

    def stop(self) -> None:
        """Kill it, if it runs."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
        for path in (self.link, self.socket, Path(f"{self.socket}.reader"), Path(f"{self.socket}.operator")):
            path.unlink(missing_ok=True)

    def ask(self, command: str) -> str:
        """The answer to a runtime command, whatever the link leads to."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(2)
            line.connect(str(self.socket))
            line.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: line.recv(65536), b"")).decode()

    def _rows(self) -> list[list[str]]:
        return [line.split() for line in self.ask("show servers state shop").splitlines()[2:] if line]

    def pool(self) -> dict[str, tuple[str, int]]:
        """State and weight of every member."""
        return {row[3]: (_state(row), int(row[7])) for row in self._rows()}

    def serving(self) -> set[str]:
        """The members that are enabled, have a weight and are up."""
        return {row[3] for row in self._rows() if row[5] == UP and _state(row) == "enabled" and int(row[7]) > 0}

    def available(self) -> int:
        """How many those are."""
        return len(self.serving())

    def set(self, members: dict[str, tuple[str, int]]) -> None:
        """States and weights, as an operator sets them."""
        words = {"enabled": "ready", "disabled": "maint", "drained": "drain"}
        for host, (state, weight) in members.items():
            self.ask(f"set server shop/{host} weight {weight}; set server shop/{host} state {words[state]}")


def _state(row: list[str]) -> str:
    return ADMIN.get(int(row[6]) & ~CONFIGURED, row[6])
