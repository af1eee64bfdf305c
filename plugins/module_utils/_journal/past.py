# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the history keeps of a journal, as :mod:`.._domain.history` reads it.  Pure.

Figures of what users felt stand in the journal's ``summary``, all of them optional: ``felt``, ``decided``, ``undone`` and ``committed``.
A journal of an older version has none, and one that somebody has mended by hand may have anything there: what is no number is
taken as not known.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional

from .journal import Journal, finished
from .times import epoch

LARGEST = 1e15  # of a usable number
# Events of a rollout that has touched nothing yet. Whatever else is there, a word that is not known here included, counts as touching.
_HARMLESS = ("planned", "paused", "approved", "halted")


def pasts(journals: List[Journal]) -> List[Dict[str, Any]]:
    """The ``past`` of each of the `journals` that has ended, in their order."""
    found = [past_of(journal) for journal in journals]
    return [past for past in found if past is not None]


def past_of(journal: Journal) -> Optional[Dict[str, Any]]:
    """A journal's ``past``; None as long as it has not ended, or when its times are none.

    Times of the journal itself are whole seconds.
    """
    if not finished(journal):
        return None
    try:
        began, ended = float(epoch(journal["begun"])), float(epoch(journal["finished"]))
    except (TypeError, ValueError):
        return None
    summary = journal["summary"]
    return {
        "id": journal["id"],
        "service": journal["service"],
        "version": journal["version"],
        "strategy": journal["strategy"],
        "outcome": journal["outcome"],
        "began": began,
        "ended": ended,
        "decided": _number(summary.get("decided")),
        "undone": _number(summary.get("undone")),
        "committed": _number(summary.get("committed")),
        "touched": touched(journal),
        "felt": felt_of(summary.get("felt")),
    }


def touched(journal: Journal) -> bool:
    """Whether any host or balancer may have been touched."""
    begun: Counter[str] = Counter()  # a batch that is refused was written down as begun before
    for event in journal["events"]:
        if event["event"] == "batch_begun":
            begun.update(event["hosts"])
        elif event["event"] == "batch_refused":
            begun.subtract(event["hosts"])
        elif event["event"] not in _HARMLESS:
            return True
    return any(count > 0 for count in begun.values())


def felt_of(found: Any) -> Optional[Dict[str, Any]]:
    """The figures of a probe that the history keeps; None without a probe."""
    if not isinstance(found, dict):
        return None
    requests, failed = _number(found.get("requests")), _number(found.get("failed"))
    if requests is None or failed is None:
        return None
    return {
        "requests": int(requests),
        "failed": int(failed),
        "disturbance": _number(found.get("disturbance")) or 0.0,
        "first_failure": _number(found.get("first_failure")),
        "last_failure": _number(found.get("last_failure")),
    }


def _number(value: Any) -> Optional[float]:
    # Not a number is neither; and neither is an integer beyond all floats.
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LARGEST else None
