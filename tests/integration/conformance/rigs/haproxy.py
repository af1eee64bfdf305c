# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real HAProxies, of every version that this machine has."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.haproxy import HAProxy, RuntimeApi
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


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    can = PROVIDERS["haproxy"].capabilities
    return {f"haproxy-{label}": Maker(partial(HAProxyRig, path), can, standby=True) for label, path in found("haproxy").items()}


class HAProxyRig(Rig):
    """HAProxy with an admin socket, an operator socket and a TCP one.

    :param server_options: more words for a member's server line.
    :param extra: more sections for the configuration.
    :param defaults: one more line for its section `defaults`.
    """

    refusal = "Permission denied.*level admin"

    def __init__(
        self,
        binary: str,
        directory: Path,
        settings: Settings,
        server_options: dict[str, str] | None = None,
        extra: str = "",
        defaults: str = "",
    ) -> None:
        super().__init__(directory, settings)
        directory.mkdir(parents=True, exist_ok=True)
        # Measured: 3.0 misses some of the answers that break off, earlier ones none.
        self.counts_cut = "some" if binary.endswith("haproxy-3.0") else "all"
        self.binary, self.server_options, self.extra, self.defaults = binary, server_options or {}, extra, defaults
        self.socket, self.operator_socket = directory / "admin.sock", directory / "operator.sock"
        # Inherited, so that no other process can take the ports between their choice and their use.
        self._front, self._api, self._other = (socket.create_server(("127.0.0.1", 0)) for _each in range(3))
        self.port, self.other_port = self._front.getsockname()[1], self._other.getsockname()[1]
        self.api_address = f"127.0.0.1:{self._api.getsockname()[1]}"
        self.server = Server(directory / "haproxy.log")

    def start(self) -> None:
        (self.directory / "haproxy.cfg").write_text(self._configuration(), encoding="utf-8")
        self.server.start(
            [self.binary, "-db", "-f", str(self.directory / "haproxy.cfg")],
            self._answers,
            pass_fds=(self._front.fileno(), self._api.fileno(), self._other.fileno()),
        )

    def _answers(self) -> bool:
        try:
            return "Version" in RuntimeApi(str(self.socket), None, 5).ask("show info")[0]
        except DeployError:
            return False

    def stop(self) -> None:
        self.server.stop()
        self.socket.unlink(missing_ok=True)

    def close(self) -> None:
        self.stop()
        self._front.close()
        self._api.close()
        self._other.close()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

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
            f"{' backup' if name in settings.standby else ''}"
            for name, port in settings.members.items()
        )
        others = "\n".join(f"    server {name} 127.0.0.1:{port} {check}" for name, port in settings.other.items())
        other = f"""
frontend {OTHER_POOL}
    bind fd@{self._other.fileno()}
    default_backend {OTHER_POOL}
backend {OTHER_POOL}
{others}
"""
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
    timeout server {settings.patience * 1000:.0f}ms
    timeout queue 5s
    option httpchk GET /health
    default-server weight 100
    {self.defaults}
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
{other if settings.other else ""}"""
