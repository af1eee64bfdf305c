# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets, target groups and the tags that record which targets are out: what the ELBv2 API answers, in our words.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from .._domain.errors import InvalidInput
from .._domain.members import DISABLED, DOWN, ENABLED, UNKNOWN, UP, Member

OUT = "zero_downtime.deploy/out/"  # the start of a tag's key; the target's id, a colon and its port follow
NO_WEIGHT = 1  # weights are of target groups, not of targets
NOT_REGISTERED = {"State": "unused", "Reason": "Target.NotRegistered"}


@dataclass(frozen=True)
class Target:
    """What the API calls a target: an instance or an address, with a port."""

    id: str
    port: int
    zone: str = ""

    @property
    def key(self) -> str:
        """As it is written in a tag, which is its name too unless its port is the group's."""
        return f"{self.id}:{self.port}"

    @property
    def tag_key(self) -> str:
        """Key of the tag that records it as out."""
        return OUT + self.key

    @property
    def address(self) -> str:
        """As ``host:port``."""
        return ("[{}]:{}" if ":" in self.id else "{}:{}").format(self.id, self.port)

    def as_asked(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"Id": self.id, "Port": self.port, **({"AvailabilityZone": self.zone} if self.zone else {})}

    def tag(self, now: float) -> dict[str, str]:
        """The tag that records it as out since `now`: its zone, which registering it needs, and the time, in seconds."""
        return {"Key": self.tag_key, "Value": f"{self.zone}/{now:.0f}"}


@dataclass(frozen=True)
class Record:
    """A target that a tag records as out.

    :param since: seconds since the epoch; 0 where the tag does not tell.
    """

    target: Target
    since: float = 0


@dataclass(frozen=True)
class Group:
    """A target group.

    :param port: of targets that name none.
    :param checked: whether it checks its targets.
    :param protocol: between the load balancer and the targets.
    :param vpc: in which its targets are.
    :param kind: of its targets: ``instance`` or ``ip``.
    :param check: seconds until checks that begin now have brought a target up, at most; None where the answer does not tell.
    :param timing: where that figure comes from, in words.
    """

    arn: str
    port: int
    checked: bool
    protocol: str = "HTTP"
    vpc: str = ""
    kind: str = "instance"
    check: float | None = None
    timing: str = ""

    @property
    def counts_requests_out(self) -> bool:
        """Whether the end of a deregistration means that nothing is under way: so with requests, not with connections."""
        return self.protocol in ("HTTP", "HTTPS")

    def name(self, target: Target) -> str:
        """What a member is called: its id, with its port where that is not the group's own."""
        return target.id if target.port == self.port else target.key

    def target(self, name: str, address: str) -> Target:
        """The target that a member to be added is.

        :raises InvalidInput: when the address is none, or another member's.
        """
        host, _colon, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise InvalidInput(
                f"{address!r} is no address of a target: id:port or address:port is expected. Nothing was touched."
            )
        target = Target(host.strip("[]"), int(port))
        if name not in (self.name(target), target.key):
            raise InvalidInput(
                f"The target at {address} is called {self.name(target)}, not {name}: a target group knows its members by id and port. "
                "Give that name, or translate with `names`. Nothing was touched."
            )
        return target


def group(row: Mapping[str, Any]) -> Group:
    """A target group as DescribeTargetGroups shows it.

    :raises KeyError, TypeError, ValueError: the row is none.
    """
    checked = bool(row.get("HealthCheckEnabled", True))
    interval, passes = row.get("HealthCheckIntervalSeconds"), row.get("HealthyThresholdCount")
    known = checked and interval is not None and passes is not None
    patience = float(row.get("HealthCheckTimeoutSeconds") or 0)
    return Group(
        arn=str(row["TargetGroupArn"]),
        port=int(row["Port"]),
        checked=checked,
        protocol=str(row.get("Protocol") or "HTTP"),
        vpc=str(row.get("VpcId") or ""),
        kind=str(row.get("TargetType") or "instance"),
        check=float(interval) * float(passes) + patience if known else None,
        timing=f"a check every {float(interval):g} s, {int(passes)} in a row" if known else "",
    )


def rows(answer: Any, key: str) -> list[dict[str, Any]]:
    """The objects in a list of an answer; none where it is no such list."""
    found = answer.get(key) if isinstance(answer, dict) else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def records(answer: Any) -> dict[str, Record]:
    """The targets that tags record as out, by :attr:`Target.key`.

    :param answer: of DescribeTags.
    :raises KeyError, TypeError, ValueError, AttributeError: it is none.
    """
    found = {}
    for row in rows(answer, "TagDescriptions"):
        for tag in rows(row, "Tags"):
            if tag["Key"].startswith(OUT):
                id_, _colon, port = tag["Key"][len(OUT) :].rpartition(":")
                zone, _slash, since = (tag.get("Value") or "").partition("/")
                target = Target(id_, int(port), zone)
                found[target.key] = Record(target, float(since) if since.isdecimal() else 0)
    return found


def registered(answer: Any, group_: Group) -> dict[str, tuple[Target, dict[str, Any]]]:
    """The targets that AWS knows, by :attr:`Target.key`, each with its health.

    :param answer: of DescribeTargetHealth.
    :raises KeyError, TypeError, ValueError: it is none.
    """
    found = {}
    for row in rows(answer, "TargetHealthDescriptions"):
        told = row["Target"]
        target = Target(str(told["Id"]), int(told.get("Port", group_.port)), told.get("AvailabilityZone") or "")
        found[target.key] = (target, dict(row["TargetHealth"]))
    return found


def state(health: Mapping[str, Any]) -> str:
    """A target that is being deregistered, or is not registered, is out; all others get traffic as soon as they are healthy."""
    said = str(health.get("State"))
    gone = said == "unused" and health.get("Reason", "Target.NotRegistered") == "Target.NotRegistered"
    return DISABLED if gone or said.endswith("draining") else ENABLED


def member(group_: Group, target: Target, health: Mapping[str, Any]) -> Member:
    """A target as a member."""
    found, said = state(health), str(health.get("State"))
    checked = group_.checked and said != "unavailable"
    known = {"healthy": UP, "unavailable": UNKNOWN}.get(said, DOWN)
    idle = found == DISABLED and not said.endswith("draining") and group_.counts_requests_out
    return Member(
        name=group_.name(target),
        address=target.address,
        state=found,
        weight=NO_WEIGHT,
        health=UNKNOWN if found == DISABLED or not checked else known,
        in_flight=0 if idle else None,
        checked=checked,
        last_check=" ".join(
            filter(None, (said, str(health.get("Reason") or ""), str(health.get("Description") or "")))
        ),
    )
