# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in front of the demo's instances: a real balancer of the kind that was asked for.

HAProxy is the fleet's own, see fleet.py; the others are those that the conformance suite starts.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
SUITE = "ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs"
REGISTRY = "ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry"

# What a balancer cannot do and a rollout asks for, accepted as a user would: no request of the load takes longer than 2 s.
ACCEPTED = {"in_flight": {"traffic_drain_wait": 3}, "fresh_health": {"traffic_health": "none"}}


class Front:
    """One balancer of `provider` in front of `ports`, by host.

    :raises SystemExit: when it is not here, with what to do.
    """

    def __init__(self, provider: str, directory: Path, ports: dict[str, int], pools: int = 1) -> None:
        collections = CHECKOUT / "build" / "dev"
        link = collections / "ansible_collections" / "zero_downtime" / "deploy"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to("../../../..")
        sys.path.insert(0, str(collections))
        base = importlib.import_module(f"{SUITE}.base")
        makers = importlib.import_module(f"{SUITE}.{provider}").rigs()
        if not makers:
            sys.exit(f"No {provider} was found here. Debian's package has it, or `make deps venv` as root.")
        label, maker = list(makers.items())[-1]
        self.title, self.provider = label, provider
        self._hosts, self._run = list(ports), directory.parent
        self._base = base
        path = "/ready" if provider == "caddy" else "/health"
        self._pools = [base.POOL, base.OTHER_POOL][:pools]
        settings = base.Settings(members=ports, interval=0.3, path=path, other=ports if pools > 1 else {})
        self.rig = maker.make(directory, settings)
        self.client_ports: list[int] = [self.rig.port, *([self.rig.other_port] if pools > 1 else [])]

    def start(self) -> None:
        """Start it; returns once it answers."""
        self.rig.start()

    def stop(self) -> None:
        """End it for good."""
        self.rig.close()

    def variables(self) -> dict[str, Any]:
        """What a user of this balancer writes: the balancer, its pool, and what is accepted of it."""
        if self.provider == "caddy":
            return self._by_switches()
        entry = {"name": self.title, **self.rig.entry()}
        capabilities = importlib.import_module(REGISTRY).open_balancer({"timeout": 5.0, **entry}).capabilities
        accepted: dict[str, Any] = {}
        for name, variables in ACCEPTED.items():
            if not getattr(capabilities, name):
                accepted.update(variables)
        return {"rollout_balancers": [entry], "rollout_pools": self._pools, **accepted}

    def _by_switches(self) -> dict[str, Any]:
        """Every write to Caddy breaks a few connections: its members leave by failing its health check."""
        switch = str(self._run / "{name}" / "out")
        # Two checks must fail, 0.3 s apart, before it has noticed.
        entry = {"name": self.title, "provider": "health_endpoint", "hosts": self._hosts, "file": switch, "notice": 2}
        return {"rollout_balancers": [entry], "traffic_drain_wait": 3, "traffic_health": "none"}
