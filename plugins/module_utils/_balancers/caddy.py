# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy, through its admin API: https://caddyserver.com/docs/api

A pool is a handler ``reverse_proxy`` that has an ``@id``; its members are the upstreams, known by what they `dial`.

What is not obvious, each measured (on 2.11, unless said otherwise):

* Every write, whatever it changes, starts the whole configuration anew and ends the old one.  That costs connections: those that
  are kept open and on which a client sends at that moment, and new ones that the old server had just accepted.  Twelve writes cost
  26 to 56 of about 5,000 requests.  A socket that Caddy inherits (``fd/3``), HTTP/1 alone and ``net.ipv4.tcp_migrate_req`` leave some
  of them each: nothing found is clean, and `clean_writes` is False.
* A write makes Caddy forget what its checks have found, and the gauge of its metrics with it, so no health is told.
* `weights` of another length than `upstreams` are accepted and skew the traffic: both are written whole, always.
* An upstream that has left is listed by ``/reverse_proxy/upstreams`` until its last request has ended from 2.11.2 on, and not at all
  before.  The note in the handler keeps it there (see `caddy_handler.py`): 2.8 to 2.11.7 count its requests right.  An upstream that is
  not listed has an unknown count, never 0.
* No answer names the version, but the profile of the goroutines has the paths of the sources, ``caddy/v2@v2.10.2/admin.go``.
  Debian builds without them.  Up to 2.7 the ETag is a trailer, which Python's HTTP client drops; from 2.8 on it is a header.
* With `enforce_origin` the admin API wants an ``Origin`` header.  Without that setting it checks one that is sent all the same, and
  at a socket 2.11 refuses every one: none is sent before it is asked for.
* A load of any configuration, our own write among them, moves ``caddy_config_last_reload_success_timestamp_seconds`` (2.9 and later).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any, Callable, Dict, List, Set, Tuple
from urllib.parse import quote

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, ENABLED, UNKNOWN, Change, Member
from .._domain.pools import OtherPool, Timing
from .base import Balancer
from .caddy_config import is_pool, other_pools, proxies
from .caddy_handler import Handler, Unfit, Upstream, dials
from .declaration import Capabilities
from .http_api import Answer, HttpApi
from .http_headers import value_of

OLDEST = "2.8"
TOO_OLD = "2.7 or older"
PAUSE = 0.02  # seconds before another try
TRIES = 4  # to read
_SOURCES = re.compile(r"caddyserver/caddy/v2@v(\d[^/\s]*)/")
_WRITES = re.compile(
    r'^caddy_admin_http_requests_total\{code="2\d\d",[^}]*method="(?:DELETE|PATCH|POST|PUT)"[^}]*\} ([\d.e+]+)$',
    re.MULTILINE,
)
_SHOWN = 3  # handlers without an `@id` in a message


