# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One operation on several balancers: all of it, or none of it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Sequence, TypeVar

from .._domain.errors import DeployError
from .._domain.sentences import ended

Place = TypeVar("Place")
Result = TypeVar("Result")


def side_by_side(places: Sequence[Place], work: Callable[[Place], Result]) -> list[Result | DeployError]:
    """Do `work` at every place at the same time; errors of ours come back as values, in place."""

    def attempt(place: Place) -> Result | DeployError:
        try:
            return work(place)
        except DeployError as error:
            return error

    if len(places) == 1:
        return [attempt(places[0])]
    with ThreadPoolExecutor(max_workers=min(32, len(places))) as pool:
        return list(pool.map(attempt, places))


def all_or_none(
    names: Sequence[str],
    outcomes: Sequence[Result | DeployError],
    put_back: Callable[[int], None] | None = None,
) -> list[Result]:
    """The results, when every place succeeded; otherwise put back what did, and raise.

    :param names: of the balancers, one for each outcome.
    :param put_back: undoes the outcome of that index; may raise a DeployError, which is told beside the first.
        None where nothing was written.
    :raises DeployError: of the first failure's kind; says what each of the others was left in.
    """
    results = [outcome for outcome in outcomes if not isinstance(outcome, DeployError)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, DeployError)]
    if not failures:
        return results
    told = [_with_name(name, outcome.message) for name, outcome in zip(names, outcomes) if isinstance(outcome, DeployError)]
    facts = dict(failures[0].facts)
    if any(error.facts.get("changed") for error in failures):
        facts["changed"] = True
    for index, outcome in enumerate(outcomes):
        if put_back is None or isinstance(outcome, DeployError):
            continue
        try:
            put_back(index)
            told.append(f"Balancer {names[index]} is as it was before.")
        except DeployError as error:
            told.append(f"Balancer {names[index]} could NOT be put back: {error.message}")
            facts["changed"] = True
    raise type(failures[0])(" ".join(map(ended, told)), **facts)


def _with_name(name: str, message: str) -> str:
    """Whoever reads it has several balancers before them."""
    named = re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", message)
    return message if named else f"Balancer {name}: {message}"
