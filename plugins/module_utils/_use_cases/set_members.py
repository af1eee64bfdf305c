# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring members of a pool into a state and to a weight, on one balancer or on several as one operation."""

from __future__ import annotations

from typing import Any, Callable, Iterable

from .._balancers.registry import BALANCER_OPTIONS, balancer_names, open_balancer
from .._balancers.base import Balancer
from .._balancers.lock import only_writer
from .._clock import Clock, Deadline
from .._domain import guard
from .._domain.errors import DeployError, InvalidInput, NotApplied, TimedOut
from .._domain.members import DISABLED, DRAINED, ENABLED, STATES, Change, Member, undo
from .._domain.wishes import AS_BEFORE, Wish, changes, split, warmup_weight
from .together import all_or_none, side_by_side
from .watch import Watch, healthy, idle

ARGUMENT_SPEC: dict[str, Any] = {
    "balancers": {"type": "list", "elements": "dict", "required": True, "options": BALANCER_OPTIONS},
    "pool": {"type": "str", "required": True},
    "members": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": [*STATES, AS_BEFORE]},
    "weight": {"type": "int"},
    "before": {"type": "dict"},
    "min_available": {"type": "str", "default": "1"},
    "drain_timeout": {"type": "float", "default": 60.0},
    "on_drain_timeout": {"type": "str", "default": "fail", "choices": ["fail", "cut"]},
    "health": {"type": "str", "default": "fresh", "choices": ["fresh", "none"]},
    "health_timeout": {"type": "float", "default": 60.0},
    "on_failure": {"type": "str", "default": "fail", "choices": ["fail", "report"]},
    "warmup": {"type": "list", "elements": "int", "default": []},
    "warmup_step": {"type": "float", "default": 5.0},
}
CONSTRAINTS: dict[str, Any] = {
    "required_one_of": [("state", "weight")],
    "required_if": [("state", AS_BEFORE, ("before",))],
}

AFTER_CUT = 5.0  # seconds that cut connections have to end
POLLS_IN_A_ROW = 2  # a request may arrive between the write and the first look


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Bring the members there on every balancer, or leave every balancer as it was."""
    try:
        return bring_all(params, check_mode, clock)
    except DeployError as error:
        if params["on_failure"] == "fail":
            raise
        return problem(error)


def problem(error: DeployError) -> dict[str, Any]:
    """The result of a task that reports a failure instead of failing."""
    return {"changed": False, **error.facts, "balancers": [], "problem": error.message}


def bring_all(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """See :func:`run`.

    :raises DeployError: whatever `on_failure` says.
    """
    check_options(params)
    names = balancer_names(params["balancers"])
    places = [Place(open_balancer(entry), name, params, clock) for name, entry in zip(names, params["balancers"])]
    outcomes = side_by_side(places, lambda place: place.bring(check_mode))
    return summed(all_or_none(names, outcomes, lambda index: places[index].put_back()))


def check_options(params: dict[str, Any]) -> None:
    """Find what is wrong with the options before any balancer is asked.

    :raises InvalidInput: naming the option.
    """
    if not params["members"]:
        raise InvalidInput("`members` is empty: name at least one. Nothing was touched.")
    for option in ("drain_timeout", "health_timeout", "warmup_step"):
        if params[option] < 0:
            raise InvalidInput(f"`{option}` is {params[option]:g} s; it cannot be negative. Nothing was touched.")
    steps = params["warmup"]
    if steps != sorted(steps) or any(not 1 <= step <= 100 for step in steps):
        raise InvalidInput(f"`warmup` is a rising list of percents from 1 to 100, not {steps}. Nothing was touched.")
    guard.minimum(params["min_available"], 1)


def summed(balancers: list[dict[str, Any]]) -> dict[str, Any]:
    """The task's result from the results of its balancers."""
    lines: dict[str, list[str]] = {"before": [], "after": []}
    for balancer in balancers:
        for member in balancer["members"]:
            for side, text in lines.items():
                seen = member[side]
                text.append(f"{balancer['name']} {balancer['pool']}/{member['name']}: {seen['state']}, weight {seen['weight']}")
    return {
        "changed": any(balancer["changed"] for balancer in balancers),
        "balancers": balancers,
        "problem": "",
        "diff": {side: "\n".join(text) + "\n" for side, text in lines.items()},
    }


