# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the conformance suite asks of a provider: a real balancer that it can start, stop and be pointed at."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.base import Balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Capabilities
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS, open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import (
    persist_pool,
    read_pool,
    set_members,
    split_traffic,
)

POOL = "app"
OTHER_POOL = "app-admin"

# How a connection that breaks looks to a client.
BROKEN = ("RemoteDisconnected(", "ConnectionResetError(", "BrokenPipeError(")


@dataclass(frozen=True)
class Maker:
    """Makes rigs of one provider and version.

    :param make: takes a directory and settings.
    :param capabilities: what this version can do, as the suite sets it up.
    :param traffic: whether requests and checks reach the members; not so where something stands in for the balancer, is asked and
        told all that the balancer is, and moves nothing.
    :param own_states: whether each balancer has states of its own; a switch on a member's host is the same one for all.
    :param standby: whether its rig makes the members that `Settings.standby` names get traffic only when no other is available.
    """

    make: Callable[..., Rig]
    capabilities: Capabilities
    traffic: bool = True
    own_states: bool = True
    standby: bool = False

    def can(self, need: str) -> bool:
        """Whether it has what a test needs.

        :param need: a field of this or of the capabilities, `weights`, `weight_zero`, or one of them denied with `not_`.
        """
        if need.startswith("not_"):
            return not self.can(need[4:])
        if need == "weights":
            return self.capabilities.weight_range is not None
        if need == "weight_zero":
            return self.capabilities.weight_range is not None and self.capabilities.weight_range[0] == 0
        if need in ("traffic", "own_states", "standby"):
            return bool(getattr(self, need))
        return bool(getattr(self.capabilities, need))


@dataclass(frozen=True)
class Settings:
    """The pool that a test wants.

    :param members: name to port.
    :param rise: passes that bring a member up.
    :param fall: failures that take it down.
    :param interval: seconds between checks.
    :param checked: whether members are checked at all.
    :param forgiving: whether the balancer tries another member when one does not answer.
    :param path: what the balancer's check asks for, if the provider's rig lets that be chosen.
    :param patience: seconds that the balancer waits for a member to answer.
    :param other: members of a second pool, `OTHER_POOL`, of the same balancer, name to port; clients reach it at the rig's `other_port`.
    :param standby: names of members that get traffic only when no other is available (`backup`, a later priority), where the provider
        has such.
    :param static: whether the pool spreads its traffic in a way that knows no weights in between, if the provider has one.
    """

    members: dict[str, int] = field(default_factory=dict)
    rise: int = 2
    fall: int = 2
    interval: float = 0.1
    checked: bool = True
    forgiving: bool = True
    path: str = "/health"
    patience: float = 60
    static: bool = False
    other: dict[str, int] = field(default_factory=dict)
    standby: tuple[str, ...] = ()


class Rig(ABC):
    """One real balancer in a directory of its own, in front of a pool ``app`` whose clients are bound by a cookie."""

    #: the port that clients use
    port: int
    #: the port that clients of the second pool use, where the settings have one
    other_port: int
    #: what a refusal to write says to `read_only_entry`
    refusal: str
    #: whether what is in flight is counted for each member, rather than for all that leave
    counts_each = True
    #: whether an answer that breaks off is counted as an error
    counts_cut = "all"
    #: whether the balancer tells its version
    tells_version = True
    #: seconds that `set_pool` waits on balancers that do not tell what is in flight
    DRAIN_WAIT = 0.3

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.directory, self.settings = directory, settings

    @abstractmethod
    def start(self) -> None:
        """Start it; returns once it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it at once."""

    @abstractmethod
    def close(self) -> None:
        """End it for good, and leave nothing behind."""

    @abstractmethod
    def freeze(self) -> None:
        """Let it hang: what it listens on accepts, and nobody answers."""

    @abstractmethod
    def thaw(self) -> None:
        """Let it go on."""

    @abstractmethod
    def entry(self, **more: Any) -> dict[str, Any]:
        """An entry of the option `balancers` that may do everything.

        Members are to have the names of the settings: with `names` where the balancer has only addresses.
        """

    @abstractmethod
    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        """One that may look and not touch."""

    @abstractmethod
    def missing_entry(self, **more: Any) -> dict[str, Any]:
        """One where nothing is."""

    def restart(self) -> None:
        """End it at once and start it anew from its configuration: what was set at run time alone is gone."""
        self.stop()
        self.start()

    def address(self, name: str) -> str:
        """Of a member, as the balancer knows it."""
        return f"127.0.0.1:{self.settings.members[name]}"

    @property
    def weight(self) -> int:
        """Of every member: 100, or 1 where members have no weights."""
        return 100 if self.balancer().capabilities.weight_range else 1

    def unforced(self, failures: list[str]) -> list[str]:
        """Of what clients saw fail, that which this balancer need not have made fail."""
        if self.balancer().capabilities.clean_writes:
            return failures
        return [failure for failure in failures if not failure.startswith(BROKEN)]

    def gently(self, warmup: list[int], step: float) -> dict[str, Any]:
        """Options of a warm-up, where members have weights."""
        return {"warmup": warmup, "warmup_step": step} if self.balancer().capabilities.weight_range else {}

    @property
    def passes(self) -> int:
        """Checks that bring a member up of whose health nothing is known."""
        return self.settings.rise

    def coming_back(self, member: Member) -> bool:
        """Whether a member is on its way back, and waits for its check."""
        return member.state == "drained"

    def settle(self) -> None:
        """After a restart, wait until what it finds out by itself has been found out; most know at once."""
        return

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
        """Wait until the balancer's checks of every member have passed, if it has any."""
        if not self.balancer().capabilities.health_readback or not self.settings.checked:
            return
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


