# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy, through its admin API: https://caddyserver.com/docs/api

A pool is a handler ``reverse_proxy`` that has an ``@id``; its members are the upstreams, known by what they `dial`.

What is not obvious, each measured on 2.11:

* Every write, whatever it changes, starts the whole configuration anew and ends the old one.  That costs connections: those that
  are kept open and on which a client sends at that moment, and new ones that the old server had just accepted.  Twelve writes cost
  26 to 56 of about 5,000 requests.  A socket that Caddy inherits (``fd/3``), HTTP/1 alone and ``net.ipv4.tcp_migrate_req`` leave some
  of them each: nothing found is clean, and `clean_writes` is False.
* A write makes Caddy forget what its checks have found, and the gauge of its metrics with it, so no health is told.
* Fields that Caddy does not know are refused.  An upstream that is out is kept, with weight and place, in the handler itself: in an entry
  of `handle_response` for a status that no response has, as a variable.  One write changes both, and one ETag guards both.
* `weights` of another length than `upstreams` are accepted and skew the traffic: both are written whole, always.
* An upstream that has left is listed by ``/reverse_proxy/upstreams`` until its last request has ended.
"""

from __future__ import annotations

import copy
import json
import os
import re
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterator, List, Tuple
from urllib.parse import quote

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, ENABLED, UNKNOWN, Change, Member
from .base import Balancer
from .declaration import Capabilities
from .http_api import Answer, HttpApi

NOTE = "zero_downtime_out"
NO_RESPONSE = {"status_code": [999]}  # what matches none
PAUSE = 0.02  # seconds before another try
TRIES = 4  # to read


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
        """What is dialled."""
        return str(self.settings["dial"])


class Handler:
    """One ``reverse_proxy``, as the API describes it.

    :param etag: of that description.
    :raises ValueError: (or KeyError, TypeError) when members cannot be taken out of it.
    """

    def __init__(self, described: Dict[str, Any], etag: str) -> None:
        self.described, self.etag = described, etag
        if "dynamic_upstreams" in described:
            raise ValueError
        policy = _weighing(described)
        self.weighs = policy is not None
        weights = [int(weight) for weight in (policy or {}).get("weights") or []]
        upstreams = described.get("upstreams") or []
        weights += [1] * (len(upstreams) - len(weights))
        self.upstreams = [Upstream(settings, weight, ENABLED) for settings, weight in zip(upstreams, weights)]
        for noted in sorted(_noted(described), key=lambda noted: int(noted["place"])):
            self.upstreams.insert(int(noted["place"]), Upstream(noted["upstream"], int(noted["weight"]), DISABLED))
        if len({upstream.name for upstream in self.upstreams}) < len(self.upstreams):
            raise ValueError

    def with_upstreams(self, upstreams: List[Upstream]) -> Dict[str, Any]:
        """Its description with these, and nothing else in it changed."""
        described = copy.deepcopy(self.described)
        enabled = [upstream for upstream in upstreams if upstream.state == ENABLED]
        described["upstreams"] = [upstream.settings for upstream in enabled]
        policy = _weighing(described)
        if policy is not None:
            policy["weights"] = [upstream.weight for upstream in enabled] or [1]  # an empty list is refused
        responses = [entry for entry in described.pop("handle_response", None) or [] if not _is_note(entry)]
        out = [
            {"place": place, "weight": upstream.weight, "upstream": upstream.settings}
            for place, upstream in enumerate(upstreams)
            if upstream.state != ENABLED
        ]
        if out:
            responses.append({"match": NO_RESPONSE, "routes": [{"handle": [{"handler": "vars", NOTE: out}]}]})
        if responses:
            described["handle_response"] = responses
        return described


class Caddy(Balancer):
    """See the module's own text."""

    provider = "caddy"

    def __init__(self, name: str, capabilities: Capabilities, options: Dict[str, Any]) -> None:
        path = options["socket"]
        self.timeout = options["timeout"]
        self.api = HttpApi.of("Caddy's admin API", options)
        super().__init__(name, os.path.realpath(path) if path else self.api.endpoint, capabilities)
        self._widest = capabilities

    def version(self) -> str:
        return "unknown"  # the admin API does not tell

    def running(self) -> Tuple[str, float]:
        found = re.search(r"^process_start_time_seconds (\S+)$", self._get("/metrics").text, re.MULTILINE)
        if not found:
            raise self.api.stranger("GET /metrics", "nothing of process_start_time_seconds")
        return found.group(1), 0.0

    def members(self, pool: str) -> List[Member]:
        handler = self._read(pool)
        busy = self._in_flight()
        return [
            Member(
                upstream.name,
                upstream.name,
                upstream.state,
                upstream.weight,
                UNKNOWN,
                busy.get(upstream.name, 0),
                checked=False,
            )
            for upstream in handler.upstreams
        ]

    def apply(self, pool: str, changes: List[Change], distrust: bool = False) -> List[Member]:
        wanted = {change.name: change for change in changes}

        def changed(upstream: Upstream) -> Upstream:
            change = wanted.get(upstream.name, Change(upstream.name))
            weight = upstream.weight if change.weight is None else change.weight
            return replace(upstream, weight=weight, state=change.state or upstream.state)

        members = self._write(pool, lambda upstreams: [changed(upstream) for upstream in upstreams])
        self.check_written(pool, changes, members, "Is another program writing Caddy's configuration?")
        return members

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        if name != address:
            raise InvalidInput(
                "Balancer %s: Caddy knows its upstreams by address, so a new one at %s has that name, not %r. Give it another one for "
                "the tasks with `names`. Nothing was touched." % (self.name, address, name)
            )
        new = Upstream({"dial": address}, 1 if weight is None else weight, DISABLED)
        self._write(pool, lambda upstreams: [*upstreams, new])

    def remove(self, pool: str, names: List[str]) -> None:
        members = self._write(
            pool, lambda upstreams: [u for u in upstreams if u.name not in names or u.state == ENABLED]
        )
        still = sorted({member.name for member in members}.intersection(names))
        if still:
            raise NotApplied(
                "Balancer %s: pool %s still has %s: who is in traffic is not removed."
                % (self.name, pool, ", ".join(still))
            )

    def _write(self, pool: str, edited: Callable[[List[Upstream]], List[Upstream]]) -> List[Member]:
        """Edit the upstreams as they are at the moment of the write, whoever else writes, and read them back.

        :raises NotApplied: when others are always faster.
        """
        clock = Clock()
        deadline = Deadline(clock, self.timeout)
        while True:
            try:
                if self._written(pool, edited):
                    return self.members(pool)
            except Unreachable:
                # It may have died in the middle, or have done it and lost the answer: what is there tells.
                if deadline.passed:
                    raise
            if deadline.passed:
                raise NotApplied(
                    "Balancer %s: for %g s somebody else has changed Caddy's pool %s whenever we were about to write, so nothing was "
                    "written. Find the other program, and run the task again." % (self.name, self.timeout, pool)
                )
            clock.sleep(PAUSE)

    def _written(self, pool: str, edited: Callable[[List[Upstream]], List[Upstream]]) -> bool:
        """Try once; False when somebody else was faster."""
        handler = self._read(pool)
        described = handler.with_upstreams(edited(handler.upstreams))
        if described == handler.described:
            return True
        headers = {"Content-Type": "application/json", "If-Match": handler.etag}
        answer = self.api.ask("PATCH", _path(pool), json.dumps(described), headers)
        if answer.status not in (200, 412):
            raise self._refused("PATCH %s" % _path(pool), answer)
        return answer.status == 200

    def _get(self, path: str) -> Answer:
        """Read, and read again when another's write, which starts the admin API anew too, has broken the connection."""
        clock = Clock()
        deadline = Deadline(clock, self.timeout)
        for _again in range(TRIES - 1):
            try:
                return self.api.ask("GET", path)
            except Unreachable:
                if deadline.passed:
                    raise
                clock.sleep(PAUSE)
        return self.api.ask("GET", path)

    def _read(self, pool: str) -> Handler:
        if pool in ("", ".", "..") or "/" in pool:  # which would be ways into other parts of the configuration
            raise self._unknown(pool)
        request = "GET %s" % _path(pool)
        answer = self._get(_path(pool))
        if answer.status == 404 and "unknown object ID" in answer.text:
            raise self._unknown(pool)
        described = self._json(request, answer)
        if not _is_pool(described) or str(described["@id"]) != pool:
            raise self._unknown(pool)
        if "etag" not in answer.headers:
            raise self.api.stranger(request, "nothing of an ETag")
        try:
            handler = Handler(described, answer.headers["etag"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise InvalidInput(
                "Balancer %s: handler %r of Caddy is not one that members can be taken out of: it has dynamic upstreams, or not each "
                "upstream has an address `dial` of its own. Nothing was touched." % (self.name, pool)
            ) from None
        self.capabilities = self._widest if handler.weighs else replace(self._widest, weight_range=None)
        return handler

    def _in_flight(self) -> Dict[str, int]:
        request = "GET /reverse_proxy/upstreams"
        found = self._json(request, self._get("/reverse_proxy/upstreams"))
        try:
            return {str(upstream["address"]): int(upstream["num_requests"]) for upstream in found}
        except (KeyError, TypeError, ValueError):
            raise self.api.stranger(request, repr(found)) from None

    def _unknown(self, pool: str) -> InvalidInput:
        known = sorted(str(handler["@id"]) for handler in _handlers(self._json("GET /config/", self._get("/config/"))))
        return InvalidInput(
            "Balancer %s has no pool %r. Caddy's handlers `reverse_proxy` with an `@id` are: %s. Nothing was touched."
            % (self.name, pool, ", ".join(known) or "none")
        )

    def _json(self, request: str, answer: Answer) -> Any:
        if answer.status in (401, 403):
            raise self._refused(request, answer)
        try:
            if answer.status == 200:
                return answer.json()
        except (ValueError, RecursionError):
            pass
        raise self.api.stranger(request, "%d %s" % (answer.status, answer.text.strip()[:150]))

    def _refused(self, request: str, answer: Answer) -> DeployError:
        return Refused(
            "Balancer %s: Caddy at %s answered %d to `%s`: %s. Its configuration is as it was."
            % (self.name, self.api.endpoint, answer.status, request, answer.text.strip()[:1000] or "nothing more")
        )


def _path(pool: str) -> str:
    return "/id/" + quote(pool, safe="")


def _weighing(described: Dict[str, Any]) -> Dict[str, Any] | None:
    """The policy by which new clients are spread, when it knows weights; clients with a cookie have chosen already."""
    policy = (described.get("load_balancing") or {}).get("selection_policy") or {}
    if policy.get("policy") == "cookie":
        policy = policy.get("fallback") or {}
    return policy if policy.get("policy") == "weighted_round_robin" else None


def _is_note(entry: Any) -> bool:
    try:
        return NOTE in entry["routes"][0]["handle"][0]
    except (KeyError, TypeError, IndexError):
        return False


def _noted(described: Dict[str, Any]) -> List[Dict[str, Any]]:
    """What is kept of the upstreams that are out."""
    found: List[Dict[str, Any]] = []
    for entry in described.get("handle_response") or []:
        if _is_note(entry):
            found += entry["routes"][0]["handle"][0][NOTE]
    return found


def _is_pool(described: Any) -> bool:
    return isinstance(described, dict) and described.get("handler") == "reverse_proxy" and "@id" in described


def _handlers(configuration: Any) -> Iterator[Dict[str, Any]]:
    """The pools anywhere in a configuration, however deep."""
    left = [configuration]
    while left:
        value = left.pop()
        if _is_pool(value):
            yield value
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
