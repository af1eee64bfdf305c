# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Caddys, with an admin API that may write and a way to it that may not."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.caddy import Caddy
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
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


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    provider = PROVIDERS["caddy"]
    versions = {label: path for label, path in found("caddy").items() if number(label) >= number(provider.minimum)}
    return {f"caddy-{label}": Maker(partial(CaddyRig, path), provider.capabilities) for label, path in versions.items()}


class CaddyRig(Rig):
    """Caddy with a pool whose clients are bound by a cookie, and a server before its admin API that lets nobody write.

    :param policy: instead of the usual selection policy.
    :param handler: more settings of the pool.
    :param resume: whether it starts from the configuration that it had last.
    :param by_socket: whether its admin API is a unix socket.
    :param admin: more settings of the admin API.
    """

    refusal = "answered 403"

    def __init__(
        self,
        binary: str,
        directory: Path,
        settings: Settings,
        policy: dict[str, Any] | None = None,
        handler: dict[str, Any] | None = None,
        resume: bool = False,
        by_socket: bool = False,
        admin: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(directory, settings)
        directory.mkdir(parents=True, exist_ok=True)
        self.binary, self.policy, self.handler, self.resume = binary, policy, handler or {}, resume
        self.admin = admin or {}
        self.port, self.admin_port, self.guard_port, self.other_port = free_ports(4)
        self.socket = directory / "admin.sock" if by_socket else None
        self.url = f"http://127.0.0.1:{self.admin_port}"
        self.api = HttpApi("Caddy", 5, None if by_socket else self.url, str(self.socket) if by_socket else None)
        if by_socket:
            self.api.headers["Host"] = "127.0.0.1"
        if self.admin.get("enforce_origin"):
            name = self.admin.get("origins", ["//" + urlsplit(self.api.origin).netloc])[0].rpartition("//")[2]
            self.api.headers.update({"Host": name, "Origin": f"http://{name}"})
        self.server = Server(directory / "caddy.log")

    def start(self) -> None:
        configuration = self.directory / "caddy.json"
        configuration.write_text(json.dumps(self._configuration()), encoding="utf-8")
        home = str(self.directory / "home")
        self.server.start(
            [self.binary, "run", "--config", str(configuration), *["--resume"] * self.resume],
            self._answers,
            env={**os.environ, "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home},
        )

    def _answers(self) -> bool:
        try:
            return self.api.ask("GET", f"/id/{POOL}").status == 200
        except DeployError:
            return False

    def stop(self) -> None:
        self.server.stop()
        if self.socket:
            self.socket.unlink(missing_ok=True)

    def close(self) -> None:
        self.stop()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def entry(self, **more: Any) -> dict[str, Any]:
        where = {"socket": str(self.socket)} if self.socket else {"url": self.url}
        names = {name: address(port) for name, port in {**self.settings.other, **self.settings.members}.items()}
        return {"provider": "caddy", "names": names, **where, **more}

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        return self.entry(url=f"http://127.0.0.1:{self.guard_port}", **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return {**self.entry(), "url": None, "socket": str(self.directory / "nothing.sock"), **more}

    def driver(self) -> Caddy:
        """The driver, as what it is, with the members' own names."""
        return self.balancer().driver

    def described(self) -> dict[str, Any]:
        """The pool, as Caddy has it."""
        return self.api.ask("GET", f"/id/{POOL}").json()

    def check_passed(self, member: Member) -> bool:
        return True  # it tells nothing

    def check_failed(self, member: Member) -> bool:
        return False

    def _configuration(self) -> dict[str, Any]:
        settings = self.settings
        checks = {
            "active": {
                "uri": settings.path,
                "interval": f"{settings.interval * 1000:.0f}ms",
                "timeout": "2s",
                "passes": settings.rise,
                "fails": settings.fall,
            }
        }
        checked = {"health_checks": checks} if settings.checked else {}
        pool = {**self._pool(POOL, settings.members), **self.handler, **checked}
        admin = address(self.admin_port)
        to_admin = {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": admin}],
            "headers": {"request": {"set": {"Host": [admin]}}},
        }
        # Deeper than a route of its own, as a Caddyfile puts handlers.
        second = {**self._pool(OTHER_POOL, settings.other), **checked}
        other = {"handle": [{"handler": "subroute", "routes": [{"handle": [second]}]}]}
        guard = [
            {"match": [{"method": ["GET"]}], "handle": [to_admin], "terminal": True},
            {"handle": [{"handler": "static_response", "status_code": 403, "body": "look, and do not touch"}]},
        ]
        return {
            "admin": {"listen": f"unix/{self.socket}" if self.socket else admin, **self.admin},
            "logging": {"logs": {"default": {"level": "INFO"}}},
            "apps": {
                "http": {
                    "servers": {
                        "web": self._server(self.port, [{"handle": [pool]}]),
                        "guard": self._server(self.guard_port, guard),
                        **({"other": self._server(self.other_port, [other])} if settings.other else {}),
                    }
                }
            },
        }

    def _pool(self, name: str, members: dict[str, int]) -> dict[str, Any]:
        spread = {"policy": "weighted_round_robin", "weights": [100] * len(members)}
        return {
            "@id": name,
            "handler": "reverse_proxy",
            "upstreams": [{"dial": address(port)} for port in members.values()],
            "load_balancing": {
                "selection_policy": self.policy or {"policy": "cookie", "name": "SRV", "fallback": spread},
                # Each write makes it hold everybody to be healthy: somebody must try another one.
                **({"try_duration": "3s", "try_interval": "20ms"} if self.settings.forgiving else {}),
            },
        }

    @staticmethod
    def _server(port: int, routes: list[dict[str, Any]]) -> dict[str, Any]:
        return {"listen": [f"127.0.0.1:{port}"], "automatic_https": {"disable": True}, "routes": routes}


def address(port: int) -> str:
    """Of a server on this machine."""
    return f"127.0.0.1:{port}"


def number(version: str) -> tuple[int, ...]:
    """A version to compare with others."""
    return tuple(map(int, version.split(".")))
