# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer for which somebody has written programs: they are given JSON on their input and print JSON.

The protocol, with two programs that speak it, is in ``examples/command/README.md``.  It is strict, because nobody but us
reads what these programs print: what is not exactly an answer is said to be none, in words, before anything is decided on it.

What the balancer can do its entry says (`can`, `weights`, `in_flight`, `running`, `counters`, `other_pools`); what is not said it
cannot, and what a program prints of it all the same is not looked at.
"""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import replace
from typing import Any, Tuple

from .._domain import plain_json
from .._domain.counters import Counters, Served
from .._domain.errors import InvalidInput, Refused, Unreachable
from .._domain.members import DOWN, STARTING, STATES, UNKNOWN, UP, Change, Member
from .._domain.pools import OtherPool, Pace, Timing
from . import programs
from .base import Balancer
from .declaration import Capabilities

HEALTH = (UP, DOWN, STARTING, UNKNOWN)
KINDS = ("requests", "errors", "broken", "unanswered", "left")  # of what users got
NO_WEIGHT = 1  # of members that have none


class NotAsAgreed(Exception):
    """What a program printed is no answer of the protocol."""


class Command(Balancer):
    """See the module's own text."""

    provider = "command"
    delays_leaving = True  # where its program tells one
    pace = Pace(first=0.1, longest=1.0)  # a look starts programs

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        can = set(options["can"] or [])
        # A check that can be begun anew can be read.
        can.update(["health_readback"] if "fresh_health" in can else [])
        self._read, self._write, self._in_flight = (options[key] for key in ("read", "write", "in_flight"))
        self._counters, self._other_pools = options["counters"], options["other_pools"]
        super().__init__(
            name,
            " ".join(shlex.quote(word) for word in self._read),
            replace(
                capabilities,
                sticky_drain="sticky_drain" in can,
                in_flight=bool(self._in_flight),
                weight_range=_range(name, options["weights"]),
                health_readback="health_readback" in can,
                fresh_health="fresh_health" in can,
                survives_reload="survives_reload" in can,
                counters=bool(self._counters),
                served=bool(self._counters),
                finds_pools=bool(self._other_pools),
            ),
        )
        self.watchable = not self.capabilities.survives_reload
        self.in_flight_source = f"the program `{_line(self._in_flight)}`" if self._in_flight else ""
        for option in ("read", "write"):
            if not options[option]:
                raise InvalidInput(
                    f"Balancer {name}: `{option}` is empty: give the program and its arguments as a list. Nothing was touched."
                )
        self.timeout, self._running = options["timeout"], options["running"]
        self._version = "unknown"
        self._facts: dict[str, tuple[Timing, bool]] = {}  # what was read of a pool beside its members

    def version(self) -> str:
        # A program is not asked for it alone: it may stand in what was read.
        return self._version

    def running(self) -> tuple[str, float]:
        if not self._running:
            raise InvalidInput(
                f"Balancer {self.name}: nobody would notice that it was restarted and forgot who is out. Give `running`, or say that "
                "states outlive a restart (`can: [survives_reload]`), or hold nobody (`hold: 0`; `traffic_hold: 0` in the roles). "
                "Nothing was touched."
            )
        answer = self._ask(self._running, {})
        seconds = answer.get("seconds")
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds < math.inf:
            raise self._stranger(self._running, NotAsAgreed(f"`seconds` is {seconds!r} and no number from 0"))
        try:
            return _text(answer, "process", "the answer"), float(seconds)
        except NotAsAgreed as error:
            raise self._stranger(self._running, error) from None

    def members(self, pool: str) -> list[Member]:
        if not pool or not pool.isprintable():
            raise InvalidInput(f"{pool!r} is no name of a pool. Nothing was touched.")
        answer = self._ask(self._read, {"pool": pool})
        if "pools" in answer:
            raise self._unknown_pool(pool, answer["pools"])
        try:
            members = members_in(answer, self.capabilities)
            self._version = _text(answer, "version", "the answer", default="unknown")
            self._facts[pool] = timing_in(answer), _flag(answer, "drains_first", "the answer", False)
        except NotAsAgreed as error:
            raise self._stranger(self._read, error) from None
        if not self._in_flight:
            return members
        counts = self._ask(self._in_flight, {"pool": pool})
        try:
            return [replace(member, in_flight=_known_count(counts, member.name)) for member in members]
        except NotAsAgreed as error:
            raise self._stranger(self._in_flight, error) from None

    def other_pools(self, pool: str) -> list[OtherPool]:
        if not self._other_pools:
            return super().other_pools(pool)
        names = {member.name for member in self.members(pool)}  # by which a pool that there is not is told
        answer = self._ask(self._other_pools, {"pool": pool})
        try:
            return others_in(answer, names)
        except NotAsAgreed as error:
            raise self._stranger(self._other_pools, error) from None

    def timing(self, pool: str) -> Timing:
        return self._read_facts(pool)[0]

    def drains_first(self, pool: str) -> bool:
        return self._read_facts(pool)[1]

    def _read_facts(self, pool: str) -> tuple[Timing, bool]:
        if pool not in self._facts:
            self.members(pool)
        return self._facts[pool]

    def counters(self, pool: str) -> dict[str, Counters]:
        if not self._counters:
            return super().counters(pool)
        self.members(pool)  # by which a pool that there is not is told
        answer = self._ask(self._counters, {"pool": pool})
        try:
            since, rows = _text(answer, "since", "the answer"), answer.get("members")
            if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
                raise NotAsAgreed("`members` is no object of objects")
            return {
                name: Counters(_count(row, "requests", name), _count(row, "errors", name), since)
                for name, row in rows.items()
            }
        except NotAsAgreed as error:
            raise self._stranger(self._counters, error) from None

    def served(self, pool: str) -> Served | None:
        if not self._counters:
            return super().served(pool)
        self.members(pool)  # by which a pool that there is not is told
        answer = self._ask(self._counters, {"pool": pool})
        try:
            return served_in(answer)
        except NotAsAgreed as error:
            raise self._stranger(self._counters, error) from None

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        request: dict[str, Any] = {"pool": pool, "changes": [_as_agreed(change) for change in changes]}
        if distrust:
            request["distrust"] = True
        ended = programs.run(self._write, self.timeout, json.dumps(request))
        if ended.rc != 0:
            raise Refused(
                f"Balancer {self.name}: `{_line(self._write)}` ended with {ended.rc}: {ended.said or 'it said nothing'}"
            )
        members = self.members(pool)
        self.check_written(
            pool,
            changes,
            members,
            f"`{_line(self._write)}` ended with 0, so it should have been done: look at that program.",
        )
        return members

    def _ask(self, words: list[str], request: dict[str, Any]) -> dict[str, Any]:
        ended = programs.run(words, self.timeout, json.dumps(request))
        if ended.rc != 0:
            raise Unreachable(
                f"Balancer {self.name}: `{_line(words)}` ended with {ended.rc}: {ended.said or 'it said nothing'}"
            )
        try:
            answer = plain_json.loads(ended.output)
        except ValueError:
            raise self._stranger(words, NotAsAgreed(f"it printed {ended.output[:200]!r}, which is no JSON")) from None
        if not isinstance(answer, dict):
            raise self._stranger(words, NotAsAgreed(f"it printed {ended.output[:200]!r}, which is no object"))
        return answer

    def _unknown_pool(self, pool: str, pools: Any) -> Exception:
        if not isinstance(pools, list) or not all(isinstance(known, str) for known in pools):
            return self._stranger(self._read, NotAsAgreed("`pools` is no list of names"))
        known = ", ".join(sorted(pools)) or "none"
        return InvalidInput(f"Balancer {self.name} has no pool {pool!r}. Its pools are: {known}. Nothing was touched.")

    def _stranger(self, words: list[str], why: NotAsAgreed) -> Unreachable:
        return Unreachable(
            f"Balancer {self.name}: what `{_line(words)}` answered cannot be used: {why}. "
            "The protocol is in examples/command/README.md."
        )


