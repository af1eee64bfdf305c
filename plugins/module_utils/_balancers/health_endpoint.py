# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that take themselves out, by failing the health check of a balancer that one may not touch.

A switch on each member's host lets the check fail (see `switch.py`).  The balancer is only read, where it can be:
to see that it has noticed, what is in flight, and that its check passes again.  That check passes only after the switch has been
turned back, and a member counts as out only once the balancer has seen it fail, so what is seen afterwards is fresh.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, DOWN, ENABLED, UNKNOWN, Change, Member
from .base import Balancer
from .declaration import Capabilities
from .switch import IN, OUT, set_switch

POLL = 0.05  # seconds between two looks at what the balancer has noticed

# Hosts with the options of `member_switch` for each, to their results, which have `failed` and `msg` when it went wrong.
Reach = Callable[[Dict[str, Dict[str, Any]]], Dict[str, Dict[str, Any]]]


def _here(requests: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Without a controller in between there is one host that can be reached: this one."""
    results: dict[str, dict[str, Any]] = {}
    for host, request in requests.items():
        try:
            results[host] = set_switch(request, False)
        except DeployError as error:
            results[host] = {"failed": True, "msg": error.message}
    return results


class HealthEndpoint(Balancer):
    """See the module's own text."""

    provider = "health_endpoint"
    watchable = False  # the members' hosts are reached by the controller's connections
    #: how hosts are reached; the action plugin sets it to their connections
    reach: Reach = staticmethod(_here)

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        from .registry import open_nested  # it loads this module in its turn

        self.seen_by = [open_nested(name, entry) for entry in options["seen_by"] or []]
        self.hosts: list[str] = list(dict.fromkeys(options["hosts"] or []))
        self.how = {key: options[key] for key in ("file", "url", "take_out", "bring_back", "is_out", "timeout")}
        if options["take_out"] and not (options["bring_back"] and options["is_out"]):
            raise InvalidInput(
                f"Balancer {name}: `take_out` needs `bring_back` and `is_out` beside it. Nothing was touched."
            )
        self.notice: float = options["notice"]
        if not self.seen_by and not self.hosts:
            raise InvalidInput(
                f"Balancer {name}: give `hosts`, the members' hosts, or `seen_by`, the balancers that check them. Nothing was touched."
            )
        can = [seer.capabilities for seer in self.seen_by]
        for seer in self.seen_by:
            if not seer.capabilities.health_readback:
                raise InvalidInput(
                    f"Balancer {name}: provider {seer.provider} does not tell whether a member is healthy, so there is nothing to read "
                    "there. Leave it out of `seen_by`; without any, give `hosts` and `notice`. Nothing was touched."
                )
        if self.seen_by:
            in_flight = all(each.in_flight for each in can)
            capabilities = replace(capabilities, in_flight=in_flight, health_readback=True, fresh_health=True)
        where = ",".join([seer.endpoint for seer in self.seen_by] or sorted(self.hosts))
        super().__init__(name, f"{where} {self.how['file'] or self.how['url'] or self.how['is_out']}", capabilities)
        self._out: dict[str, bool] = {}  # the switches, as last read or turned

    def version(self) -> str:
        return ", ".join(seer.version() for seer in self.seen_by) or "unknown"

    def members(self, pool: str) -> list[Member]:
        if not self.seen_by:
            self._look(self.hosts)
            return [self._shown(Member(host, host, ENABLED, 1, UNKNOWN, None, False)) for host in self.hosts]
        seen = [_together(of_one) for of_one in self._seen(pool).values()]
        # Who passes the check is not out: only the others are asked, once.
        for member in seen:
            if member.healthy:
                self._out.pop(member.name, None)
        self._look(
            [member.name for member in seen if not member.healthy and (not self.hosts or member.name in self.hosts)]
        )
        return [self._shown(member) for member in seen]

    def _seen(self, pool: str) -> dict[str, list[Member]]:
        """Each member as every balancer that has it sees it."""
        members: dict[str, list[Member]] = {}
        for seer in self.seen_by:
            for member in seer.members(pool):
                members.setdefault(member.name, []).append(member)
        return members

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        self._check_there_are_checks(pool, changes)
        leaving = [change.name for change in changes if change.state == DISABLED]
        arriving = [change.name for change in changes if change.state == ENABLED]
        self._turn(leaving, OUT)
        try:
            self._until_noticed(pool, leaving)
        except NotApplied:
            self._turn(leaving, IN)
            raise
        if distrust:
            # A member that the balancer still, or already, holds to be healthy would return on the word of an old check.
            self._until_noticed(pool, [name for name in arriving if self._out.get(name)])
        self._turn(arriving, IN)
        if arriving and not self.seen_by:
            Clock().sleep(self.notice)  # until then nobody else may leave in the belief that they are back
        members = self.members(pool)
        self.check_written(pool, changes, members, "The balancer itself holds it out of traffic.")
        return members

    def _check_there_are_checks(self, pool: str, changes: list[Change]) -> None:
        if not self.seen_by:
            return
        seen = self._seen(pool)
        blind = [change.name for change in changes if not all(member.checked for member in seen.get(change.name, []))]
        if blind:
            raise InvalidInput(
                f"Balancer {self.name} has no health check for {', '.join(blind)}, so a check that fails changes nothing there. Add one."
            )

    def _shown(self, member: Member) -> Member:
        # Weights are the balancer's own affair; none can be written here.
        return replace(member, state=DISABLED, weight=1) if self._out.get(member.name) else replace(member, weight=1)

    def _look(self, hosts: list[str]) -> None:
        unknown = [host for host in hosts if host not in self._out]
        for host, result in self._ask({host: {} for host in unknown}).items():
            # A host that cannot be reached is not known to be out, and its check fails by itself.
            self._out[host] = not result.get("failed") and result["state"] == OUT

    def _turn(self, hosts: list[str], state: str) -> None:
        results = self._ask({host: {"state": state} for host in hosts})
        for host, result in results.items():
            if not result.get("failed"):
                self._out[host] = state == OUT
        failed = [f"{host}: {result['msg']}" for host, result in results.items() if result.get("failed")]
        if failed:
            raise Refused(f"Balancer {self.name}: the switch could not be turned to {state}. {' '.join(failed)}")

    def _ask(self, requests: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        full = {host: {"state": None, **_of(host, self.how), **request} for host, request in requests.items()}
        return type(self).reach(full) if full else {}

    def _until_noticed(self, pool: str, names: list[str]) -> None:
        if not names:
            return
        clock = Clock()
        if not self.seen_by:
            clock.sleep(self.notice)  # there is nobody to ask whether it was noticed
            return
        deadline = Deadline(clock, self.notice)
        while True:
            try:
                seen = self._seen(pool)
            except Unreachable:  # a balancer that is being restarted does not answer for a moment
                if deadline.passed:
                    raise
                clock.sleep(POLL)
                continue
            late = [name for name in names if any(_sends_to(member) for member in seen.get(name, []))]
            if not late:
                return
            if deadline.passed:
                raise NotApplied(
                    f"Balancer {self.name}: {self.notice:g} s after the switch was turned, the balancer's check still passes for "
                    f"{', '.join(late)}. Does it ask what the switch lets fail? Allow more time with `notice`."
                )
            clock.sleep(POLL)


def _of(host: str, how: dict[str, Any]) -> dict[str, Any]:
    """The switch of one member: of several on one host each has its own, by its name."""

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(word) for word in value]
        return value.replace("{name}", host) if isinstance(value, str) else value

    return {key: named(value) for key, value in how.items()}


def _sends_to(member: Member) -> bool:
    return member.state == ENABLED and member.health != DOWN


def _together(seen: list[Member]) -> Member:
    """One member as several balancers see it: in traffic where any sends some, healthy where all are content."""
    flights = [member.in_flight for member in seen]
    unwell = [member for member in seen if not member.healthy]
    held = [member.state for member in seen if member.state != ENABLED]
    return replace(
        (unwell or seen)[0],
        state=held[0] if held else ENABLED,
        in_flight=None if None in flights else sum(flight or 0 for flight in flights),
        checked=all(member.checked for member in seen),
    )
