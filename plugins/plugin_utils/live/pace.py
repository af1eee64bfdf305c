# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it has taken and how long it will, in words.  Pure."""

from __future__ import annotations

from .state import FORWARD, UNDO, Rollout


def lasted(seconds: float) -> str:
    """A length of time as a reader wants it: ``0.4 s``, ``12 s``, ``2 min 5 s``, ``1 h 4 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def running(seconds: float) -> str:
    """The same of something that goes on: whole seconds, so that it changes once a second."""
    return lasted(seconds) if seconds >= 60 else f"{int(seconds)} s"


def about(seconds: float) -> str:
    """An estimate, as coarse as it is: steps of five seconds, of half a minute from two minutes on, of minutes from ten on."""
    step = 5 if seconds < 120 else 30 if seconds < 600 else 60
    return f"about {running(max(step, round(seconds / step) * step))}"


def remaining(rollout: Rollout, now: float) -> float | None:
    """Seconds that the hosts to come will take at the pace of those that are done.

    Pace is hosts a second over the batches that have come to their end.  None before the first one has, and when it has ended.
    """
    finished = rollout.finished()
    hosts = sum(len(batch.hosts) for batch in finished)
    if not hosts or rollout.ended is not None:
        return None
    a_host = sum(batch.seconds(now) for batch in finished) / hosts
    left = a_host * (rollout.planned - rollout.reached)
    batch = rollout.batch
    if batch is not None and batch.kind in (FORWARD, UNDO):
        # What the batch under way has had of its time; however slow it is, what comes after it takes its own.
        left -= min(batch.seconds(now), a_host * len(batch.hosts))
    return left if left > 0 else None