class Server:
    """A balancer's processes: started in a group of their own, ended and frozen as one."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str], answers: Callable[[], bool], **popen: Any) -> None:
        """Start `command`, which stays in the foreground; returns once it `answers`."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0, **popen
            )

        def up() -> bool:
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
            return answers()

        until(f"{command[0]} answers", up, seconds=60)

    def stop(self) -> None:
        """End all of it at once; returns when nobody listens any more."""
        if self.process is not None:
            group = self.process.pid
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(group, signal.SIGKILL)
            self.process.wait()
            self.process = None
            # Its children hold its sockets too, and may take a moment longer.
            until("all of it has ended", lambda: _is_gone(group))

    def freeze(self) -> None:
        """Let it hang; returns once every thread of it does: until then some of them may go on answering."""
        self._signal(signal.SIGSTOP)
        until("all of it has stopped", self._states, lambda states: states == {"T"})

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _states(self) -> set[str]:
        """Of the threads of all processes of the group, as /proc has them; of none when it has ended."""
        states = set()
        for file in Path("/proc").glob("[0-9]*/task/*/stat"):
            try:
                state, _parent, group = file.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            except (OSError, ValueError):  # it has ended meanwhile
                continue
            if self.process is not None and int(group) == self.process.pid and state != "Z":
                states.add(state)
        return states or {"T"}

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, number)


def _is_gone(group: int) -> bool:
    """Whether no process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


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
        time.sleep(0.015)


def set_pool(
    entries: list[dict[str, Any]] | dict[str, Any], members: list[str], check: bool = False, **options: Any
) -> dict[str, Any]:
    """Do what the module `pool_member` does, in this process.

    What a balancer lacks is accepted, unless the options say otherwise.

    :param entries: balancers, or one.
    :raises DeployError: as the use case does.
    """
    return _call(set_members, {"balancers": entries, "pool": POOL, "members": members, **accepting(entries, options)}, check)


def split_pool(
    entries: list[dict[str, Any]] | dict[str, Any], check: bool = False, **options: Any
) -> dict[str, Any]:
    """Do what the module `traffic_split` does, in this process; what a balancer lacks is accepted as in :func:`set_pool`."""
    return _call(split_traffic, {"balancers": entries, "pool": POOL, **accepting(entries, options)}, check)


def accepting(entries: list[dict[str, Any]] | dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options, with those that accept what the balancers lack, unless these say otherwise."""
    accepted: dict[str, Any] = {}
    for entry in [entries] if isinstance(entries, dict) else entries:
        try:
            can = open_balancer({"timeout": 5.0, **entry}).capabilities
        except DeployError:
            can = PROVIDERS[entry["provider"]].capabilities
        if not can.in_flight:
            accepted["drain_wait"] = Rig.DRAIN_WAIT
        if not can.fresh_health:
            accepted["health"] = "none"
        if not can.clean_writes:
            accepted["accept_errors"] = True
    return {**accepted, **options}


def read(entries: list[dict[str, Any]] | dict[str, Any], pool: str = POOL, **options: Any) -> dict[str, Any]:
    """Do what the module `pool_info` does, in this process."""
    return _call(read_pool, {"balancers": entries, "pool": pool, **options})


def persist(entry: dict[str, Any], check: bool = False) -> dict[str, Any]:
    """Do what the module `pool_persistence` does, in this process."""
    return _call(persist_pool, {"balancers": entry, "pool": POOL}, check)


def _call(use_case: Any, options: dict[str, Any], check: bool = False) -> dict[str, Any]:
    if isinstance(options["balancers"], dict):
        options["balancers"] = [options["balancers"]]
    validated = ArgumentSpecValidator(use_case.ARGUMENT_SPEC, **getattr(use_case, "CONSTRAINTS", {})).validate(options)
    assert not validated.error_messages, validated.error_messages
    return use_case.run(validated.validated_parameters, check, Clock())
