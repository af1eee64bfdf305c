# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of ``examples/command``, in front of a real HAProxy that plays the balancer built in-house.

Twice: with all that they can do claimed by the entry, and with none of it.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import Maker
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.haproxy import HAProxyRig
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found

EXAMPLES = Path(__file__).resolve().parents[4] / "examples" / "command"

CLAIMS = {"can": ["sticky_drain", "health_readback", "fresh_health"], "weights": [0, 256]}


PROGRAMS = ("read", "write", "running", "in_flight", "counters", "other_pools")


def programs(path: Path, names: tuple[str, ...] = PROGRAMS) -> dict[str, list[str]]:
    """The options that name the example's programs, for the socket at `path`."""
    return {name: [sys.executable, str(EXAMPLES / "inhouse.py"), "--socket", str(path), name] for name in names}


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    balancers = found("haproxy")
    if not balancers:
        return {}
    binary = balancers[min(balancers)]  # 3.0 counts less, which the entry does not claim
    return {
        label: Maker(
            partial(CommandRig, binary, claims=claims),
            open_balancer(_entry(Path("/nowhere"), claims)).capabilities,
            standby=True,
        )
        for label, claims in (("command", CLAIMS), ("command-bare", {}))
    }


def _entry(path: Path, claims: dict[str, Any]) -> dict[str, Any]:
    counted = ("in_flight", "counters", "other_pools") if claims else ()
    return {"provider": "command", **programs(path, ("read", "write", "running", *counted)), **claims}


class CommandRig(HAProxyRig):
    """A HAProxy that is spoken to by programs alone.

    :param claims: what the entry says of the balancer.
    """

    refusal = "inhouse.py.* ended with 1: .*Permission denied"

    def __init__(self, binary: str, directory: Path, settings: Any, claims: dict[str, Any], **more: Any) -> None:
        super().__init__(binary, directory, settings, **more)
        self.claims = claims

    def entry(self, **more: Any) -> dict[str, Any]:
        return {**_entry(self.socket, self.claims), **more}

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        return {**_entry(self.operator_socket, self.claims), **more}

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return {**_entry(self.directory / "nothing.sock", self.claims), **more}
