# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that prints the figures of a group."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List

from .._balancers import programs
from .._domain.errors import InvalidInput, Unreachable
from .._domain.metrics import ERRORS
from .source import Groups, Reading, Source, counts_of, shortened, values_of


class Command(Source):
    """Runs for each group at each look, both at once; it is told the group in JSON on its standard input.

    It prints ``{"requests": …, "errors": …}``, totals that go on growing, or ``{"samples": […]}``, those that are new since it
    was asked before.

    :param timeout: seconds that it may take.
    """

    def __init__(self, words: List[str], kind: str, timeout: float, whole: bool = False) -> None:
        self._words, self._kind, self._timeout = words, kind, timeout
        self.whole = self.newcomers = whole

    def read(self, groups: Groups, elapsed: float) -> Dict[str, Reading]:
        """See :class:`Source`."""

        def ask(group: str) -> Reading:
            told = {"group": group, "members": list(groups[group]), "elapsed": round(elapsed, 3)}
            return self._reading(group, json.dumps(told) + "\n")

        with ThreadPoolExecutor(max_workers=len(groups)) as pool:
            return dict(zip(groups, pool.map(ask, groups)))

    def _reading(self, group: str, told: str) -> Reading:
        ended = programs.run(self._words, self._timeout, told, "where the analysis runs")
        called = f"`{' '.join(self._words)}`, asked for the {group}"
        if ended.rc:
            raise Unreachable(f"{called}, ended with {ended.rc}: {ended.said or 'it said nothing'}")
        try:
            found: Any = json.loads(ended.output)
        except (ValueError, RecursionError):
            raise InvalidInput(f"{called}, printed no JSON: {shortened(ended.output)}.") from None
        if self._kind == ERRORS:
            return Reading(counters={"command": counts_of(found, called)})
        return Reading(values=values_of(found.get("samples") if isinstance(found, dict) else found, called))
