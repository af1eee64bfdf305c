# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when the owner of a lease may write, and on whose clock.

The lease expires by the clock of the host that keeps it.  No two clocks are compared to know when that is:

- The controller reads its own clock *before* it asks for the lease or for its renewal.  The lease is good from a later moment on, so
  that what the controller counts from its reading ends before the lease does, however wrong both clocks are.
- It stops earlier still: a file keeps the expiry in whole seconds, cut off, and a write that was begun in time has to end in time.
- A host that is to write is asked for its own clock by the controller, right before a module goes there, and what is left is counted
  from that reading, as if it had come at the latest moment at which it can have come.  So the module knows a point in time of its own
  host's clock, and it does not matter where on the way the controller was stopped.

Two clocks of one machine are read each time: the time of day, and the seconds since its boot.  Whichever comes first to the end
counts, because the first can be set back, and the second may not be there.
"""

from __future__ import annotations

import math
from typing import Any, Dict, NamedTuple, Optional

from .errors import InvalidInput, Late

ROUNDING = 1.0  # seconds by which an expiry that was cut off is early
IN_TIME = 0.9  # of the time of the lease, within which a write may begin

Lease = Dict[str, Any]


class Reading(NamedTuple):
    """What a machine's clocks say: seconds since 1970, and since its boot (with those in which it slept), None where it does not tell."""

    now: float
    running: Optional[float] = None

    def later(self, seconds: float) -> "Reading":
        """So many seconds after this one."""
        return Reading(self.now + seconds, None if self.running is None else self.running + seconds)


def usable(ttl: float) -> float:
    """For how many seconds a lease of `ttl` seconds may be written under; 0 when it is too short for anything."""
    return max(0.0, ttl * IN_TIME - ROUNDING)


def held(lease: Lease, asked: Reading) -> Lease:
    """The lease with ``until`` and ``until_running``, when its owner must have stopped writing.

    :param lease: as the module ``rollout`` returns it: ``ttl`` in seconds is read.
    :param asked: the controller's clocks before it asked for it.
    """
    end = asked.later(usable(lease["ttl"]))
    return dict(lease, until=end.now, until_running=end.running)


def moved(lease: Lease, here: Reading, there: Reading) -> Lease:
    """The lease by another machine's clocks.

    :param here: this machine's clocks, read *after* the other's.
    :param there: the other's.
    """
    end = there.later(left(lease, here))
    return dict(lease, until=end.now, until_running=end.running)


def left(lease: Lease, reading: Reading) -> float:
    """Seconds for which may be written; negative when it is over.

    :raises InvalidInput: `lease` is not what the module ``rollout`` returned.
    """
    until, running = _number(lease.get("until")), _number(lease.get("until_running"))
    if until is None:
        raise InvalidInput(
            "`lease` says nothing of when it ends: expected what zero_downtime.deploy.rollout returned as `lease` for begin or record, "
            "found %s. Nothing was touched." % (", ".join(sorted(str(key) for key in lease)) or "nothing")
        )
    rest = until - reading.now
    if running is not None and reading.running is not None:
        rest = min(rest, running - reading.running)
    return rest


def wanes(lease: Lease, reading: Reading) -> bool:
    """Whether less than half of the time is left, so that it is to be renewed before anything that takes time is begun."""
    ttl = _number(lease.get("ttl")) or 0.0
    return left(lease, reading) < usable(ttl) / 2


def demand(lease: Lease, reading: Reading, where: str) -> None:
    """Pass as long as may be written under the lease.

    :param where: what is about to be written to, as a sentence begins.
    :raises Late: it is over.
    """
    rest = left(lease, reading)
    if rest > 0:
        return
    raise Late("%s: nothing is written any more. %s %s" % (where, over(lease, rest), ADVICE))


ADVICE = "Look at the service with the playbook status, then run the same command again."


def over(lease: Lease, rest: float) -> str:
    """That the lease is over, in a sentence.

    :param rest: of :func:`left`.
    """
    return (
        "This run may no longer write under the lease of service %s (rollout %s, fencing number %s): it was not renewed in time, "
        "which ended %.0f s ago. It was stopped, or a step took longer than rollout_lease_ttl (%s s), and another controller may be "
        "at work by now."
        % (lease.get("service"), lease.get("rollout"), lease.get("fence"), max(0.0, -rest), lease.get("ttl"))
    )


def newest(leases: Any, service: str) -> Lease:
    """Of what several tasks have returned the lease that counts: the highest fencing number, then the last renewal.

    :param leases: dicts, and anything else, which is passed over.
    :param service: others' are passed over.
    :return: an empty dict when there is none.
    """
    ours = [each for each in leases if isinstance(each, dict) and each.get("service") == service]
    known = [each for each in ours if _number(each.get("until")) is not None]
    return dict(max(known, key=lambda each: (each.get("fence") or 0, float(each["until"])), default={}))


def _number(value: Any) -> Optional[float]:
    """What a template may have made text of."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
