# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Toy for the conformance suite."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    POOL,
    Maker,
    Rig,
    Server,
    Settings,
)
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

PROGRAM = Path(__file__).resolve().parents[2] / "walkthrough" / "toy_server.py"


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    return {"toy": Maker(ToyRig, PROVIDERS["toy"].capabilities)}


class ToyRig(Rig):
    """One Toy, and its file."""

    refusal = "cannot be replaced: File name too long"

    def __init__(self, directory: Path, settings: Settings) -> None:
        super().__init__(directory, settings)
        directory.mkdir(parents=True, exist_ok=True)
        self.file, self.server = directory / "toy.json", Server(directory / "toy.log")
        (self.port,) = free_ports(1)
        members = {
            name: {"address": f"127.0.0.1:{port}", "weight": 100, "out": False}
            for name, port in settings.members.items()
        }
        self.file.write_text(json.dumps({POOL: members}))

    def start(self) -> None:
        self.server.start([sys.executable, str(PROGRAM), str(self.port), str(self.file), POOL], self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.server.stop()

    def close(self) -> None:
        self.stop()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def entry(self, **more: Any) -> dict[str, Any]:
        return {"provider": "toy", "file": str(self.file), "url": f"http://127.0.0.1:{self.port}", **more}

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        # The file by another name, beside which no temporary one can be made: the system's limit holds for root too.
        long = self.directory / ("x" * 250)
        if not long.exists():
            long.hardlink_to(self.file)
        return self.entry(file=str(long), **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return self.entry(url=f"http://127.0.0.1:{free_ports(1)[0]}", name="nothing", **more)

    def check_passed(self, member: Member) -> bool:
        return False

    def check_failed(self, member: Member) -> bool:
        return False
