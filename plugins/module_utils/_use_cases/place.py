# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pool on one balancer while an operation has hold of it: write, keep what was written, wait, put back.  What the operation
is, a subclass says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, Sequence

from .._balancers.base import Balancer
from .._balancers.lock import only_writer
from .._clock import Clock, Deadline
from .._domain import guard
from .._domain.errors import DeployError, InvalidInput, Late, NotApplied
from .._domain.members import ABSENT, DISABLED, ENABLED, Change, Member, absent, undo
from .._domain.needs import Asks, unmet
from .._processes import leave_behind
from .fence import Fence, Fenced
from .hold import Hold
from .watch import Watch

REASSERTED = 5  # times that what a balancer has forgotten is written again before we give up


@contextmanager
def keepers(places: Sequence[Place]) -> Iterator[None]:
    """However what is done within ends, whoever is to be held at one of the places has a keeper afterwards."""
    try:
        yield
    finally:
        for place in places:
            if place.held:
                leave_behind(place.hold.keep)


class Place:
    """What every operation on a pool shares.

    :param entry: one of :func:`.registry.by_pool`.
    :param params: the options; those of `min_available`, `hold`, `lease`, and of waiting are read here and in what waits.
    :raises InvalidInput: `lease` is none.
    """

    def __init__(self, balancer: Balancer, entry: dict[str, Any], params: dict[str, Any], clock: Clock) -> None:
        self.name, self.params, self.clock = entry["name"], params, clock
        self.fence = Fence(params.get("lease"), clock)
        self.balancer = Fenced(balancer, self.fence) if params.get("lease") else balancer
        self.pool: str = entry["pool"][0]
        self.where = f"Balancer {balancer.name}, pool {self.pool}"
        self.hold = Hold(balancer, self.pool, clock)
        self.before: dict[str, Member] = {}
        # The pool as last read: one of a thousand members is not read more often than need be.
        self.members: list[Member] = []
        self.touched: list[str] = []
        self.waited: dict[str, dict[str, Any]] = {}
        self.standing: dict[str, Change] = {}  # what must stay as written while we wait
        self.written: dict[str, Member] = {}  # members as they were read back after their last write
        self.distrusted: dict[str, Change] = {}  # of these, what returns
        self.removed = False
        self.held: list[str] = []  # whom the keeper is to hold from now on
        self.reasserted = 0  # by us, or by who held them before
        self._running = ("", 0.0)
        self._released: dict[str, Any] = {}  # by who held it before
        self._watch = Watch(balancer, self.pool, clock)
        self._is_alone = False
        self._lost_here = 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else writes to this pool: what is written to a file must not lose what another task has written there."""
        if self._is_alone:
            yield
            return
        with only_writer(self.balancer.lock_name(), self.clock):
            self._is_alone = True
            try:
                yield
            finally:
                self._is_alone = False

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Whatever fails within, the members are as they were before, and the error says so."""
        try:
            yield
        except DeployError as error:
            if self.touched or self._released:
                self._after_failure(error)
            raise

    def take_over(self, names: Iterable[str]) -> None:
        """These members are held no longer by who held them before.  Called alone."""
        self._released = self.hold.let_go(names)
        self.reasserted = self._released.get("reasserted", 0)
        if self._forgetful:
            self._running = self.balancer.running()

    def write(self, wanted: list[Change], guarded: bool = False, distrust: bool = False) -> None:
        """Write, read back, and, where members may leave by it, count again.

        :raises Refused: when another writer has taken members out at the same moment.
        """
        if not wanted:
            return
        self.touched += [change.name for change in wanted if change.name not in self.touched]
        with self.alone():
            self.members = members = self.balancer.apply(self.pool, wanted, distrust)
        changed = {change.name for change in wanted}
        self.written.update({member.name: member for member in members if member.name in changed})
        if guarded:
            # The lock keeps out our own kind on this machine alone: count again what is really there.
            # A member that was just disabled shows no health any more, so what it was is taken from before.
            unwritten = [self.before[member.name] if member.name in changed else member for member in members]
            guard.check_written(self.where, unwritten, members, self.params["min_available"])

    def watch(
        self, names: Iterable[str], content: Callable[[Member], bool], in_a_row: int, deadline: Deadline
    ) -> dict[str, float]:
        """Poll until each of them has been `content` so often in a row; seconds that it took those that made it."""
        took, self.members = self._watch.until(names, content, in_a_row, deadline, self.members, self.kept)
        return took

    def kept(self, members: list[Member]) -> list[Member]:
        """What was written may be lost while we wait: a balancer that starts anew goes by its configuration.  Write it again.

        :raises NotApplied: when it does not stay, naming the members and what they are.
        """
        now = {member.name: member for member in members}
        lost = [change for change in self.standing.values() if change.name in now and change.alters(now[change.name])]
        if not lost:
            return members
        self._lost_here += 1
        self.reasserted += 1
        # Who is in traffic goes back there only by way of a check.
        strayed = any(change.state == ENABLED != now[change.name].own for change in lost)
        if strayed or self._lost_here > REASSERTED:
            found = ", ".join(f"{change.name}: {now[change.name].describe()}" for change in lost)
            raise NotApplied(
                f"{self.where}: what had been written is no longer there ({found}). Was the balancer restarted, "
                "or is there another controller? Run the task again."
            )
        distrust = [change for change in lost if change.name in self.distrusted]
        self.write([change for change in lost if change not in distrust])
        self.write(distrust, distrust=True)
        return self.members

    def check_it_can(self, asks: Asks, back: Iterable[str]) -> None:
        """Hold what is asked for against what the balancer can do and sees.

        :param back: who is to be in traffic, and must be seen healthy for that.
        :raises InvalidInput: naming the option that accepts what it lacks.
        """
        problems = unmet(self.where, self.balancer.provider, self.balancer.capabilities.as_dict(), asks)
        blind = [name for name in back if not self.before[name].checked]
        if blind and asks.health != "none" and not problems:
            problems = [
                f"{self.where} has no health check for {', '.join(blind)}, so it cannot tell when they may take traffic. "
                "Add one to its configuration, or accept it with `health: none`."
            ]
        if problems:
            raise InvalidInput(" ".join([*problems, "Nothing was touched."]))

    def keep_beyond(self, changes: Iterable[Change]) -> None:
        """For as long as `hold` says, even a balancer that is restarted and forgets keeps to these."""
        changes = list(changes)
        if not changes or not self._forgetful:
            return
        with self.alone():
            # The keeper is not told when the lease is renewed: it ends with the one that it knows.
            self.hold.add(changes, min(self.params["hold"], self.fence.left()), self._running)
        self.held = [change.name for change in changes]

    def put_back(self) -> None:
        """Undo what was written.

        :raises DeployError: when the balancer does not let us.
        """
        if not (self.touched or self.held or self._released):
            return
        with self.alone():
            if self.touched:
                self._put_back()
            if self.held:
                # Another balancer has failed meanwhile. A keeper would take them out again when this one is restarted.
                self.hold.let_go(self.held)
            self.held = list(self._released.get("members", ()))
            if self.held:
                self.hold.hold_again(self._released)

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
        # Where it is not one write: those that come back are in before the others are out.
        steps_back.sort(key=lambda change: change.state != ENABLED)
        if steps_back:
            self.balancer.apply(self.pool, steps_back)
        if new:
            self.balancer.remove(self.pool, new)

    def _after_failure(self, failure: DeployError) -> None:
        names = ", ".join(self.touched)
        if isinstance(failure, Late):
            if not names:
                return
            failure.message += f" What this task had written before is left as it is ({names})."
            failure.facts["changed"] = True
            return
        try:
            self.put_back()
        except DeployError as error:
            failure.message += f" What was written could NOT be put back ({names}): {error.message}"
            failure.facts["changed"] = True
        else:
            failure.message += f" The members are as they were before ({names})." if names else ""

    @property
    def _forgetful(self) -> bool:
        """Whether a restart would undo what is to be held."""
        return bool(self.params["hold"]) and not self.balancer.capabilities.survives_reload