class Place:
    """The operation on one balancer."""

    def __init__(self, balancer: Balancer, name: str, params: dict[str, Any], clock: Clock) -> None:
        self.balancer, self.name, self.params, self.clock = balancer, name, params, clock
        self.pool: str = params["pool"]
        self.where = f"Balancer {name}, pool {self.pool}"
        self.watch = Watch(balancer, self.pool, clock)
        self.before: dict[str, Member] = {}
        self.members: list[Member] = []  # the pool as last read; a pool of a thousand members is not read more often than need be
        self.touched: list[str] = []
        self.waited: dict[str, dict[str, Any]] = {}

    def bring(self, check_mode: bool) -> dict[str, Any]:
        """Read, compare, guard, write, wait; whatever fails, the members are as before.

        :raises DeployError: with what was last seen.
        """
        wish = Wish(
            names=tuple(dict.fromkeys(self.params["members"])),
            state=self.params["state"],
            weight=self.params["weight"],
            before=(self.params["before"] or {}).get(self.name) or {},
        )
        try:
            with only_writer(f"{self.balancer.provider} {self.balancer.endpoint} {self.pool}", self.clock):
                self.members = members = self.balancer.members(self.pool)
                self.before = {member.name: member for member in members}
                wanted = changes(wish, members, self.where, self.balancer.capabilities.weight_range)
                leaving, arriving = split(wanted, members)
                self._check_health_can_be_seen(wanted)
                guard.check(self.where, members, leaving, self.params["min_available"])
                if check_mode:
                    return self._result(wanted, guard.after(members, wanted))
                self._write([change for change in leaving if change.alters(self.before[change.name])], guarded=True)
            self._wait_until_idle([change for change in wanted if change.state in (DRAINED, DISABLED)])
            self._return(arriving)
            self._see_healthy([change.name for change in wanted if change.state == ENABLED])
            self._still_there(wanted, self.members)
            return self._result(wanted, self.members)
        except DeployError as error:
            if self.touched:
                self._after_failure(error)
            raise

    def put_back(self) -> None:
        """Undo what :meth:`bring` wrote.

        :raises DeployError: when the balancer does not let us.
        """
        if not self.touched:
            return
        now = {member.name: member for member in self.balancer.members(self.pool)}
        steps_back = [undo(self.before[name]) for name in self.touched if name in now]
        self.balancer.apply(self.pool, [change for change in steps_back if change.alters(now[change.name])])

    def _after_failure(self, failure: DeployError) -> None:
        names = ", ".join(self.touched)
        try:
            self.put_back()
        except DeployError as error:
            failure.message += f" What was written could NOT be put back ({names}): {error.message}"
            failure.facts["changed"] = True
        else:
            failure.message += f" The members are as they were before ({names})."

    def _write(self, wanted: list[Change], guarded: bool = False, distrust: bool = False) -> None:
        if not wanted:
            return
        self.touched += [change.name for change in wanted if change.name not in self.touched]
        self.members = members = self.balancer.apply(self.pool, wanted, distrust)
        if guarded:
            # The lock keeps out our own kind on this machine alone: count again what is really there.
            # A member that was just disabled shows no health any more, so what it was is taken from before.
            written = {change.name for change in wanted}
            unwritten = [self.before[member.name] if member.name in written else member for member in members]
            guard.check_written(self.where, unwritten, members, self.params["min_available"])

    def _still_there(self, wanted: list[Change], members: list[Member]) -> None:
        """What was written may be lost while we wait: a balancer that starts anew goes by its configuration.

        :raises NotApplied: naming the members that are not where they were brought.
        """
        now = {member.name: member for member in members}
        lost = [change.name for change in wanted if change.name not in now or change.alters(now[change.name])]
        if lost:
            found = ", ".join(f"{name}: {now[name].describe() if name in now else 'gone'}" for name in lost)
            raise NotApplied(
                f"{self.where}: what had been written is no longer there ({found}). Was the balancer restarted or reloaded, "
                "or is there another controller? Run the task again."
            )

    def _check_health_can_be_seen(self, wanted: list[Change]) -> None:
        if self.params["health"] == "none":
            return
        blind = [c.name for c in wanted if c.state == ENABLED and not self.before[c.name].checked]
        if blind:
            raise InvalidInput(
                f"{self.where} has no health check for {', '.join(blind)}, so it cannot tell when they may take traffic. "
                "Add `check` to their server lines, or accept it with `health: none`. Nothing was touched."
            )

    def _wait_until_idle(self, leaving: list[Change]) -> None:
        if not leaving:
            return
        wanted = {change.name: change for change in leaving}

        def out_and_idle(member: Member) -> bool:
            self._still_there([wanted[member.name]], [member])
            return idle(member)

        deadline = Deadline(self.clock, self.params["drain_timeout"])
        took = self._watch(wanted, out_and_idle, POLLS_IN_A_ROW, deadline)
        busy = {member.name: member.in_flight for member in self.members if member.name in wanted and member.name not in took}
        if busy and self.params["on_drain_timeout"] == "cut":
            self.balancer.cut(self.pool, list(busy))
            ended = self._watch(busy, out_and_idle, POLLS_IN_A_ROW, Deadline(self.clock, AFTER_CUT))
            for name in ended:
                took[name] = round(deadline.elapsed, 3)
                self.waited[name] = {"cut": busy.pop(name)}
        if busy:
            still = ", ".join(f"{name}: {count}" for name, count in busy.items())
            raise TimedOut(
                f"{self.where}: after {deadline.elapsed:.1f} s there are still requests in flight ({still}). Allow more time with "
                "`drain_timeout`, or end them with `on_drain_timeout: cut`.",
                in_flight=busy,
            )
        for name, seconds in took.items():
            self.waited.setdefault(name, {}).update({"for": "in flight 0", "seconds": seconds})

    def _watch(
        self, names: Iterable[str], content: Callable[[Member], bool], in_a_row: int, deadline: Deadline
    ) -> dict[str, float]:
        took, self.members = self.watch.until(names, content, in_a_row, deadline, self.members)
        return took

    def _return(self, arriving: list[Change]) -> None:
        """Members come back through drain, with a check begun now, at a warm-up weight, then at their own."""
        if not arriving:
            return
        names = [change.name for change in arriving]
        own = {c.name: self.before[c.name].weight if c.weight is None else c.weight for c in arriving}
        steps = [step for step in self.params["warmup"] if step < 100]
        first = {name: self._step_weight(own[name], steps[0]) if steps else own[name] for name in names}
        if self.params["health"] == "fresh":
            self._write([Change(name, DRAINED, first[name]) for name in names], distrust=True)
            self._wait_until_healthy(names)
        self._write([Change(name, ENABLED, first[name]) for name in names])
        for index, step in enumerate([*steps, 100] if steps else []):
            if index:
                self._write([Change(name, None, self._step_weight(own[name], step)) for name in names])
            if step < 100:
                self.clock.sleep(self.params["warmup_step"])
                self._still_healthy(names)

    def _step_weight(self, own: int, percent: int) -> int:
        return own if percent >= 100 else warmup_weight(own, percent, self.balancer.capabilities.weight_range)

    def _wait_until_healthy(self, names: list[str], what: str = "fresh health") -> None:
        deadline = Deadline(self.clock, self.params["health_timeout"])
        took = self._watch(names, healthy, 1, deadline)
        late = set(names).difference(took)
        sick = [member for member in self.members if member.name in late]
        if sick:
            raise TimedOut(
                f"{self.where}: after {deadline.elapsed:.1f} s the balancer's own check does not pass: {_checks(sick)}. Look at the "
                "service on these hosts and at what the check asks for; allow more time with `health_timeout`.",
                unhealthy=[member.name for member in sick],
            )
        for name, seconds in took.items():
            self.waited.setdefault(name, {"for": what, "seconds": seconds})

    def _see_healthy(self, names: list[str]) -> None:
        """What is enabled must be seen healthy, also when it was enabled all along."""
        if names and self.params["health"] == "fresh":
            self._wait_until_healthy(names, "health")

    def _still_healthy(self, names: list[str]) -> None:
        sick = [m for m in self.balancer.members(self.pool) if m.name in names and m.checked and not m.healthy]
        if sick and self.params["health"] == "fresh":
            raise TimedOut(
                f"{self.where}: during the warm-up the balancer's check stopped passing: {_checks(sick)}.",
                unhealthy=[member.name for member in sick],
            )

    def _result(self, wanted: list[Change], members: list[Member]) -> dict[str, Any]:
        now = {member.name: member for member in members}
        return {
            "name": self.name,
            "pool": self.pool,
            "changed": any(change.alters(self.before[change.name]) for change in wanted),
            "available": guard.available(members),
            "members": [
                {
                    "name": change.name,
                    "before": self.before[change.name].as_dict(),
                    "after": now[change.name].as_dict(),
                    "waited": self.waited.get(change.name, {}),
                }
                for change in wanted
            ],
        }


def _checks(members: list[Member]) -> str:
    return "; ".join(f"{m.name} is {m.health} ({m.last_check or 'no check has ended yet'})" for m in members)
