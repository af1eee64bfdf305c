# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a balancer's count of what users got has grown by from one look to the next.  Pure."""

from __future__ import annotations

from typing import Any, Mapping

KINDS = ("requests", "errors", "broken", "unanswered", "left")


class ServedGrowth:
    """The growth from a reading to the next.

    :param before: `_domain.counters.Served` as a dictionary, as :meth:`take` returned it; None where this is the first look.
    :ivar requests, left: by how much they grew.
    :ivar unanswered: by how much those grew to whom nothing was said.
    :ivar errors, at_most: failures, the fewest and the most that there can have been: who was not answered may be among those whose
        answer broke off, or not.
    :ivar restarted: whether the counting has begun anew; what it has counted before this look is lost then.
    """

    def __init__(self, before: Mapping[str, Any] | None) -> None:
        self.requests = self.errors = self.at_most = self.unanswered = self.left = 0
        self.restarted = False
        self._before = before

    def take(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """Take in the next reading; what is to be handed on to the look after it."""
        if self._before is None:
            return dict(now)
        if now["since"] != self._before["since"] or now["requests"] < self._before["requests"]:
            self.restarted = True
            return dict(now)
        # A request that ends at the moment of a look may show as one that was not answered, and at the next look no more.
        last = {kind: max(now[kind], self._before[kind]) for kind in KINDS}
        more = {kind: last[kind] - self._before[kind] for kind in KINDS}
        self.errors = more["errors"] + max(more["broken"], more["unanswered"])
        self.at_most = more["errors"] + more["broken"] + more["unanswered"]
        self.requests, self.unanswered, self.left = max(more["requests"], self.errors), more["unanswered"], more["left"]
        return {**last, "since": now["since"]}
