# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that leave: wait until nothing is in flight, end what is when that was chosen, and tell the balancer once they are idle."""

from __future__ import annotations

from typing import Iterable, Sequence

from .._clock import Deadline
from .._domain.errors import InvalidInput, NotApplied, TimedOut
from .._domain.members import DISABLED, DRAINED, ENABLED, Change, Member
from .place import Place
from .watch import RESTART, idle

AFTER_CUT = 5.0  # seconds that cut connections have to end
POLLS_IN_A_ROW = 2  # a request may arrive between the write and the first look
# Seconds that a member is drained before it is disabled where it is not known whether that would end its requests.
UNSURE = 10.0
# Looks that must each find more requests than the one before, a moment apart, before a member that is out is said to get some.
STILL_ARRIVING = 3


def check_delay(place: Place, changes: Iterable[Change]) -> None:
    """Refuse a drain that cannot end in time, by the balancer's own configuration.

    :raises InvalidInput: with both numbers, before anything is written.
    """
    out = [change for change in changes if change.state in (DRAINED, DISABLED)]
    if not out or not place.balancer.delays_leaving or not place.balancer.capabilities.in_flight:
        return
    timing = place.balancer.timing(place.pool)
    if timing.leave is not None and timing.leave > place.params["drain_timeout"]:
        raise InvalidInput(
            f"{place.where}: a member that leaves is busy for {timing.leave:g} s by the balancer's own configuration "
            f"({timing.source}), and `drain_timeout` is {place.params['drain_timeout']:g} s. Set it to more than {timing.leave:g}, or "
            "lower the balancer's delay. Nothing was touched."
        )


def drain_first(place: Place, changes: Iterable[Change]) -> dict[str, Change]:
    """Return what to write first for members that leave, by name, where `disabled` itself would end their requests.

    A balancer that cannot drain, or that is known to let requests end, has none.
    """
    can = place.balancer.capabilities
    serving = [c for c in changes if c.state == DISABLED and place.before[c.name].own == ENABLED]
    if not serving or not can.sticky_drain or not can.in_flight or place.balancer.drains_first(place.pool) is False:
        return {}
    return {change.name: Change(change.name, DRAINED, change.weight) for change in serving}


def finish_drain(place: Place, changes: Sequence[Change], must_end: bool = True) -> list[str]:
    """Wait until drained members are idle, then disable them; return those that stay drained.

    Where it is not known that to disable them would end their requests the wait is short: clients that are bound to a member keep it
    busy, and it is disabled all the same.

    :param changes: to `disabled`, of members that :func:`drain_first` drained.
    :param must_end: whether all of them must be disabled in the end, or a busy one may stay drained after the short wait.
    :raises TimedOut: see :func:`wait_until_idle`.
    """
    if not changes:
        return []
    names = [change.name for change in changes]
    known = bool(place.balancer.drains_first(place.pool))
    idle_ones = set(names)
    if known and must_end:
        wait_until_idle(place, names)
    else:
        deadline = Deadline(place.clock, min(UNSURE, place.params["drain_timeout"]))
        took = place.watch(names, idle, POLLS_IN_A_ROW, deadline)
        idle_ones = set(took) if known else idle_ones
    ready = [change for change in changes if change.name in idle_ones]
    place.write(ready)
    place.standing.update({change.name: change for change in ready})
    return [name for name in names if name not in idle_ones]


def wait_until_idle(place: Place, names: list[str]) -> None:
    """Wait as `drain_timeout`, `on_drain_timeout` and `drain_wait` say; what was waited for is noted in the place.

    :raises TimedOut: when requests are still in flight at the deadline, with how many each member has.
    :raises NotApplied: when a disabled member still gets requests.
    """
    if not names:
        return
    if not place.balancer.capabilities.in_flight:
        _wait_blindly(place, names)
        return
    deadline = Deadline(place.clock, place.params["drain_timeout"])
    took = place.watch(names, idle, POLLS_IN_A_ROW, deadline)
    busy = {
        member.name: member.in_flight for member in place.members if member.name in names and member.name not in took
    }
    if busy and place.params["on_drain_timeout"] == "cut":
        place.balancer.cut(place.pool, list(busy))
        ended = place.watch(busy, idle, POLLS_IN_A_ROW, Deadline(place.clock, AFTER_CUT))
        for name in ended:
            took[name] = round(deadline.elapsed, 3)
            place.waited[name] = {"cut": busy.pop(name)}
    if busy:
        still = ", ".join(f"{name}: {'not known' if count is None else count}" for name, count in busy.items())
        cut = ", or end them with `on_drain_timeout: cut`" if place.balancer.capabilities.cut else ""
        own = place.balancer.busy_sentence(place.pool, busy)
        raise TimedOut(
            f"{place.where}: after {deadline.elapsed:.1f} s there are still requests in flight ({still}). {own + ' ' if own else ''}"
            f"Allow more time with `drain_timeout`{cut}.",
            in_flight=busy,
        )
    _see_none_arrive(place, names)
    for name, seconds in took.items():
        place.waited.setdefault(name, {}).update({"for": "in flight 0", "seconds": seconds})


def _see_none_arrive(place: Place, names: list[str]) -> None:
    """Hold the count of requests that disabled members have been given against the one at their write.

    A request that was queued at the write may be counted a moment later, so that one larger count proves nothing.

    :raises NotApplied: a member's count keeps growing: what was written is not in effect, or the balancer makes exceptions to it.
    """
    counts = {
        name: member.requests for name, member in place.written.items() if name in names and member.state == DISABLED
    }

    def growing(members: Iterable[Member]) -> dict[str, int]:
        return {
            m.name: m.requests
            for m in members
            if m.requests is not None and counts.get(m.name) is not None and m.requests > (counts[m.name] or 0)
        }

    grown = growing(place.members)
    for _look in range(STILL_ARRIVING):
        if not grown:
            return
        counts = dict(grown)
        place.clock.sleep(place.balancer.pace.longest)
        place.members = place.balancer.members(place.pool)
        grown = growing(place.members)
    if grown:
        since = ", ".join(f"{name}: {count - (place.written[name].requests or 0)}" for name, count in grown.items())
        raise NotApplied(
            f"{place.where}: disabled members still get requests ({since} since they were disabled). The balancer makes an exception "
            "for some clients (HAProxy: `option persist`, `force-persist`), or another process of it serves them. Remove the exception, "
            "and run the task again."
        )


def _wait_blindly(place: Place, names: list[str]) -> None:
    """Let as much time pass as every request surely needs, and see to it that the members stay out meanwhile."""
    seconds = place.params["drain_wait"]
    wait = Deadline(place.clock, seconds)
    place.watch(names, lambda member: wait.passed, 1, Deadline(place.clock, seconds + RESTART))
    for name in names:
        place.waited[name] = {"for": "drain_wait", "seconds": seconds}


def settle(place: Place, names: list[str]) -> None:
    """Tell the balancer that these, which are disabled, are idle now."""
    if names:
        with place.alone():
            place.balancer.settle(place.pool, names)
