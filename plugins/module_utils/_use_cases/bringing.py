# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `pool_member` does on one balancer: members leave, wait until they are idle, and come back by way of a check."""

from __future__ import annotations

from typing import Any

from .._domain import guard
from .._domain.errors import TimedOut
from .._domain.members import ABSENT, DISABLED, DRAINED, ENABLED, Change, Member, absent, undo
from .._domain.needs import Asks
from .._domain.wishes import AS_BEFORE, Wish, changes, inherited_out, split, warmup_weight
from .leaving import check_delay, drain_first, finish_drain, settle, wait_until_idle
from .place import Place
from .returning import check_anew, checks, wait_until_healthy


class Bringing(Place):
    """Brings members of one pool into a state and to a weight."""

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
        with self.all_or_nothing():
            with self.alone():
                if not check_mode:
                    self.balancer.heal(self.pool)
                    self.take_over(wish.names)
                self.members = members = self.balancer.members(self.pool)
                seen = [*members, *self._not_there(wish, members)]
                self.before = {member.name: member for member in seen}
                wanted = changes(wish, seen, self.where, self.balancer.capabilities.weight_range)
                held_out = inherited_out(wish)
                leaving, arriving = split(wanted, seen, held_out)
                going = [change.name for change in leaving if change.state == ABSENT]
                coming = [change for change in wanted if self.before[change.name].state == ABSENT != change.state]
                # Who is to go is taken out first, like everybody else.
                leaving = [Change(c.name, DISABLED) if c.name in going else c for c in leaving]
                back = [change.name for change in wanted if change.state == ENABLED and change.name not in held_out]
                self.check_it_can(self._asks(wanted, leaving, arriving, bool(going or coming)), back)
                guard.check(self.where, members, leaving, self.params["min_available"])
                if check_mode:
                    return self._result(wanted, guard.after(seen, wanted))
                self._add(coming)
                altered = [change for change in leaving if change.alters(self.before[change.name])]
                check_delay(self, altered)
                drained = drain_first(self, altered)
                self.write([drained.get(change.name, change) for change in altered], guarded=True)
                self.standing = {change.name: drained.get(change.name, change) for change in leaving}
            finish_drain(self, [change for change in altered if change.name in drained])
            wait_until_idle(self, [change.name for change in leaving if change.state in (DRAINED, DISABLED)])
            settle(self, [change.name for change in leaving if change.state == DISABLED])
            self._return(arriving)
            self._see_healthy(back)
            self.members = self.kept(self.members)
            self._remove(going)
            now = {member.name: member for member in self.members}
            self.keep_beyond(
                undo(now[change.name])
                for change in leaving
                if change.state in (DRAINED, DISABLED) and change.name not in going
            )
            return self._result(wanted, self.members)

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
        with self.alone():
            self.balancer.remove(self.pool, names)
        self.standing = {name: change for name, change in self.standing.items() if name not in names}
        self.members = self.balancer.members(self.pool)

    def _asks(self, wanted: list[Change], leaving: list[Change], arriving: list[Change], membership: bool) -> Asks:
        params = self.params
        out = [change.state for change in leaving if change.state in (DRAINED, DISABLED)]
        return Asks(
            state=DRAINED if DRAINED in out else DISABLED if out else None,
            returns=any(change.state == ENABLED for change in wanted),
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

    def _return(self, arriving: list[Change]) -> None:
        """Members come back through drain, with a check begun now, at a warm-up weight, then at their own.

        A weight that no one asked for is not written: an agent may set it, and it would be lost at once.
        """
        if not arriving:
            return
        names = [change.name for change in arriving]
        own = {change.name: self._own_weight(change) for change in arriving}
        steps = [step for step in self.params["warmup"] if step < 100]
        asked = {change.name: change.weight for change in arriving}
        first = {name: self._step_weight(own[name], steps[0]) if steps else asked[name] for name in names}
        fresh, by_check = self.params["health"] == "fresh", self.balancer.capabilities.returns_by_check
        if fresh and not by_check:
            check_anew(self, [Change(name, DRAINED, first[name]) for name in names])
        self._enable({name: first[name] for name in names}, distrust=fresh and by_check)
        if fresh and by_check:
            wait_until_healthy(self, names)
        for index, step in enumerate([*steps, 100] if steps else []):
            if index:
                self._enable({name: self._step_weight(own[name], step) for name in names}, only_weight=True)
            if step < 100:
                self.clock.sleep(self.params["warmup_step"])
                self._still_healthy(names)

    def _enable(self, weights: dict[str, int | None], only_weight: bool = False, distrust: bool = False) -> None:
        state = None if only_weight else ENABLED
        self.write([Change(name, state, weight) for name, weight in weights.items()], distrust=distrust)
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

    def _see_healthy(self, names: list[str]) -> None:
        """What is enabled must be seen healthy, also when it was enabled all along."""
        if names and self.params["health"] == "fresh":
            wait_until_healthy(self, names, "health")

    def _still_healthy(self, names: list[str]) -> None:
        sick = [m for m in self.balancer.members(self.pool) if m.name in names and m.checked and not m.healthy]
        if sick and self.params["health"] == "fresh":
            raise TimedOut(
                f"{self.where}: during the warm-up the balancer's check stopped passing: {checks(sick)}.",
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
