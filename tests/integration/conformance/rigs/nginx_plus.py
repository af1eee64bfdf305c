# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers as NGINX Plus's API is documented to, because an NGINX Plus cannot be had without a subscription."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    Maker,
    Rig,
    Server,
    Settings,
)
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

STAND_IN = Path(__file__).with_name("nginx_plus_stand_in.py")
LOGIN = {"username": "deploy", "password": "s3cr3t"}


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    return {"nginx_plus": Maker(NginxPlusRig, PROVIDERS["nginx_plus"].capabilities, traffic=False, standby=True)}


class NginxPlusRig(Rig):
    """The stand-in, with one location that may write and one that may not."""

    refusal = "it needs `api write=on;`"

    def __init__(self, directory: Path, settings: Settings, stream: dict[str, list[str]] | None = None) -> None:
        """
        :param stream: upstreams of the block `stream`, to their servers; None where there is no such block.
        """
        super().__init__(directory, settings)
        self.stream = stream
        directory.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(directory / "stand-in.log")

    def start(self) -> None:
        second = {OTHER_POOL: [f"127.0.0.1:{port}" for port in self.settings.other.values()]}
        told = {
            "upstreams": {
                POOL: [self.address(name) for name in self.settings.members],
                "other": [],
                **(second if self.settings.other else {}),
            },
            "backup": [self.address(name) for name in self.settings.standby],
            **({} if self.stream is None else {"stream": self.stream}),
            "weight": 100,
            "checked": self.settings.checked,
            "login": ":".join(LOGIN.values()),
        }
        (self.directory / "nginx.json").write_text(json.dumps(told), encoding="utf-8")
        self.server.start(
            [sys.executable, str(STAND_IN), str(self.port), str(self.directory / "nginx.json")], self._answers
        )

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "/api/").status == 200
        except Unreachable:
            return False

    def ask(self, method: str, path: str, body: str | None = None) -> Any:
        """Say something to it behind the driver's back."""
        return HttpApi("The stand-in", 5, url=self.url, **LOGIN).ask(method, path, body)

    def stop(self) -> None:
        self.server.stop()

    def close(self) -> None:
        self.stop()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def _entry(self, where: str, **more: Any) -> dict[str, Any]:
        names = {name: self.address(name) for name in self.settings.members}
        return {"provider": "nginx_plus", "url": f"{self.url}/{where}", "names": names, **LOGIN, **more}

    def entry(self, **more: Any) -> dict[str, Any]:
        return self._entry("api", **more)

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        return self._entry("look", **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        (closed,) = free_ports(1)
        return self._entry("api", **{"url": f"http://127.0.0.1:{closed}/nothing", **more})

    def check_passed(self, member: Member) -> bool:
        return member.last_check == "up last check passed"

    def check_failed(self, member: Member) -> bool:
        return "failed" in member.last_check
