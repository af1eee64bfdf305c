# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Traefiks, with and without metrics, that read a folder of dynamic configuration."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.traefik import Traefik
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
    can = PROVIDERS["traefik"].capabilities
    makers = {}
    for label, path in found("traefik").items():
        # Before 3.2 the metrics do not name the service, so that they prove no check.
        proves = tuple(map(int, label.split("."))) >= (3, 2)
        makers[f"traefik-{label}"] = Maker(partial(TraefikRig, path, proves=proves), replace(can, fresh_health=proves))
        makers[f"traefik-{label}-unmetered"] = Maker(
            partial(TraefikRig, path, metered=False), replace(can, fresh_health=False, served=False)
        )
    return makers


class TraefikRig(Rig):
    """Traefik with the pool in one file of its folder and the router in another.

    :param metered: whether it has metrics.
    :param proves: whether these, where it has them, name the service of a server.
    :param service: more settings of the pool.
    :param beside: more services of the file.
    :param extra: more settings of its own, as sections.
    :param providers: more of its providers, or other settings of the file provider.
    :param routing: more sections of the file that has the routers.
    """

    refusal = "cannot be replaced"

    def __init__(
        self,
        binary: str,
        directory: Path,
        settings: Settings,
        metered: bool = True,
        proves: bool = True,
        service: dict[str, Any] | None = None,
        beside: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
        providers: dict[str, Any] | None = None,
        routing: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(directory, settings)
        self.binary, self.metered, self.proves, self.service = binary, metered, proves, service or {}
        self.beside, self.extra, self.routing = beside or {}, extra or {}, routing or {}
        self.providers = providers or {}
        self.folder = directory / "conf" / "dynamic"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "pool.yml"
        self.port, self.other_port, self.api_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.api_port}"
        self.server = Server(directory / "traefik.log")
        self.file.write_text(json.dumps(self.pool(), indent=2), encoding="utf-8")

    def pool(self) -> dict[str, Any]:
        """The file that is ours to change."""
        services = {POOL: {"loadBalancer": {**self._balancer(self.settings.members), **self.service}}}
        if self.settings.other:
            services[OTHER_POOL] = {"loadBalancer": self._balancer(self.settings.other)}
        waits = {"forwardingTimeouts": {"responseHeaderTimeout": f"{self.settings.patience * 1000:.0f}ms"}}
        return {"http": {"services": {**services, **self.beside}, "serversTransports": {"patient": waits}}}

    def _balancer(self, members: dict[str, int]) -> dict[str, Any]:
        balancer: dict[str, Any] = {
            "servers": [{"url": f"http://127.0.0.1:{port}", "weight": 100} for port in members.values()],
            "sticky": {"cookie": {"name": "SRV"}},
            "serversTransport": "patient",
        }
        if self.settings.checked:
            # One failure takes a server down and one pass brings it up: there is no rise and fall.
            interval = f"{self.settings.interval * 1000:.0f}ms"
            balancer["healthCheck"] = {"path": "/health", "interval": interval, "timeout": "2s"}
        return balancer

    def start(self) -> None:
        retry = {"retry": {"retry": {"attempts": 4, "initialInterval": "10ms"}}}
        router = {"rule": "PathPrefix(`/`)", "service": POOL, "entryPoints": ["web"]}
        # Any change makes Traefik hold a server that is down to be up until its next check: somebody must try another one.
        forgiving = {"middlewares": retry, "routers": {"all": {**router, "middlewares": ["retry"]}}}
        routing: dict[str, Any] = forgiving if self.settings.forgiving else {"routers": {"all": router}}
        if self.settings.other:
            more = {"service": OTHER_POOL, "entryPoints": ["other"]}
            routing["routers"]["other"] = {**routing["routers"]["all"], **more}
        sections = {"http": routing, **self.routing}
        (self.folder / "routing.yml").write_text(json.dumps(sections), encoding="utf-8")
        configuration = {
            "entryPoints": {
                "web": {"address": f"127.0.0.1:{self.port}"},
                "other": {"address": f"127.0.0.1:{self.other_port}"},
                "traefik": {"address": f"127.0.0.1:{self.api_port}"},
            },
            "api": {"insecure": True},
            "providers": {
                # How long a second change in a row waits; two seconds unless it is set.
                "providersThrottleDuration": "50ms",
                **self.providers,
                "file": {"directory": str(self.folder), **self.providers.get("file", {})},
            },
            "log": {"level": "INFO", "noColor": True},
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            **({"metrics": {"prometheus": {"addRoutersLabels": True}}} if self.metered else {}),
            **self.extra,
        }
        static = self.directory / "conf" / "traefik.yml"
        static.write_text(json.dumps(configuration), encoding="utf-8")
        self.server.start([self.binary, f"--configFile={static}"], self._answers)

    def _answers(self) -> bool:
        try:
            api = HttpApi("Traefik", 5, self.url, username="someone", password="something")
            return f'"{POOL}@file"' in api.ask("GET", "/api/http/services").text
        except DeployError:
            return False

    def stop(self) -> None:
        self.server.stop()

    def close(self) -> None:
        self.stop()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def entry(self, **more: Any) -> dict[str, Any]:
        metrics = {"metrics_url": f"{self.url}/metrics"} if self.metered else {}
        names = {name: f"127.0.0.1:{port}" for name, port in self.settings.members.items()}
        return {"provider": "traefik", "file": str(self.file), "url": self.url, "names": names, **metrics, **more}

    def seer(self, **more: Any) -> dict[str, Any]:
        """An entry that only reads, as for services of another provider."""
        return {**self.entry(**more), "file": None}

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        # Permissions keep nobody out who is root. The same file under a name so long that nothing beside it can be longer.
        other = self.directory / ("x" * 240 + ".yml")
        other.unlink(missing_ok=True)
        os.link(self.file, other)
        return self.entry(file=str(other), **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return self.entry(file=str(self.folder / "nothing.yml"), **more)

    def driver(self) -> Traefik:
        """The driver, as what it is, with the members' own names."""
        return self.balancer().driver

    @property
    def passes(self) -> int:
        return 1

    def check_passed(self, member: Member) -> bool:
        return member.last_check == ("server_up 1" if self.metered and self.proves else "serverStatus UP")

    def check_failed(self, member: Member) -> bool:
        return member.last_check in ("server_up 0", "serverStatus DOWN")

    def log(self) -> str:
        """What it has said."""
        return (self.directory / "traefik.log").read_text(encoding="utf-8", errors="replace")
