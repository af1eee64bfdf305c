# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that leave: wait until nothing is in flight, end what is when that was chosen, and tell the balancer once they are idle."""

from __future__ import annotations

from .._clock import Deadline
from .._domain.errors import TimedOut
from .place import Place
from .watch import RESTART, idle

AFTER_CUT = 5.0  # seconds that cut connections have to end
POLLS_IN_A_ROW = 2  # a request may arrive between the write and the first look


def wait_until_idle(place: Place, names: list[str]) -> None:
    """Wait as `drain_timeout`, `on_drain_timeout` and `drain_wait` say; what was waited for is noted in the place.

    :raises TimedOut: when requests are still in flight at the deadline, with how many each member has.
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
        still = ", ".join(f"{name}: {count}" for name, count in busy.items())
        cut = ", or end them with `on_drain_timeout: cut`" if place.balancer.capabilities.cut else ""
        raise TimedOut(
            f"{place.where}: after {deadline.elapsed:.1f} s there are still requests in flight ({still}). Allow more time with "
            f"`drain_timeout`{cut}.",
            in_flight=busy,
        )
    for name, seconds in took.items():
        place.waited.setdefault(name, {}).update({"for": "in flight 0", "seconds": seconds})


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
