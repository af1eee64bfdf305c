# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of one pool on one balancer: guard, write, wait, and put back when anything fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator

from .._balancers.base import Balancer
from .._balancers.lock import only_writer
from .._clock import Clock, Deadline
from .._domain import guard
from .._domain.errors import DeployError, InvalidInput, NotApplied, TimedOut
from .._domain.members import ABSENT, DISABLED, DRAINED, ENABLED, Change, Member, absent, undo
from .._domain.needs import Asks, unmet
from .._domain.wishes import AS_BEFORE, Wish, changes, split, warmup_weight
from .hold import Hold
from .watch import RESTART, Watch, healthy, idle

AFTER_CUT = 5.0  # seconds that cut connections have to end
REASSERTED = 5  # times that what a balancer has forgotten is written again before we give up
POLLS_IN_A_ROW = 2  # a request may arrive between the write and the first look


class Place:
    """The operation on one balancer."""

    def __init__(self, balancer: Balancer, name: str, params: dict[str, Any], clock: Clock) -> None:
        self.balancer, self.name, self.params, self.clock = balancer, name, params, clock
        self.pool: str = params["pool"]
        self.where = f"Balancer {name}, pool {self.pool}"
        self.watch = Watch(balancer, self.pool, clock)
        self.hold = Hold(balancer, self.pool, clock)
        self.before: dict[str, Member] = {}
        # The pool as last read: one of a thousand members is not read more often than need be.
        self.members: list[Member] = []
        self.touched: list[str] = []
        self.waited: dict[str, dict[str, Any]] = {}
        self.standing: dict[str, Change] = {}  # what must stay as written while we wait
        self.distrusted: dict[str, Change] = {}  # of these, what returns
        self.removed = False
        self.running = ("", 0.0)
        self._is_alone = False
        self.held = False
        self.reasserted = 0  # by us, or by who held them before
        self.lost_here = 0

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
            with self._alone():
                if not check_mode:
                    self.balancer.heal(self.pool)
                    self.reasserted = self.hold.let_go(wish.names)
                    if self._forgetful:
                        self.running = self.balancer.running()
                self.members = members = self.balancer.members(self.pool)
                seen = [*members, *self._not_there(wish, members)]
                self.before = {member.name: member for member in seen}
                wanted = changes(wish, seen, self.where, self.balancer.capabilities.weight_range)
                leaving, arriving = split(wanted, seen)
                going = [change.name for change in leaving if change.state == ABSENT]
                coming = [change for change in wanted if self.before[change.name].state == ABSENT != change.state]
                # Who is to go is taken out first, like everybody else.
                leaving = [Change(c.name, DISABLED) if c.name in going else c for c in leaving]
                self._check_it_can(wanted, leaving, arriving, bool(going or coming))
                guard.check(self.where, members, leaving, self.params["min_available"])
                if check_mode:
                    return self._result(wanted, guard.after(seen, wanted))
                self._add(coming)
                self._write([change for change in leaving if change.alters(self.before[change.name])], guarded=True)
                self.standing = {change.name: change for change in leaving}
            self._wait_until_idle([change for change in leaving if change.state in (DRAINED, DISABLED)])
            self._settle([change.name for change in leaving if change.state == DISABLED])
            self._return(arriving)
            self._see_healthy([change.name for change in wanted if change.state == ENABLED])
            self.members = self._kept(self.members)
            self._remove(going)
            self._hold(
                [change for change in leaving if change.state in (DRAINED, DISABLED) and change.name not in going]
            )
            return self._result(wanted, self.members)
        except DeployError as error:
            if self.touched:
                self._after_failure(error)
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes to this pool: what is written to a file must not lose what another task has written there."""
        if self._is_alone:
            yield
            return
        with only_writer(self.balancer.lock_name(self.pool), self.clock):
            self._is_alone = True
            try:
                yield
            finally:
                self._is_alone = False

    def put_back(self) -> None:
        """Undo what :meth:`bring` wrote.

        :raises DeployError: when the balancer does not let us.
        """
        if self.touched:
            with self._alone():
                self._put_back()

    def _put_back(self) -> None:
        now = {member.name: member for member in self.balancer.members(self.pool)}
        earlier = [self.before[name] for name in self.touched]
        new = [member.name for member in earlier if member.state == ABSENT and member.name in now]
        for member in earlier:
            if member.state != ABSENT and member.name not in now and self.removed:
                self.balancer.add(self.pool, member.name, member.address, member.weight)
                now[member.name] = absent(member.name)
        weighed = self.balancer.capabilities.weight_range is not None
        steps_back = [undo(member, weighed) for member in earlier if member.state != ABSENT and member.name in now]
        steps_back += [Change(name, DISABLED) for name in new]
        steps_back = [change for change in steps_back if change.alters(now[change.name])]
        if steps_back:
            self.balancer.apply(self.pool, steps_back)
        if new:
            self.balancer.remove(self.pool, new)

    def _after_failure(self, failure: DeployError) -> None:
        names = ", ".join(self.touched)
        try:
            self.put_back()
        except DeployError as error:
            failure.message += f" What was written could NOT be put back ({names}): {error.message}"
            failure.facts["changed"] = True
        else:
            failure.message += f" The members are as they were before ({names})."

    @property
    def _forgetful(self) -> bool:
        """Whether a restart would undo what is to be held."""
        return bool(self.params["hold"]) and not self.balancer.capabilities.survives_reload

    def _hold(self, out: list[Change]) -> None:
        """Who is out stays out, even when the balancer is restarted and forgets."""
        if not out or not self._forgetful:
            return
        with self._alone():
            now = {member.name: member for member in self.members}
            self.hold.add([undo(now[change.name]) for change in out], self.params["hold"], self.running)
        self.held = True

    def _not_there(self, wish: Wish, members: list[Member]) -> list[Member]:
        """Those of the members that are to be made, or need not be removed."""
        known = {member.name for member in members}
        missing = [name for name in wish.names if name not in known]
        addresses = self.params["addresses"]
        gone = {name for name, known in wish.before.items() if isinstance(known, dict) and known.get("state") == ABSENT}
        return [
            absent(name, str(addresses.get(name, "")))
            for name in missing
            if name in addresses or wish.state == ABSENT or (wish.state == AS_BEFORE and name in gone)
        ]

    def _add(self, new: list[Change]) -> None:
        for change in new:
            self.touched.append(change.name)
            self.balancer.add(self.pool, change.name, self.before[change.name].address, change.weight)
        if new:
            self.members = self.balancer.members(self.pool)

    def _remove(self, names: list[str]) -> None:
        if not names:
            return
        self.removed = True
        with self._alone():
            self.balancer.remove(self.pool, names)
        self.standing = {name: change for name, change in self.standing.items() if name not in names}
        self.members = self.balancer.members(self.pool)

    def _write(self, wanted: list[Change], guarded: bool = False, distrust: bool = False) -> None:
        if not wanted:
            return
        self.touched += [change.name for change in wanted if change.name not in self.touched]
        with self._alone():
            self.members = members = self.balancer.apply(self.pool, wanted, distrust)
        if guarded:
            # The lock keeps out our own kind on this machine alone: count again what is really there.
            # A member that was just disabled shows no health any more, so what it was is taken from before.
            written = {change.name for change in wanted}
            unwritten = [self.before[member.name] if member.name in written else member for member in members]
            guard.check_written(self.where, unwritten, members, self.params["min_available"])

    def _kept(self, members: list[Member]) -> list[Member]:
        """What was written may be lost while we wait: a balancer that starts anew goes by its configuration.  Write it again.

        :raises NotApplied: when it does not stay, naming the members and what they are.
        """
        now = {member.name: member for member in members}
        lost = [change for change in self.standing.values() if change.name in now and change.alters(now[change.name])]
        if not lost:
            return members
        self.lost_here += 1
        self.reasserted += 1
        # Who is in traffic goes back there only by way of a check.
        strayed = any(change.state == ENABLED != now[change.name].state for change in lost)
        if strayed or self.lost_here > REASSERTED:
            found = ", ".join(f"{change.name}: {now[change.name].describe()}" for change in lost)
            raise NotApplied(
                f"{self.where}: what had been written is no longer there ({found}). Was the balancer restarted, "
                "or is there another controller? Run the task again."
            )
        distrust = [change for change in lost if change.name in self.distrusted]
        self._write([change for change in lost if change not in distrust])
        self._write(distrust, distrust=True)
        return self.members

    def _check_it_can(
        self, wanted: list[Change], leaving: list[Change], arriving: list[Change], membership: bool
    ) -> None:
        """Hold what is asked for against what the balancer can do and sees.

        :raises InvalidInput: naming the option that accepts what it lacks.
        """
        balancer, params = self.balancer, self.params
        out = [change.state for change in leaving if change.state in (DRAINED, DISABLED)]
        back = [change.name for change in wanted if change.state == ENABLED]
        asks = Asks(
            state=DRAINED if DRAINED in out else DISABLED if out else None,
            returns=bool(back),
            weight=params["weight"],
            membership=membership,
            health=params["health"],
            drain_wait=params["drain_wait"],
            on_drain_timeout=params["on_drain_timeout"],
            warmup=tuple(params["warmup"]) if arriving else (),
            # What a balancer gives a new member is seen when it is there.
            own_weights={
                change.name: self.before[change.name].weight if change.weight is None else change.weight
                for change in wanted
                if change.state == ENABLED and (change.weight is not None or self.before[change.name].state != ABSENT)
            },
            writes=any(change.alters(self.before[change.name]) for change in wanted),
            accept_errors=params["accept_errors"],
        )
        problems = unmet(self.where, balancer.provider, balancer.capabilities.as_dict(), asks)
        blind = [name for name in back if not self.before[name].checked]
        if blind and params["health"] == "fresh" and not problems:
            problems = [
                f"{self.where} has no health check for {', '.join(blind)}, so it cannot tell when they may take traffic. "
                "Add one to its configuration, or accept it with `health: none`."
            ]
        if problems:
            raise InvalidInput(" ".join([*problems, "Nothing was touched."]))

    def _wait_until_idle(self, leaving: list[Change]) -> None:
        if not leaving:
            return
        wanted = [change.name for change in leaving]
        deadline = Deadline(self.clock, self.params["drain_timeout"])
        if not self.balancer.capabilities.in_flight:
            self._wait_blindly(wanted)
            return
        took = self._watch(wanted, idle, POLLS_IN_A_ROW, deadline)
        busy = {
            member.name: member.in_flight
            for member in self.members
            if member.name in wanted and member.name not in took
        }
        if busy and self.params["on_drain_timeout"] == "cut":
            self.balancer.cut(self.pool, list(busy))
            ended = self._watch(busy, idle, POLLS_IN_A_ROW, Deadline(self.clock, AFTER_CUT))
            for name in ended:
                took[name] = round(deadline.elapsed, 3)
                self.waited[name] = {"cut": busy.pop(name)}
        if busy:
            still = ", ".join(f"{name}: {count}" for name, count in busy.items())
            cut = ", or end them with `on_drain_timeout: cut`" if self.balancer.capabilities.cut else ""
            raise TimedOut(
                f"{self.where}: after {deadline.elapsed:.1f} s there are still requests in flight ({still}). Allow more time with "
                f"`drain_timeout`{cut}.",
                in_flight=busy,
            )
        for name, seconds in took.items():
            self.waited.setdefault(name, {}).update({"for": "in flight 0", "seconds": seconds})

    def _settle(self, names: list[str]) -> None:
        if names:
            with self._alone():
                self.balancer.settle(self.pool, names)

    def _wait_blindly(self, names: list[str]) -> None:
        """Let as much time pass as every request surely needs, and see to it that the members stay out meanwhile."""
        seconds = self.params["drain_wait"]
        wait = Deadline(self.clock, seconds)
        self._watch(names, lambda member: wait.passed, 1, Deadline(self.clock, seconds + RESTART))
        for name in names:
            self.waited[name] = {"for": "drain_wait", "seconds": seconds}

    def _watch(
        self, names: Iterable[str], content: Callable[[Member], bool], in_a_row: int, deadline: Deadline
    ) -> dict[str, float]:
        took, self.members = self.watch.until(names, content, in_a_row, deadline, self.members, self._kept)
        return took

    def _return(self, arriving: list[Change]) -> None:
        """Members come back through drain, with a check begun now, at a warm-up weight, then at their own."""
        if not arriving:
            return
        names = [change.name for change in arriving]
        own = {change.name: self._own_weight(change) for change in arriving}
        steps = [step for step in self.params["warmup"] if step < 100]
        first = {name: self._step_weight(own[name], steps[0] if steps else 100) for name in names}
        fresh, by_check = self.params["health"] == "fresh", self.balancer.capabilities.returns_by_check
        if fresh and not by_check:
            self.distrusted = {name: Change(name, DRAINED, first[name]) for name in names}
            self._write([*self.distrusted.values()], distrust=True)
            self.standing.update(self.distrusted)
            self._wait_until_healthy(names)
        self._enable({name: first[name] for name in names}, distrust=fresh and by_check)
        if fresh and by_check:
            self._wait_until_healthy(names)
        for index, step in enumerate([*steps, 100] if steps else []):
            if index:
                self._enable({name: self._step_weight(own[name], step) for name in names}, only_weight=True)
            if step < 100:
                self.clock.sleep(self.params["warmup_step"])
                self._still_healthy(names)

    def _enable(self, weights: dict[str, int | None], only_weight: bool = False, distrust: bool = False) -> None:
        state = None if only_weight else ENABLED
        self._write([Change(name, state, weight) for name, weight in weights.items()], distrust=distrust)
        self.standing.update({name: Change(name, ENABLED, weight) for name, weight in weights.items()})
        self.distrusted = {}

    def _own_weight(self, change: Change) -> int:
        """What a member ends with: what is asked for, else what it had; a new one has what the balancer gave it."""
        if change.weight is not None:
            return change.weight
        before = self.before[change.name]
        if before.state != ABSENT:
            return before.weight
        return next(member.weight for member in self.members if member.name == change.name)

    def _step_weight(self, own: int, percent: int) -> int | None:
        weights = self.balancer.capabilities.weight_range
        return None if weights is None else own if percent >= 100 else warmup_weight(own, percent, weights)

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
        now = {change.name: absent(change.name) for change in wanted}
        now.update({member.name: member for member in members})
        return {
            "name": self.name,
            "pool": self.pool,
            "changed": any(change.alters(self.before[change.name]) for change in wanted),
            "available": guard.available(members),
            "reasserted": self.reasserted,
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
