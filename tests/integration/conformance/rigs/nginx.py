# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real NGINXes, of every version that this machine has."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.nginx import Nginx
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.nginx_processes import SERVES
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    Maker,
    Rig,
    Server,
    Settings,
)
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

# What binds clients to members: NGINX's own, or, before there was that, a hash of what the client's cookie says.
STICKY_SINCE = (1, 29, 6)
KEEPALIVE_MIN_TIMEOUT_SINCE = (1, 27, 4)
WORKERS = 2


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    return {f"nginx-{label}": _maker(path) for label, path in found("nginx").items()}


def _maker(binary: str) -> Maker:
    said = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True, timeout=60).stderr
    version = tuple(int(number) for number in said.split("/")[1].split()[0].split("."))
    can = replace(PROVIDERS["nginx"].capabilities, sticky_drain=version >= STICKY_SINCE)
    return Maker(partial(NginxRig, binary, version), can, standby=True)


class NginxRig(Rig):
    """NGINX with the pool in a file of its own.

    :param upstreams: what that file holds instead of the usual; ``{servers}`` in it are the usual lines.
    :param extra: more of the `http` block.
    :param outside: more outside all blocks.
    :param within: words in front of the command that starts it.
    """

    refusal = "Operation not permitted"
    counts_each = False  # an old worker may send to any of them

    def __init__(
        self,
        binary: str,
        version: tuple[int, ...],
        directory: Path,
        settings: Settings,
        upstreams: str | None = None,
        extra: str = "",
        outside: str = "",
        within: tuple[str, ...] = (),
    ) -> None:
        super().__init__(directory, settings)
        directory.mkdir(parents=True, exist_ok=True)
        self.sticky, self.gentle = version >= STICKY_SINCE, version >= KEEPALIVE_MIN_TIMEOUT_SINCE
        self.file, self.log, self.pid_file = directory / "app.conf", directory / "error.log", directory / "nginx.pid"
        self.command = [binary, "-c", str(directory / "nginx.conf"), "-e", str(self.log)]
        self.port, self.other_port = free_ports(2)
        self.server = Server(directory / "nginx.log")
        self.file.write_text(self._upstreams() if upstreams is None else upstreams, encoding="utf-8")
        self.configure(extra, outside)
        self.within = [word.format(here=directory) for word in within]

    def start(self) -> None:
        self.server.start([*self.within, *self.command], self._answers)

    def _answers(self) -> bool:
        """The socket accepts connections before the first worker runs, so the workers are counted as well."""
        try:
            started = len(self.workers()) == WORKERS
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except (DeployError, OSError):
            return False
        return started

    def stop(self) -> None:
        self.server.stop()

    def close(self) -> None:
        self.stop()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def entry(self, **more: Any) -> dict[str, Any]:
        return {
            "provider": "nginx",
            "file": str(self.file),
            "test": [*self.command, "-t"],
            "reload": [*self.command, "-s", "reload"],
            "pid_file": str(self.pid_file),
            "names": {name: f"127.0.0.1:{port}" for name, port in self.settings.members.items()},
            **more,
        }

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        # Root may write to any file and signal any process, so what another user is told is said here by somebody else.
        said = "nginx: [alert] kill(1, 1) failed (1: Operation not permitted)"
        return self.entry(reload=["sh", "-c", f"echo '{said}' >&2; exit 1"], **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return self.entry(file=str(self.directory / "nothing"), **more)

    def driver(self) -> Nginx:
        """The driver, as what it is."""
        return self.balancer().driver

    def check_passed(self, member: Member) -> bool:
        raise NotImplementedError("it has no checks of its own")

    check_failed = check_passed

    def _upstreams(self) -> str:
        servers = "\n".join(
            f"    server 127.0.0.1:{port} weight=100{' backup' if name in self.settings.standby else ''};"
            for name, port in self.settings.members.items()
        )
        # The method `hash` knows no backup servers.
        binding = "sticky cookie SRV path=/;" if self.sticky else "" if self.settings.standby else "hash $client;"
        second = "".join(f"    server 127.0.0.1:{port};\n" for port in self.settings.other.values())
        return f"upstream {POOL} {{\n    {binding}\n{servers}\n}}\n" + (
            f"upstream {OTHER_POOL} {{\n{second}}}\n" if second else ""
        )

    def reload(self) -> None:
        """What a person does who has edited a file."""
        subprocess.run([*self.command, "-s", "reload"], check=True, timeout=60)

    def workers(self) -> set[int]:
        """The processes that take requests."""
        master = self.driver().master
        return {worker.pid for worker, does in master.workers(master.pid()).items() if does == SERVES}

    def configure(self, extra: str = "", outside: str = "") -> None:
        """Write all but the upstreams.

        :param extra: more of the `http` block.
        :param outside: more outside all blocks.
        """
        here = self.directory
        # A reload closes connections that are idle. A client that sends at that very moment finds its connection closed.
        # Either they are left open for a while, for one more request, or each is closed with its answer.
        kept = "keepalive_min_timeout 1s" if self.gentle else "keepalive_timeout 0"
        again = "error timeout" if self.settings.forgiving else "off"
        binding = "" if self.sticky else 'add_header Set-Cookie "$bind";'
        other = f"server {{ listen 127.0.0.1:{self.other_port}; location / {{ proxy_pass http://{OTHER_POOL}; }} }}"
        (here / "nginx.conf").write_text(
            f"""
daemon off;
worker_processes {WORKERS};
pid {self.pid_file};
error_log {self.log} notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
    {kept};
    map $cookie_SRV $client {{ "" $request_id; default $cookie_SRV; }}
    map $cookie_SRV $bind {{ "" "SRV=$request_id; path=/"; default ""; }}
    include {self.file};
    server {{
        listen 127.0.0.1:{self.port} backlog=512;
        location / {{
            proxy_pass http://{POOL};
            proxy_connect_timeout 2s;
            proxy_next_upstream {again};
            {binding}
        }}
    }}
    {other if self.settings.other else ""}
    {extra}
}}
{outside}
""",
            encoding="utf-8",
        )
