# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `traffic_split` does on one balancer, in two steps: make ready, so that nothing is left to wait for, and switch."""

from __future__ import annotations

from typing import Any, Sequence

from .._domain import guard
from .._domain.errors import InvalidInput, NotApplied
from .._domain.groups import percent
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, Change, Member, absent, undo
from .._domain.needs import Asks
from .._domain.share_limits import off_sentence
from .._domain.shares import given
from .._domain.splits import Split, back_to, hoped, is_checked_outside, split_into
from .._domain.tiers import deliverable_groups, split_tier, standby
from .leaving import drain_first, finish_drain, settle, wait_until_idle
from .place import Place
from .returning import check_anew, wait_until_healthy


class Splitting(Place):
    """Gives groups of members their shares of a pool's traffic.

    The steps are called one after the other, each at all balancers before the next at any: :meth:`make_ready`, :meth:`switch`,
    :meth:`finish`.  A step that fails leaves the members as they were before the first.
    """

    split: Split
    waiting: list[Change]  # for a check that passes, out of traffic
    seconds = 0.0
    draining: Sequence[Change] = ()  # to `disabled`, once they are idle
    still_drained: Sequence[str] = ()  # of these, who was not within the time for it

    def make_ready(self, check_mode: bool) -> None:
        """Read, compare, count; let those that arrive be checked where they get no new work.

        :raises DeployError: with what was last seen.
        """
        with self.all_or_nothing():
            with self.alone():
                if not check_mode:
                    self.balancer.heal(self.pool)
                self.members = self.balancer.members(self.pool)
                self.before = {member.name: member for member in self.members}
                self.split = self._worked_out()
                arriving = self.split.arriving(self.members)
                self.check_it_can(self._asks(arriving), [change.name for change in arriving])
                self.waiting = [Change(c.name, DRAINED, c.weight) for c in self._to_be_checked(arriving)]
                self._guard()
                if check_mode:
                    return
                self.take_over([change.name for change in self._brought])
            if self.waiting:
                check_anew(self, self.waiting)

    def switch(self, decided: float) -> None:
        """Write it, all at once where the balancer can.

        :param decided: when the last of all balancers was ready, by the clock.
        :raises DeployError: with what was last seen.
        """
        with self.all_or_nothing():
            if self.waiting:  # other balancers may have been waited for meanwhile, and this one been restarted
                self.members = self.kept(self.balancer.members(self.pool))
                wait_until_healthy(self, [change.name for change in self.waiting])
            if self.balancer.capabilities.returns_by_check:
                self._let_in_by_check()
            with self.alone():
                self.members = self.balancer.members(self.pool)
                self._see_all_there()
                self._guard()
                altered = self.split.altering(self.members)
                drained = drain_first(self, altered)
                self.write([drained.get(change.name, change) for change in altered], guarded=True)
            self.distrusted = {}
            self.standing = {change.name: drained.get(change.name, change) for change in self.split.wanted}
            self.draining = [change for change in altered if change.name in drained]
            self.seconds = round(self.clock.monotonic() - decided, 3)

    def finish(self) -> None:
        """Wait for those that have left, if that was asked for; keep what was written beyond a restart."""
        with self.all_or_nothing():
            self.still_drained = finish_drain(self, self.draining, must_end=self.params["wait"])
            if self.params["wait"] and not self.params["prepare"]:
                wait_until_idle(self, self.split.out())
                settle(self, self.split.out(DISABLED))
                self.members = self.kept(self.members)
            now = {member.name: member for member in self.members}
            self.keep_beyond(undo(now[c.name], self._weighs) for c in self._brought if c.name in now)

    def result(self, check_mode: bool = False) -> dict[str, Any]:
        """What became of it; in check mode, what would."""
        members = self.members
        if check_mode:
            members = guard.after(hoped(members, self.split, self._checks), self._brought)
        now = {name: absent(name) for name in self.before}  # unless it is still there
        now.update({member.name: member for member in members})
        wanted = {change.name for change in self.split.wanted}
        group_of = {name: group.name for group in self.split.groups for name in group.members or ()}
        weights = {name: member.weight for name, member in now.items() if member.state == ENABLED}
        return {
            "name": self.name,
            "pool": self.pool,
            "changed": any(_differs(now[change.name], self.before[change.name]) for change in self.split.wanted),
            "available": guard.available(members),
            "reasserted": self.reasserted,
            "seconds": self.seconds,
            "shares": {name: percent(share) for name, share in given(self.split.groups, weights).items()},
            "weights": weights,
            "warnings": self._warnings(now),
            "members": [
                {
                    "name": name,
                    "group": group_of.get(name, ""),
                    "before": member.as_dict(),
                    "after": now[name].as_dict(),
                    "waited": self.waited.get(name, {}),
                }
                for name, member in self.before.items()
                if name in wanted
            ],
        }

    @property
    def _brought(self) -> list[Change]:
        """What this task brings about: the split, or what makes ready for it."""
        return self.waiting if self.params["prepare"] else self.split.wanted

    @property
    def _weighs(self) -> bool:
        return self.balancer.capabilities.weight_range is not None

    @property
    def _checks(self) -> bool:
        """Whether nobody arrives without a check that passes."""
        return bool(self.params["health"] != "none")

    def _worked_out(self) -> Split:
        weight_range = self.balancer.capabilities.weight_range
        if self.params["groups"] is None:
            before = self.params["before"].get(self.name)
            if not isinstance(before, dict):
                raise InvalidInput(
                    f"{self.where}: `before` says nothing of this balancer, so there is nothing to go back to. Nothing was touched."
                )
            return back_to(before, self.members, self.where, weight_range, self.balancer.capabilities.sticky_drain)
        groups = deliverable_groups(self.params["groups"], self.members, self.where)
        return split_into(groups, self.members, self.params["leave"], weight_range)

    def _asks(self, arriving: list[Change]) -> Asks:
        params = self.params
        out = [change for change in self.split.altering(self.members) if change.state != ENABLED]
        return Asks(
            state=None if not out else DRAINED if any(change.state == DRAINED for change in out) else DISABLED,
            returns=bool(arriving),
            health=params["health"],
            waits=params["wait"],
            drain_wait=params["drain_wait"],
            on_drain_timeout=params["on_drain_timeout"],
            writes=bool(self.split.altering(self.members)),
            accept_errors=params["accept_errors"],
            groups=tuple(self.split.groups),
            tolerance=params["tolerance"],
        )

    def _to_be_checked(self, arriving: list[Change]) -> list[Change]:
        """Who is to pass a check before the switch."""
        can = self.balancer.capabilities
        if not self._checks or can.returns_by_check:
            return []
        if self.params["health"] == "fresh":
            return arriving
        unknown = [change for change in arriving if not is_checked_outside(self.before[change.name])]
        if unknown and not can.fresh_health:
            names = ", ".join(change.name for change in unknown)
            raise InvalidInput(
                f"{self.where}: provider {self.balancer.provider} has not seen {names} healthy outside of the traffic, and cannot be made "
                "to check anew. Accept that with `health: none`. Nothing was touched."
            )
        return unknown

    def _guard(self) -> None:
        members = hoped(self.members, self.split, self._checks)
        guard.check(self.where, members, self.split.wanted, self.params["min_available"])

    def _see_all_there(self) -> None:
        gone = {change.name for change in self.split.wanted}.difference(member.name for member in self.members)
        if gone:
            raise NotApplied(
                f"{self.where} no longer has {', '.join(sorted(gone))}. Was its configuration changed meanwhile?"
            )

    def _let_in_by_check(self) -> None:
        """Where a check alone lets members in, they are in, and seen healthy, before others leave."""
        arriving = self.split.arriving(self.members)
        self.write(arriving, distrust=self._checks)
        if arriving and self._checks:
            wait_until_healthy(self, [change.name for change in arriving])

    def _warnings(self, now: dict[str, Member]) -> list[str]:
        if not self.split.groups:
            return []
        said = [off_sentence(self.where, self.split.groups, self.split.weights(), self.params["tolerance"])]
        for group in self.split.groups:
            down = [name for name in group.members or () if now[name].state == ENABLED and now[name].health == DOWN]
            if down:
                said.append(
                    f"{self.where}: {', '.join(down)} of {group.name} is down, so the share of {group.name} is less."
                )
        grouped = {name for group in self.split.groups for name in group.members or ()}
        if self.still_drained:
            said.append(
                f"{self.where}: {', '.join(self.still_drained)} still has requests, which to disable would end, and stays drained. Run the "
                "task again, or with `wait: true`."
            )
        unshared = [name for name in standby(now.values(), split_tier(self.split.groups, [*now.values()])) if name not in grouped]
        if unshared:
            said.append(
                f"{self.where}: the shares are those of the members that carry the traffic; {', '.join(unshared)} stays standby."
            )
        return [sentence for sentence in said if sentence]


def _differs(one: Member, other: Member) -> bool:
    return (one.state, one.weight) != (other.state, other.weight)
