# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that come back: a check of the balancer's own comes first."""

from __future__ import annotations

from typing import Collection, Iterable

from .._clock import Deadline
from .._domain.errors import TimedOut
from .._domain.members import DISABLED, Change, Member
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
    late = _late(place, names, took)
    if late and all(_is_passing(member) for member in late):
        # A check that has passed once of the times that it must is not failing: it needs the time that its interval takes.
        more = place.watch([member.name for member in late], healthy, 1, Deadline(place.clock, place.params["health_timeout"]))
        took.update({name: round(deadline.elapsed, 3) for name in more})
        late = _late(place, names, took)
    if late:
        raise TimedOut(_too_late(place, late, deadline.elapsed), unhealthy=[member.name for member in late])
    for name, seconds in took.items():
        place.waited.setdefault(name, {"for": what, "seconds": seconds})


def _late(place: Place, names: list[str], took: Collection[str]) -> list[Member]:
    return [member for member in place.members if member.name in names and member.name not in took]


def _is_passing(member: Member) -> bool:
    return member.check_progress is not None and 0 < member.check_progress[0] < member.check_progress[1]


def _too_late(place: Place, late: list[Member], seconds: float) -> str:
    began = f"{place.where}: after {seconds:.1f} s"
    more = "allow more time with `health_timeout` (`traffic_health_timeout` in the roles)"
    held = [member for member in late if member.state != member.own and member.own != DISABLED]
    if held:
        found = "; ".join(
            f"{m.name} is {m.state}{f' ({m.last_check})' if m.last_check else ''} and its own state is {m.own}" for m in held
        )
        return (
            f"{began} something else holds members out of traffic: {found}. That is a tracked server, name resolution, an agent, or the "
            f"balancer's configuration. Bring that back first; {more}."
        )
    if all(_is_passing(member) for member in late):
        return f"{began} the balancer's own check passes, and has not passed often enough: {checks(late)}. Check more often, or {more}."
    return (
        f"{began} the balancer's own check does not pass: {checks(late)}. Look at the service on these hosts and at what the check asks "
        f"for; {more}."
    )


def checks(members: list[Member]) -> str:
    """What their checks last saw, for messages."""
    return "; ".join(f"{m.name} is {m.health}{_passed(m)} ({m.last_check or 'no check has ended yet'})" for m in members)


def _passed(member: Member) -> str:
    return f", its check has passed {member.check_progress[0]} of {member.check_progress[1]} times" if member.check_progress else ""
