# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Toy: it reads its members from a JSON file before each request, and shows on a page of its own what it has read."""

from __future__ import annotations

import json
from typing import Any

from .._domain.errors import InvalidInput
from .._domain.members import DISABLED, ENABLED, UNKNOWN, Change, Member
from .base import Balancer
from .config_file import ConfigFile, absolute
from .declaration import Capabilities
from .http_api import HttpApi


class Toy(Balancer):
    """See the module's own text."""

    provider = "toy"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.file = ConfigFile(absolute("file", options["file"]))
        self.api = HttpApi("Toy's page", options["timeout"], options["url"])
        super().__init__(name, self.file.path, capabilities)

    def version(self) -> str:
        return str(self._page()["version"])

    def members(self, pool: str) -> list[Member]:
        pools = self._page()["pools"]
        try:
            return [_member(name, about) for name, about in pools[pool].items()]
        except KeyError:
            known = ", ".join(sorted(pools)) or "none"
            raise InvalidInput(
                f"Balancer {self.name} has no pool {pool!r}. Toy's pools are: {known}. Nothing was touched."
            ) from None

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        old = self.file.read()
        new = json.loads(old)
        for change in changes:
            about = new[pool][change.name]
            if change.state is not None:
                about["out"] = change.state == DISABLED
            if change.weight is not None:
                about["weight"] = change.weight
        with self.file.replaced(old, json.dumps(new, indent=2) + "\n"):
            members = self.members(pool)  # of the running process, which is what counts
            self.check_written(pool, changes, members, "Does it read another file?")
        return members

    def _page(self) -> dict[str, Any]:
        answer = self.api.ask("GET", "/toy")
        try:
            page: dict[str, Any] = answer.json()
            for members in page["pools"].values():
                for name, about in members.items():
                    _member(name, about)
        except (ValueError, AttributeError, KeyError, TypeError):
            raise self.api.stranger("GET /toy", f"{answer.status} {answer.text!r}") from None
        return page


def _member(name: str, about: dict[str, Any]) -> Member:
    state = DISABLED if about["out"] else ENABLED
    return Member(
        name, str(about["address"]), state, int(about["weight"]), UNKNOWN, int(about["in_flight"]), checked=False
    )