def members_in(answer: dict[str, Any], can: Capabilities) -> list[Member]:
    """The members in what the program for reading printed.

    :raises NotAsAgreed: naming what is wrong and where.
    """
    rows = answer.get("members")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NotAsAgreed("`members` is no list of objects")
    members = [_member(row, can) for row in rows]
    names = [member.name for member in members]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise NotAsAgreed(f"`members` has several called {', '.join(twice)}")
    return members


def others_in(answer: dict[str, Any], names: set[str]) -> list[OtherPool]:
    """The other pools in what the program for them printed.

    :param names: of the members of the pool that was asked about.
    :raises NotAsAgreed: naming what is wrong.
    """
    rows = answer.get("pools")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NotAsAgreed("`pools` is no list of objects")
    found = []
    for row in rows:
        name = _text(row, "name", "a pool")
        members = row.get("members")
        if not name or not isinstance(members, list) or not members or not names.issuperset(map(str, members)):
            raise NotAsAgreed(
                f"`members` of pool {name!r} is {members!r} and no list of members of the pool that was asked about"
            )
        reason = _text(row, "reason", name, default=OtherPool.reason)
        found.append(OtherPool(name, tuple(map(str, members)), reason))
    return found


def timing_in(answer: dict[str, Any]) -> Timing:
    """The balancer's own timing, in what the program for reading printed.

    :raises NotAsAgreed: naming what is wrong.
    """
    row = answer.get("timing")
    if row is None:
        return Timing()
    if not isinstance(row, dict):
        raise NotAsAgreed("`timing` is no object")
    leave, check = (_seconds(row, key, "`timing`") for key in ("leave", "check"))
    return Timing(leave, check, _text(row, "source", "`timing`", default="the program for reading"))


