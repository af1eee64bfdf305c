# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One handler ``reverse_proxy`` of Caddy as a pool: its upstreams, and the note in it of those that are out.  Pure.

Fields that Caddy does not know are refused.  An upstream that is out is kept, with weight and place, in the handler itself: in an entry
of `handle_response` for a status that no response has, as a variable.  One write changes both, and one ETag guards both.

Beside the variable stands a ``reverse_proxy`` over the same upstreams, which no request reaches.  It keeps them in the list of
``/reverse_proxy/upstreams``: Caddy before 2.11.2 drops an upstream that no handler has from that list, however busy it is.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any, Dict, List

from .._domain.members import DISABLED, ENABLED
from .._domain.pools import Timing

NOTE = "zero_downtime_out"
NO_RESPONSE = {"status_code": [999]}  # matches none
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d)")


class Unfit(ValueError):
    """Why members cannot be taken out of a handler, in words."""


@dataclass(frozen=True)
class Upstream:
    """One upstream, in or out.

    :param settings: as Caddy has them.
    """

    settings: Dict[str, Any]
    weight: int
    state: str

    @property
    def name(self) -> str:
        """The address that is dialed."""
        return str(self.settings["dial"])


class Handler:
    """One ``reverse_proxy``, as the API describes it.

    :param etag: of that description.
    :raises Unfit: (or KeyError, TypeError, ValueError) when members cannot be taken out of it.
    """

    def __init__(self, described: Dict[str, Any], etag: str) -> None:
        self.described, self.etag = described, etag
        if "dynamic_upstreams" in described:
            raise Unfit("it has dynamic upstreams, which Caddy looks up itself")
        policy = _weighing(described)
        self.weighs = policy is not None
        # The first upstream that is available gets everything: a place in the list decides.
        self.in_order = (_spreading(described) or {}).get("policy") == "first"
        weights = [int(weight) for weight in (policy or {}).get("weights") or []]
        upstreams = described.get("upstreams") or []
        weights += [1] * (len(upstreams) - len(weights))
        self.upstreams = [Upstream(settings, weight, ENABLED) for settings, weight in zip(upstreams, weights)]
        if len({upstream.name for upstream in self.upstreams}) < len(self.upstreams):
            raise Unfit("two of its upstreams have the same address `dial`")
        # A note about an upstream that another writer has put back is out of date: Caddy sends it requests.
        present = {upstream.name for upstream in self.upstreams}
        for noted in sorted(_noted(described), key=lambda noted: int(noted["place"])):
            upstream = Upstream(noted["upstream"], int(noted["weight"]), DISABLED)
            if upstream.name not in present:
                present.add(upstream.name)
                self.upstreams.insert(int(noted["place"]), upstream)

    def with_upstreams(self, upstreams: List[Upstream]) -> Dict[str, Any]:
        """Its description with these, and nothing else in it changed."""
        described = copy.deepcopy(self.described)
        enabled = [upstream for upstream in upstreams if upstream.state == ENABLED]
        described["upstreams"] = [upstream.settings for upstream in enabled]
        policy = _weighing(described)
        if policy is not None:
            policy["weights"] = [upstream.weight for upstream in enabled] or [1]  # an empty list is refused
        responses = [entry for entry in described.pop("handle_response", None) or [] if not is_note(entry)]
        out = [
            {"place": place, "weight": upstream.weight, "upstream": upstream.settings}
            for place, upstream in enumerate(upstreams)
            if upstream.state != ENABLED
        ]
        if out:
            listed = {"handler": "reverse_proxy", "upstreams": [{"dial": noted["upstream"]["dial"]} for noted in out]}
            note = {"match": NO_RESPONSE, "routes": [{"handle": [{"handler": "vars", NOTE: out}, listed]}]}
            responses.append(note)
        if responses:
            described["handle_response"] = responses
        return described

    def timing(self) -> Timing:
        """The time that its active health check takes; nothing where it has none.

        :raises ValueError: for a length of time that is none.
        """
        active = (self.described.get("health_checks") or {}).get("active")
        if not active:
            return Timing()
        interval, timeout = active.get("interval") or "30s", active.get("timeout") or "5s"
        passes = int(active.get("passes") or 1)
        source = f"active health check: interval {_told(interval)}, passes {passes}, timeout {_told(timeout)}"
        return Timing(check=seconds(interval) * passes + seconds(timeout), source=source)


def seconds(length: Any) -> float:
    """A length of time as Caddy takes it: nanoseconds, or text such as ``1m30s``.

    :raises ValueError: for anything else.
    """
    if isinstance(length, (int, float)) and not isinstance(length, bool):
        return length / 1e9
    parts = _DURATION.findall(str(length))
    if not parts or "".join(number + unit for number, unit in parts) != str(length):
        raise ValueError(f"{length!r} is no length of time")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def is_note(entry: Any) -> bool:
    """Whether this entry of `handle_response` is ours."""
    try:
        return NOTE in entry["routes"][0]["handle"][0]
    except (KeyError, TypeError, IndexError):
        return False


def dials(described: Any) -> List[str]:
    """The addresses of all upstreams of a handler, in or out; none of one that cannot be read."""
    try:
        noted = [noted["upstream"] for noted in _noted(described)]
        upstreams = [*(described.get("upstreams") or []), *noted]
        found = [upstream.get("dial") for upstream in upstreams]
    except (KeyError, TypeError, AttributeError, IndexError):
        return []
    # The handler `proxy` of the plugin layer4 has lists.
    lists = [dial if isinstance(dial, list) else [dial] for dial in found]
    return [str(dial) for several in lists for dial in several if dial]


def _noted(described: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The notes of upstreams that are out."""
    found: List[Dict[str, Any]] = []
    for entry in described.get("handle_response") or []:
        if is_note(entry):
            found += entry["routes"][0]["handle"][0][NOTE]
    return found


def _spreading(described: Dict[str, Any]) -> Dict[str, Any] | None:
    """The policy by which new clients are spread; clients with a cookie have chosen already."""
    policy = (described.get("load_balancing") or {}).get("selection_policy") or {}
    return (policy.get("fallback") or {}) if policy.get("policy") == "cookie" else policy


def _weighing(described: Dict[str, Any]) -> Dict[str, Any] | None:
    """The policy by which new clients are spread, when it knows weights."""
    policy = _spreading(described) or {}
    return policy if policy.get("policy") == "weighted_round_robin" else None


def _told(length: Any) -> str:
    return length if isinstance(length, str) else f"{seconds(length):g}s"
