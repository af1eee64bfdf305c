# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus, by its HTTP API.

Asked with the collection's own HTTP client, not with `requests`: that one bounds each wait, this one the whole exchange, and
a look has to end in time whatever a server does.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List
from urllib.parse import urlencode

from .._balancers.http_api import Answer, HttpApi
from .._domain.errors import InvalidInput, Unreachable
from .._domain.growth import Counter
from .._domain.metrics import ERRORS
from .source import Groups, Reading, Source, shortened

_SPECIAL = re.compile(r"[.+*?()|{}\[\]$]")
_IMPOSSIBLE = re.compile(r"[\\^\"'`\s]")
_RANGE = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)\s*(?::[^\]]*)?\]")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


class Prometheus(Source):
    """Instant queries at each look.

    Of a metric of errors, two queries give counters as they are (not `rate` or `increase`): what each series grows by is added
    up here, so that a process that starts anew, and a series that only turns up with the first error, are counted rightly.
    Of a metric of samples, each series gives one value at a look; but no more often than `every`, since neighbours that share
    their data would pass for more evidence than they are.

    :param options: the module's.
    :param interval: seconds between looks.
    """

    newcomers = True

    def __init__(self, options: Dict[str, Any], kind: str, interval: float, whole: bool = False) -> None:
        self._kind, self.whole = kind, whole
        names = ("requests", "errors") if kind == ERRORS else ("query",)
        given = {name for name in ("query", "requests", "errors") if options.get(name)}
        if given != set(names):
            raise InvalidInput(
                f"Prometheus: a metric of {kind} takes `{'` and `'.join(names)}`, "
                f"found {', '.join(f'`{name}`' for name in sorted(given)) or 'none of them'}. Nothing was watched."
            )
        self._queries = {name: str(options[name]) for name in names}
        if options.get("password") and options.get("token"):
            raise InvalidInput("Prometheus: `password` or `token`, not both. Nothing was watched.")
        self._api = HttpApi.of("Prometheus", options)
        if options.get("token"):
            self._api.headers["Authorization"] = f"Bearer {options['token']}"
        self._every = options.get("every") or max([interval, *map(longest_range, self._queries.values())])
        self._due = 0.0

    def read(self, groups: Groups, elapsed: float) -> Dict[str, Reading]:
        """See :class:`Source`."""
        if self._kind == ERRORS:
            return {group: Reading(counters=self._counters(group, members)) for group, members in groups.items()}
        # A look is never quite punctual.
        if elapsed < self._due - 0.1 * self._every:
            return {group: Reading() for group in groups}
        readings = {
            group: Reading(values=list(self._ask("query", group, members).values()))
            for group, members in groups.items()
        }
        self._due = elapsed + self._every
        return readings

    def _counters(self, group: str, members: List[str]) -> Dict[str, Counter]:
        requests, errors = (self._ask(name, group, members) for name in ("requests", "errors"))
        finite = {"requests": _finite(requests), "errors": _finite(errors)}
        return {
            **{f"requests {series}": Counter(value, 0) for series, value in finite["requests"].items()},
            **{f"errors {series}": Counter(0, value) for series, value in finite["errors"].items()},
        }

    def _ask(self, name: str, group: str, members: List[str]) -> Dict[str, float]:
        """Values by series."""
        query = self._queries[name].replace("$members", alternatives(members)).replace("$group", group)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._api.ask("POST", "/api/v1/query", urlencode({"query": query}), form)
        return self._series(answer, query)

    def _series(self, answer: Answer, query: str) -> Dict[str, float]:
        try:
            told = answer.json()
            status, data = told["status"], told.get("data")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._api.stranger("POST /api/v1/query", f"HTTP {answer.status}, {shortened(answer.text)}") from None
        if status != "success":
            problem = f"Prometheus does not answer `{query}`: {told.get('error') or f'HTTP {answer.status}'}."
            raise (InvalidInput if answer.status in (400, 422) else Unreachable)(problem)
        try:
            if data["resultType"] == "scalar":
                return {"": float(data["result"][1])}
            if data["resultType"] == "vector":
                return {_name(series["metric"]): float(series["value"][1]) for series in data["result"]}
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError):
            raise self._api.stranger("POST /api/v1/query", shortened(answer.text)) from None
        raise InvalidInput(f"`{query}` is a {data['resultType']}; expected one value for each series, or one number.")


def alternatives(members: List[str]) -> str:
    """Members as a regular expression for ``=~``, in parentheses.

    Special characters stand in brackets: backslashes would depend on the quotes around them.

    :raises InvalidInput: for a name that cannot be told so.
    """
    for member in members:
        if _IMPOSSIBLE.search(member):
            raise InvalidInput(
                f"Member {member!r} cannot be told to Prometheus: there are quotes, spaces, ^ or \\ in its name. "
                "Write queries without $members."
            )
    return "(" + "|".join(_SPECIAL.sub(lambda found: f"[{found.group()}]", member) for member in members) + ")"


def longest_range(query: str) -> float:
    """Seconds of the longest range, ``[5m]``, in a query; 0 without one."""
    ranges = [
        sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", found))
        for found in _RANGE.findall(query)
    ]
    return max(ranges, default=0.0)


def _name(labels: Dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _finite(values: Dict[str, float]) -> Dict[str, float]:
    return {series: value for series, value in values.items() if 0 <= value < float("inf")}
