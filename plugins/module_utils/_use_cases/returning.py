# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that come back: a check of the balancer's own comes first."""

from __future__ import annotations

from typing import Iterable

from .._clock import Deadline
from .._domain.errors import TimedOut
from .._domain.members import Change, Member
from .place import Place
from .watch import healthy


def check_anew(place: Place, waiting: Iterable[Change]) -> None:
    """Bring members where their balancer checks them and sends them no new work, and wait until a check begun now has passed.

    :param waiting: what they are until then: drained, at the weight that they are to have.
    """
    place.distrusted = {change.name: change for change in waiting}
    place.write([*place.distrusted.values()], distrust=True)
    place.standing.update(place.distrusted)
    wait_until_healthy(place, list(place.distrusted))


def wait_until_healthy(place: Place, names: list[str], what: str = "fresh health") -> None:
    """Wait until the balancer's check is content with each of them; what was waited for is noted in the place.

    :raises TimedOut: after `health_timeout`, with what the check last saw.
    """
    deadline = Deadline(place.clock, place.params["health_timeout"])
    took = place.watch(names, healthy, 1, deadline)
    late = set(names).difference(took)
    sick = [member for member in place.members if member.name in late]
    if sick:
        raise TimedOut(
            f"{place.where}: after {deadline.elapsed:.1f} s the balancer's own check does not pass: {checks(sick)}. Look at the "
            "service on these hosts and at what the check asks for; allow more time with `health_timeout`.",
            unhealthy=[member.name for member in sick],
        )
    for name, seconds in took.items():
        place.waited.setdefault(name, {"for": what, "seconds": seconds})


def checks(members: list[Member]) -> str:
    """What their checks last saw, for messages."""
    return "; ".join(f"{m.name} is {m.health} ({m.last_check or 'no check has ended yet'})" for m in members)
