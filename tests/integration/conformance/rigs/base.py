# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the conformance suite asks of a provider: a real balancer that it can start, stop and be pointed at."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.base import Balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import read_pool, set_members

POOL = "app"


@dataclass(frozen=True)
class Settings:
    """The pool that a test wants.

    :param members: name to port.
    :param rise: passes that bring a member up.
    :param fall: failures that take it down.
    :param interval: seconds between checks.
    :param checked: whether members are checked at all.
    :param forgiving: whether the balancer tries another member when one does not answer.
    :param static: whether the pool spreads its traffic in a way that knows no weights in between, if the provider has one.
    """

    members: dict[str, int] = field(default_factory=dict)
    rise: int = 2
    fall: int = 2
    interval: float = 0.1
    checked: bool = True
    forgiving: bool = True
    static: bool = False


class Rig(ABC):
    """One real balancer in a directory of its own, in front of a pool ``app`` whose clients are bound by a cookie."""

    #: the port that clients use
    port: int

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.directory, self.settings = directory, settings

    @abstractmethod
    def start(self) -> None:
        """Start it; returns once it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it at once."""

    @abstractmethod
    def entry(self, **more: Any) -> dict[str, Any]:
        """An entry of the option `balancers` that may do everything."""

    @abstractmethod
    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        """One that may look and not touch."""

    @abstractmethod
    def missing_entry(self, **more: Any) -> dict[str, Any]:
        """One where nothing is."""

    def restart(self) -> None:
        """End it at once and start it anew: what was set at run time is gone."""
        self.stop()
        self.start()

    def balancer(self) -> Balancer:
        """The driver for it."""
        return open_balancer({"timeout": 5.0, **self.entry()})

    def members(self) -> dict[str, Member]:
        """The pool, by name."""
        return {member.name: member for member in self.balancer().members(POOL)}

    def written(self) -> dict[str, tuple[str, int]]:
        """What is a writer's doing, by name: states and weights, without what a check changes by itself."""
        return {name: (member.state, member.weight) for name, member in self.members().items()}

    def wait_until(self, what: str, holds: Callable[[dict[str, Member]], bool]) -> dict[str, Member]:
        """Look at the pool until `holds` does."""
        return until(what, self.members, holds)

    def all_up(self) -> None:
        """Wait until the balancer's checks of every member have passed."""
        self.wait_until(
            "every member is up by a check",
            lambda pool: all(m.health == "up" and self.check_passed(m) for m in pool.values()),
        )

    @abstractmethod
    def check_passed(self, member: Member) -> bool:
        """Whether the balancer's last check of the member passed (a member may be up before its first)."""

    @abstractmethod
    def check_failed(self, member: Member) -> bool:
        """Whether the balancer's last check of the member failed (a member may still be up then)."""


def until(what: str, look: Callable[[], Any], holds: Callable[[Any], bool] = bool, seconds: float = 20) -> Any:
    """Look again and again until what is seen holds; return it.

    :raises AssertionError: with what was last seen.
    """
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if holds(seen):
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {seen}")
        time.sleep(0.005)


def set_pool(
    entries: list[dict[str, Any]] | dict[str, Any], members: list[str], check: bool = False, **options: Any
) -> dict[str, Any]:
    """Do what the module `pool_member` does, in this process.

    :param entries: balancers, or one.
    :raises DeployError: as the use case does.
    """
    return _call(set_members, {"balancers": entries, "pool": POOL, "members": members, **options}, check)


def read(entries: list[dict[str, Any]] | dict[str, Any], pool: str = POOL) -> dict[str, Any]:
    """Do what the module `pool_info` does, in this process."""
    return _call(read_pool, {"balancers": entries, "pool": pool})


def _call(use_case: Any, options: dict[str, Any], check: bool = False) -> dict[str, Any]:
    if isinstance(options["balancers"], dict):
        options["balancers"] = [options["balancers"]]
    validated = ArgumentSpecValidator(use_case.ARGUMENT_SPEC, **getattr(use_case, "CONSTRAINTS", {})).validate(options)
    assert not validated.error_messages, validated.error_messages
    return use_case.run(validated.validated_parameters, check, Clock())
