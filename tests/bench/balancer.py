# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy on loopback, and what only HAProxy itself can tell: how long its own check of a member takes."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from types import TracebackType

from clients import until
from places import OUT

Where = str | tuple[str, int]  # a runtime API: the path of its socket, or its address
PORT = 18000  # where clients come in
AT_ONCE = 100  # commands in a line, which must fit into HAProxy's buffer
POOL = """\
global
    maxconn 4000
    stats socket {socket} mode 600 level admin
    stats timeout 30s
    hard-stop-after 2s
defaults
    mode http
    retries 3
    option redispatch 1
    option idle-close-on-response
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout check 1s
    timeout http-keep-alive 30s
frontend web
    bind 127.0.0.1:{port}
    default_backend shop
backend shop
    balance roundrobin
    cookie SRV insert indirect nocache
    option httpchk GET /health
    http-check expect status 200
    default-server check inter 500ms fastinter 200ms fall 2 rise 2 weight 100 maxconn 1000
{servers}
"""


def ask(where: Where, *commands: str) -> str:
    """Commands to a runtime API, and all that it says."""
    said = []
    for first in range(0, len(commands), AT_ONCE):
        with socket.socket(
            socket.AF_UNIX if isinstance(where, str) else socket.AF_INET, socket.SOCK_STREAM
        ) as connection:
            connection.settimeout(5)
            connection.connect(where)
            connection.sendall((";".join(commands[first : first + AT_ONCE]) + "\n").encode())
            said.append(b"".join(iter(lambda: connection.recv(65536), b"")).decode())
    return "".join(said)


def up(where: Where, pool: str = "shop") -> set[str]:
    """The members that HAProxy's own check finds well: field 6 of `show servers state` is 2, running."""
    rows = [line.split() for line in ask(where, f"show servers state {pool}").splitlines()]
    return {row[3] for row in rows if len(row) > 6 and row[1] == pool and row[5] == "2"}


def own_check(balancers: Sequence[Where], batches: Sequence[Sequence[str]]) -> float:
    """Seconds from the moment at which a batch returns from maintenance until the checks of all balancers have passed for all of it.

    All batches are measured at once, and their mean is told: nobody must be in need of these members meanwhile.
    """
    members = [member for batch in batches for member in batch]
    for where in balancers:
        ask(where, *(f"set server shop/{member} state maint" for member in members))
    # As long as a deployment takes, and anywhere between two checks, whose timers run on meanwhile.
    time.sleep(random.uniform(1, 3))
    began = time.monotonic()
    for where in balancers:
        ask(
            where,
            *(f"set server shop/{member} {what}" for member in members for what in ("state drain", "health down")),
        )
    took: dict[int, float] = {}
    while len(took) < len(batches):
        well = set.intersection(*(up(where) for where in balancers))
        now = time.monotonic() - began
        took |= {number: now for number, batch in enumerate(batches) if number not in took and well.issuperset(batch)}
        time.sleep(0.005)
    for where in balancers:
        ask(where, *(f"set server shop/{member} state ready" for member in members))
    return mean(took.values())


class HAProxy:
    """One process, between `with` and its end."""

    def __init__(self, configuration: str, name: str = "haproxy", **values: str | int) -> None:
        # Not below the checkout: a socket's path must not exceed about a hundred characters.
        self.socket = f"/tmp/zero-downtime-bench-{name}.sock"
        self._config = OUT / f"{name}.cfg"
        self._log = OUT / f"{name}.log"
        self._text = configuration.format(socket=self.socket, **values)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> HAProxy:
        binary = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
        if not binary:
            sys.exit("No HAProxy: make deps")
        OUT.mkdir(parents=True, exist_ok=True)
        self._config.write_text(self._text)
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [binary, "-db", "-f", str(self._config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(
            lambda: Path(self.socket).exists() and "Version" in ask(self.socket, "show info"),
            f"HAProxy, see {self._log}",
        )
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        Path(self.socket).unlink(missing_ok=True)