class Caddy(Balancer):
    """See the module's own text."""

    provider = "caddy"
    running_tells_all = True
    in_flight_source = "`num_requests` of /reverse_proxy/upstreams, by address: of all pools that have it"

    def __init__(self, name: str, capabilities: Capabilities, options: Dict[str, Any]) -> None:
        path = options["socket"]
        self.timeout = options["timeout"]
        self.api = HttpApi.of("Caddy's admin API", options)
        if path and value_of(self.api.headers, "host") is None:
            self.api.headers["Host"] = "127.0.0.1"  # Caddy before 2.10 refuses other names at a socket
        super().__init__(name, os.path.realpath(path) if path else self.api.endpoint, capabilities)
        self._widest = capabilities
        self._read_before: Set[str] = set()

    def version(self) -> str:
        """The version by the sources that the running program names, else by its ways; ``unknown`` where neither tells."""
        found = _SOURCES.search(self._get("/debug/pprof/goroutine?debug=1").text)
        if found:
            return found.group(1)
        return TOO_OLD if _ends_with_etag(self._get("/config/admin")) else "unknown"

    def running(self) -> Tuple[str, float]:
        page = self._get("/metrics").text
        started = _metric(page, "process_start_time_seconds")
        if not started:
            raise self.api.stranger("GET /metrics", "nothing of process_start_time_seconds")
        loaded = _metric(page, "caddy_config_last_reload_success_timestamp_seconds")
        if not loaded:
            # 2.8 does not say when it has loaded its configuration. It counts what it was told, and the ETag tells one content
            # from another where it was told by a file that it watches.
            loaded = f"{_writes(page)} {self._get('/config/').headers.get('etag', '')}"
        return f"{started} {loaded}", 0.0

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
                busy.get(upstream.name),
                checked=False,
                # The first that is available gets everything, so that weights give no shares across places.
                locality=f"place {place + 1}" if handler.in_order else "",
            )
            for place, upstream in enumerate(handler.upstreams)
        ]

    def other_pools(self, pool: str) -> List[OtherPool]:
        names = [upstream.name for upstream in self._read(pool).upstreams]
        return other_pools(self._json("GET /config/", self._get("/config/")), pool, names)

    def timing(self, pool: str) -> Timing:
        try:
            return self._read(pool).timing()
        except (ValueError, TypeError, AttributeError):
            return Timing()  # Caddy takes more ways to write a length of time than are known here

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
        upstreams = edited(handler.upstreams)
        enabled = [upstream for upstream in upstreams if upstream.state == ENABLED]
        if handler.weighs and enabled and not any(upstream.weight for upstream in enabled):
            # 2.11.7 refuses this by itself; 2.8.4 accepts it and answers no request.
            raise Refused(
                "Balancer %s: pool %s needs at least one upstream with a positive weight among those in traffic. "
                "Caddy's configuration is as it was." % (self.name, pool)
            )
        described = handler.with_upstreams(upstreams)
        if described == handler.described:
            return True
        headers = {"Content-Type": "application/json", "If-Match": handler.etag}
        answer = self._ask("PATCH", _path(pool), json.dumps(described), headers)
        if answer.status not in (200, 412):
            raise self._refused("PATCH %s" % _path(pool), answer)
        return answer.status == 200

    def _get(self, path: str) -> Answer:
        """Read, and read again when another's write, which starts the admin API anew too, has broken the connection."""
        clock = Clock()
        deadline = Deadline(clock, self.timeout)
        for _again in range(TRIES - 1):
            try:
                return self._ask("GET", path)
            except Unreachable:
                if deadline.passed:
                    raise
                clock.sleep(PAUSE)
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: str | None = None, headers: Dict[str, str] | None = None) -> Answer:
        """Ask, and once more with the API's own origin where it wants one."""
        args = () if body is None else (body, headers)
        answer = self.api.ask(method, path, *args)
        if _wants_origin(answer) and value_of(self.api.headers, "origin") is None:
            self.api.headers["Origin"] = self.api.origin
            answer = self.api.ask(method, path, *args)
        return answer

    def _read(self, pool: str) -> Handler:
        if pool in ("", ".", "..") or "/" in pool:  # which would be ways into other parts of the configuration
            raise self._unknown(pool)
        request = "GET %s" % _path(pool)
        answer = self._get(_path(pool))
        if answer.status == 404 and "unknown object ID" in answer.text:
            raise self._unknown(pool)
        described = self._json(request, answer)
        if not is_pool(described) or str(described["@id"]) != pool:
            raise self._unknown(pool)
        if "etag" not in answer.headers:
            raise self._without_etag(answer)
        try:
            handler = Handler(described, answer.headers["etag"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            why = (
                str(error)
                if isinstance(error, Unfit)
                else "not each upstream has an address `dial`, a place and a weight"
            )
            raise InvalidInput(
                "Balancer %s: members cannot be taken out of Caddy's handler %r: %s. Nothing was touched."
                % (self.name, pool, why)
            ) from None
        self.capabilities = self._widest if handler.weighs else replace(self._widest, weight_range=None)
        self._read_before.add(pool)
        return handler

    def _in_flight(self) -> Dict[str, int]:
        """Requests under way by address; an address that Caddy does not list is not counted."""
        request = "GET /reverse_proxy/upstreams"
        found = self._json(request, self._get("/reverse_proxy/upstreams"))
        counted: Dict[str, int] = {}
        try:
            for upstream in found:
                address = str(upstream["address"])
                counted[address] = counted.get(address, 0) + int(upstream["num_requests"])
        except (KeyError, TypeError, ValueError):
            raise self.api.stranger(request, repr(found)) from None
        return counted

    def _unknown(self, pool: str) -> DeployError:
        handlers = list(proxies(self._json("GET /config/", self._get("/config/"))))
        known = sorted(str(described["@id"]) for _path, described in handlers if is_pool(described))
        if pool in self._read_before:
            return NotApplied(
                "Balancer %s: Caddy's handler with the `@id` %r is gone. It was there a moment ago, so another configuration has been "
                "loaded since, for example by `caddy reload` from a Caddyfile, which has no `@id`. Members that had been taken out are "
                "in traffic if that configuration has them, and cannot be taken out again. Load a configuration whose handler has the "
                "`@id`, and run the task again." % (self.name, pool)
            )
        found = ", ".join(known)
        if not known and handlers:
            shown = ["%s (%s)" % (path, ", ".join(dials(described)[:_SHOWN])) for path, described in handlers[:_SHOWN]]
            found = (
                "none. Without an `@id` there are %d: %s. A configuration from a Caddyfile has no `@id`: make JSON of it with "
                "`caddy adapt`, give the handler its `@id`, and load that" % (len(handlers), "; ".join(shown))
            )
        return InvalidInput(
            "Balancer %s has no pool %r. Caddy's handlers `reverse_proxy` with an `@id` are: %s. Nothing was touched."
            % (self.name, pool, found or "none")
        )

    def _without_etag(self, answer: Answer) -> DeployError:
        needs = "Balancer %s: Caddy %s or later is required; " % (self.name, OLDEST)
        version = self.version()
        if version != "unknown" and not _ends_with_etag(answer):
            return Refused(
                "Balancer %s: this is Caddy %s, and no ETag arrives with its answers, without which a write could undo another program's. "
                "A proxy before the admin API at %s drops it: let it through, or use the API's own address. Nothing was touched."
                % (self.name, version, self.api.endpoint)
            )
        if version != "unknown":
            return InvalidInput(needs + "this is %s. Nothing was touched." % version)
        return InvalidInput(
            needs
            + "this one sends no ETag, so it is older, unless a proxy before the admin API at %s drops the header. "
            "`caddy version` tells. Nothing was touched." % self.api.endpoint
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
        said = answer.text.strip()[:1000] or "nothing more"
        todo = ""
        if _wants_origin(answer):
            todo = (
                " Its `enforce_origin` is on, and %s is none of its `origins`: send one of them with `headers: {Origin: ...}`."
                % value_of(self.api.headers, "origin")
            )
        elif answer.status == 403 and "host not allowed" in said:
            todo = (
                " It accepts the addresses that it listens on, and its `origins`: use one of them in `url`, or send it with "
                "`headers: {Host: ...}`."
            )
        return Refused(
            "Balancer %s: Caddy at %s answered %d to `%s`: %s.%s Its configuration is as it was."
            % (self.name, self.api.endpoint, answer.status, request, said.rstrip("."), todo)
        )


def _wants_origin(answer: Answer) -> bool:
    return answer.status == 403 and "not allowed to access from origin" in answer.text


def _ends_with_etag(answer: Answer) -> bool:
    """Whether the ETag is a trailer, as in 2.5.2 to 2.7."""
    return "etag" in answer.headers.get("trailer", "").lower()


def _path(pool: str) -> str:
    return "/id/" + quote(pool, safe="")


def _writes(page: str) -> float:
    """How many requests that may have changed the configuration the admin API has done."""
    return sum(float(count) for count in _WRITES.findall(page))


def _metric(page: str, name: str) -> str:
    """The value of a metric without labels; empty where the page has none."""
    found = re.search(rf"^{name} (\S+)$", page, re.MULTILINE)
    return found.group(1) if found else ""
