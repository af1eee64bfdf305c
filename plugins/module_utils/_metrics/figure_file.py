# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file with the figures of both groups, complete already or appended to while we watch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

from .._domain.errors import InvalidInput, Unreachable
from .._domain.growth import Counter
from .._domain.metrics import ERRORS
from .source import Groups, Reading, Source, counts_of, shortened, values_of

LARGEST = 64 * 1024 * 1024  # bytes


class FigureFile(Source):
    """JSON, ``{"canary": …, "baseline": …}``, or lines of JSON, each with its ``group``.

    What stands for a group is ``{"requests": …, "errors": …}`` or a list of samples; a line has ``requests`` and ``errors``,
    which are added up, or ``value`` or ``samples``.  All of it counts, what stood there before the watch too.
    """

    whole = newcomers = True

    def __init__(self, path: str, kind: str) -> None:
        self._path, self._kind = path, kind
        self._given: Dict[str, int] = {}

    def read(self, groups: Groups, elapsed: float) -> Dict[str, Reading]:
        """See :class:`Source`."""
        del elapsed
        found: Dict[str, List[Any]] = {group: [] for group in groups}
        for group, figures in self._entries(self._text()):
            if group in found:
                found[group].append(figures)
        return {group: self._reading(group, entries) for group, entries in found.items()}

    def _reading(self, group: str, entries: List[Any]) -> Reading:
        where = f"{self._path}, {group}"
        if self._kind == ERRORS:
            counts = [counts_of(entry, where) for entry in entries]
            totals = Counter(sum(each.requests for each in counts), sum(each.errors for each in counts))
            return Reading(counters={"file": totals} if counts else {})
        values = [value for entry in entries for value in values_of(_samples(entry), where)]
        given = self._given.get(group, 0)
        if len(values) < given:
            raise Unreachable(
                f"{self._path} has fewer samples of the {group} than before ({len(values)} instead of {given})."
            )
        self._given[group] = len(values)
        return Reading(values=values[given:])

    def _text(self) -> str:
        try:
            with Path(self._path).open("rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            raise Unreachable(f"{self._path} cannot be read: {error.strerror}.") from None
        if len(data) > LARGEST:
            raise InvalidInput(f"{self._path} is larger than {LARGEST // 1024 // 1024} MB.")
        return data.decode("utf-8", "replace")

    def _entries(self, text: str) -> Iterator[tuple[str, Any]]:
        """Each group with something that is said of it."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and "group" not in document:
            yield from document.items()
            return
        lines = text.splitlines()
        if text and not text.endswith("\n") and document is None:
            lines.pop()  # somebody is writing it
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield self._entry(line, number)

    def _entry(self, line: str, number: int) -> tuple[str, Any]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict) or not isinstance(entry.get("group"), str):
            raise InvalidInput(
                f"{self._path}, line {number}: expected JSON with a `group`, or a file that is one JSON text "
                f"with `canary` and `baseline`, found {shortened(line)}."
            )
        return entry["group"], entry


def _samples(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    return [entry["value"]] if "value" in entry else entry.get("samples")
