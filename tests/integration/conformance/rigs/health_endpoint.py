# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that take themselves out, behind a real HAProxy that is only read.  All of them are on this host."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import health_endpoint
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import Maker, Rig, Settings
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.haproxy import HAProxyRig
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    can = replace(PROVIDERS["health_endpoint"].capabilities, in_flight=True, health_readback=True, fresh_health=True)
    binary = next(iter(found("haproxy").values()), None)
    return {"health_endpoint": Maker(partial(HealthEndpointRig, binary), can, own_states=False)} if binary else {}


class HealthEndpointRig(Rig):
    """An HAProxy, and a directory for each host."""

    refusal = "the switch could not be turned to out. m1: .*nowhere/m1.out cannot be made"

    def __init__(self, binary: str, directory: Path, settings: Settings) -> None:
        super().__init__(directory, settings)
        self.proxy = HAProxyRig(binary, directory, settings)
        self.port = self.proxy.port

        health_endpoint.HealthEndpoint.reach = staticmethod(health_endpoint._here)

    def start(self) -> None:
        self.proxy.start()

    def stop(self) -> None:
        self.proxy.stop()

    def coming_back(self, member: Member) -> bool:
        return member.state == "enabled"

    def settle(self) -> None:
        # Until its checks have run, it holds everybody to be up.
        self.wait_until(
            "everybody has been checked",
            lambda pool: all(m.health == "down" or self.check_passed(m) for m in pool.values()),
        )

    def close(self) -> None:
        self.proxy.close()

    def freeze(self) -> None:
        self.proxy.freeze()

    def thaw(self) -> None:
        self.proxy.thaw()

    def _entry(self, file: str, seen_by: dict[str, Any], timeout: float = 5.0, **more: Any) -> dict[str, Any]:
        seer = {**seen_by, "timeout": timeout}
        return {
            "provider": "health_endpoint",
            "name": "lb",
            "file": file,
            "seen_by": [seer],
            "timeout": timeout,
            **more,
        }

    def entry(self, **more: Any) -> dict[str, Any]:
        # The apps' own switches, see the fixture `apps`.
        return self._entry(str(self.directory.parent / "{name}.out"), self.proxy.read_only_entry(), **more)

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        return self._entry(str(self.directory / "nowhere" / "{name}.out"), self.proxy.read_only_entry(), **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return self._entry(str(self.directory / "{name}.out"), self.proxy.missing_entry(), **more)

    def check_passed(self, member: Member) -> bool:
        return self.proxy.check_passed(member)

    def check_failed(self, member: Member) -> bool:
        return self.proxy.check_failed(member)
