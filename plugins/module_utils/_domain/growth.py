# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counters have grown by, whatever happens to who counts.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Mapping

from .proportions import Counts


@dataclass(frozen=True)
class Counter:
    """A reading of one counter.

    :param requests, errors: totals; floating, as some sources have them.
    :param since: another text when the count was begun anew; may be empty.
    """

    requests: float
    errors: float
    since: str = ""

    def goes_on_from(self, before: Counter) -> bool:
        """Whether it is the same count, later.

        Errors that have become fewer are those of a new count where nothing else would tell; else their number was not yet final, as
        HAProxy's is not while answers are being sent.
        """
        return (
            self.since == before.since
            and self.requests >= before.requests
            and (bool(self.since) or self.errors >= before.errors)
        )


class Growth:
    """Adds up what several counters have grown by since the first reading.

    :param from_zero: the first reading counts in full; else it is what growth is measured from.
    :param newcomers: a counter that turns up later counts in full; else its first reading is what growth is measured from.
    """

    def __init__(self, from_zero: bool = False, newcomers: bool = False) -> None:
        self.requests = self.errors = 0.0
        self.restarts = 0
        self._newcomers = newcomers
        self._last: Dict[str, Counter] | None = {} if from_zero else None

    def take(self, counters: Mapping[str, Counter]) -> None:
        """Take in the next reading; counters that are missing in it are waited for."""
        if self._last is None:
            self._last = dict(counters)
            return
        for name, counter in counters.items():
            before = self._last.get(name)
            if before is None:
                before = Counter(0, 0) if self._newcomers else counter
            elif counter.goes_on_from(before):
                counter = replace(counter, errors=max(counter.errors, before.errors))
            else:
                # What it counted in between cannot be told from what it counted for somebody else.
                self.restarts += 1
                before = counter
            self._last[name] = counter
            self.requests += counter.requests - before.requests
            self.errors += counter.errors - before.errors

    @property
    def last(self) -> Dict[str, Counter]:
        """The last reading of each counter, with the most errors that its count has had: what the next growth is measured from."""
        return dict(self._last or {})

    @property
    def counts(self) -> Counts:
        """In whole numbers; never more errors than requests: a request may fail long after it was counted."""
        errors = round(self.errors)
        return Counts(max(round(self.requests), errors), errors)