def served_in(answer: dict[str, Any]) -> Served | None:
    """What users got, in what the program for counters printed; None where it does not tell.

    :raises NotAsAgreed: naming what is wrong.
    """
    row = answer.get("served")
    if row is None:
        return None
    if not isinstance(row, dict):
        raise NotAsAgreed("`served` is no object")
    return Served(since=_text(answer, "since", "the answer"), **{kind: _count(row, kind, "`served`") for kind in KINDS})


def _member(row: dict[str, Any], can: Capabilities) -> Member:
    name = _text(row, "name", "a member")
    if not name:
        raise NotAsAgreed(f"a member has `name` {name!r}")
    checked = _flag(row, "checked", name, True) and can.health_readback
    state = _one_of(row, "state", name, STATES)
    own = _one_of(row, "own_state", name, STATES) if row.get("own_state") is not None else state
    return Member(
        name=name,
        address=_text(row, "address", name),
        state=state,
        own_state="" if own == state else own,
        weight=_count(row, "weight", name) if can.weight_range else NO_WEIGHT,
        health=_one_of(row, "health", name, HEALTH) if checked else UNKNOWN,
        checked=checked,
        last_check=_text(row, "last_check", name, default="") if checked else "",
        tier=_count(row, "tier", name) if "tier" in row else 0,
        requests=_known_count(row, "requests", name) if "requests" in row else None,
        check_progress=_progress(row, name) if checked else None,
    )


def _progress(row: dict[str, Any], where: str) -> Tuple[int, int] | None:
    """Checks passed and needed."""
    value = row.get("check_progress")
    if value is None:
        return None
    fits = (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) for n in value)
    )
    if not fits or not 0 <= value[0] <= value[1]:
        raise NotAsAgreed(f"`check_progress` of {where} is {value!r} and not [passed, needed]")
    return value[0], value[1]


def _flag(row: dict[str, Any], key: str, where: str, default: bool) -> bool:
    value = row.get(key, default)
    if not isinstance(value, bool):
        raise NotAsAgreed(f"`{key}` of {where} is {value!r} and neither true nor false")
    return value


def _seconds(row: dict[str, Any], key: str, where: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise NotAsAgreed(f"`{key}` of {where} is {value!r} and no number of seconds from 0")
    return float(value)


def _text(row: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        raise NotAsAgreed(f"`{key}` of {where} is {value!r} and no text")
    return value


def _one_of(row: dict[str, Any], key: str, where: str, words: tuple[str, ...]) -> str:
    value = _text(row, key, where)
    if value not in words:
        raise NotAsAgreed(f"`{key}` of {where} is {value!r} and none of {', '.join(words)}")
    return value


def _count(row: dict[str, Any], key: str, where: str = "the answer") -> int:
    value = row.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise NotAsAgreed(f"`{key}` of {where} is {value!r} and no whole number from 0")
    return value


def _known_count(row: dict[str, Any], key: str, where: str = "the answer") -> int | None:
    """A count; None for null, which says that it is not known."""
    return None if key in row and row[key] is None else _count(row, key, where)


def _as_agreed(change: Change) -> dict[str, Any]:
    """A change with what is to be changed alone."""
    wanted = {"name": change.name, "state": change.state, "weight": change.weight}
    return {key: value for key, value in wanted.items() if value is not None}


def _range(name: str, weights: Any) -> tuple[int, int] | None:
    if weights is None:
        return None
    if len(weights) != 2 or not 0 <= weights[0] < weights[1]:
        raise InvalidInput(
            f"Balancer {name}: `weights` is the smallest and the largest weight, such as [0, 256], not {weights}. Nothing was touched."
        )
    return weights[0], weights[1]


def _line(words: list[str]) -> str:
    return " ".join(words)
