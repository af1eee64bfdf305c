# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Target groups of AWS load balancers, over the ELBv2 API: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/

A pool is a target group, by name or ARN, with targets of type `instance` or `ip`; a member is a target and a port.  What is not
obvious:

* a target has no state: it is registered or not, and one that is not is forgotten.  Which ones are members and are out is
  therefore written on the target group itself, one tag each, where every controller and every person can read it.  The tag is
  written before the target is deregistered and removed after it is registered again, so that it is never lost between the two;
* a target that leaves is `draining` until the group's deregistration delay has passed, also when nothing is under way any
  more; how much is, is never told;
* a target that is registered anew is `initial` and gets nothing until checks that began since have passed: fresh by nature.
  But while no target at all is healthy, the load balancer sends to all of them.

boto3 is imported when it is needed, because a host has it only where somebody installed it.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import Any, Callable

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, InvalidInput, Refused, Unreachable
from .._domain.members import DISABLED, DOWN, DRAINED, ENABLED, UNKNOWN, UP, Change, Member
from .base import Balancer
from .declaration import Capabilities

OUT = "zero_downtime.deploy/out/"  # the start of a tag's key; the target's id, a colon and its port follow
NO_WEIGHT = 1  # weights are of target groups, not of targets
TARGETS = ("instance", "ip")
NAME = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?|arn:[A-Za-z0-9-]+:elasticloadbalancing:[A-Za-z0-9:/-]+"
)
POLL = 0.5  # seconds between two looks at what was written: AWS limits how often it is asked
TRIES = 3  # of one call; AWS refuses calls that come too fast


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

    def as_asked(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"Id": self.id, "Port": self.port, **({"AvailabilityZone": self.zone} if self.zone else {})}


@dataclass(frozen=True)
class Group:
    """A target group: where it is, the port of targets that name none, and whether it checks them."""

    arn: str
    port: int
    checked: bool

    def name(self, target: Target) -> str:
        """What a member is called: its id, with its port where that is not the group's own."""
        return target.id if target.port == self.port else target.key


class AwsTargetGroup(Balancer):
    """See the module's own text."""

    provider = "aws_target_group"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        region = options["region"] or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        super().__init__(name, f"{options['url'] or 'elasticloadbalancing'} {region}".strip(), capabilities)
        if bool(options["access_key"]) != bool(options["secret_key"]):
            raise InvalidInput(f"Balancer {name}: `access_key` and `secret_key` belong together. Nothing was touched.")
        self._options, self._region = options, region
        self._connected: Any = None

    def version(self) -> str:
        # The service has none; its interface has.
        return str(self._client.meta.service_model.api_version)

    def members(self, pool: str) -> list[Member]:
        group = self._group(pool)
        return [_member(group, target, health) for target, health in self._targets(group)]

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        # A target that is registered anew is not believed to be what it was: there is nothing to do for `distrust`.
        group = self._group(pool)
        known = {group.name(target): (target, health) for target, health in self._targets(group)}
        leaving, returning = [], []
        for change in changes:
            if change.name not in known:
                raise Refused(f"Balancer {self.name}: target group {pool} has no target {change.name}.")
            if change.state == DRAINED:
                raise self._cannot("drain a target and keep it for its clients")
            target, health = known[change.name]
            if change.state is not None and change.state != _state(health):
                (returning if change.state == ENABLED else leaving).append(target)
        if leaving:
            tags = [{"Key": OUT + target.key, "Value": target.zone} for target in leaving]
            self._call("add_tags", ResourceArns=[group.arn], Tags=tags)
            self._call("deregister_targets", TargetGroupArn=group.arn, Targets=[t.as_asked() for t in leaving])
        if returning:
            self._call("register_targets", TargetGroupArn=group.arn, Targets=[t.as_asked() for t in returning])
            self._call("remove_tags", ResourceArns=[group.arn], TagKeys=[OUT + t.key for t in returning])
        members = self._seen_as(pool, changes)
        self.check_written(
            pool,
            changes,
            members,
            "Something else registers or deregisters it: an auto scaling group, or another controller.",
        )
        return members

    def _seen_as(self, pool: str, changes: list[Change]) -> list[Member]:
        """The pool once it shows what was written, which may take a moment; or as it is when our patience ends."""
        clock = Clock()
        deadline = Deadline(clock, self._options["timeout"])
        while True:
            members = self.members(pool)
            now = {member.name: member for member in members}
            if deadline.passed or not any(c.name not in now or c.alters(now[c.name]) for c in changes):
                return members
            clock.sleep(POLL)

    def _group(self, pool: str) -> Group:
        if not NAME.fullmatch(pool):
            raise InvalidInput(f"{pool!r} is neither the name nor the ARN of a target group. Nothing was touched.")
        by = "TargetGroupArns" if pool.startswith("arn:") else "Names"
        answer = self._call("describe_target_groups", none="TargetGroupNotFound", **{by: [pool]})
        groups = _rows(answer, "TargetGroups") if answer else []
        if not groups:
            raise InvalidInput(f"Balancer {self.name} has no pool {pool!r}. {self._there_are()} Nothing was touched.")
        group, kind = groups[0], groups[0].get("TargetType", "instance")
        if kind not in TARGETS:
            raise InvalidInput(
                f"Balancer {self.name}: the targets of {pool} are of type {kind}; there is nothing to roll out to. Nothing was touched."
            )
        return self._told(
            lambda: Group(str(group["TargetGroupArn"]), int(group["Port"]), bool(group.get("HealthCheckEnabled", True)))
        )

    def _there_are(self) -> str:
        answer = self._call("describe_target_groups")
        names = sorted(str(group.get("TargetGroupName")) for group in _rows(answer, "TargetGroups"))
        more = ", …" if answer.get("NextMarker") else ""
        return f"Target groups in {self._region or 'this region'} are: {', '.join(names) or 'none'}{more}."

    def _targets(self, group: Group) -> list[tuple[Target, dict[str, Any]]]:
        """Every target and what AWS says of its health: those it knows, and those that are out, in one order whoever is out."""
        tags = self._call("describe_tags", ResourceArns=[group.arn])
        found = self._call("describe_target_health", TargetGroupArn=group.arn)

        def read() -> dict[Target, dict[str, Any]]:
            targets = {}
            for row in _rows(tags, "TagDescriptions"):
                for tag in _rows(row, "Tags"):
                    if tag["Key"].startswith(OUT):
                        id_, _colon, port = tag["Key"][len(OUT) :].rpartition(":")
                        targets[Target(id_, int(port), tag.get("Value") or "")] = {"State": "unused"}
            out = {target.key: target for target in targets}
            for row in _rows(found, "TargetHealthDescriptions"):
                told = row["Target"]
                target = Target(str(told["Id"]), int(told.get("Port", group.port)), told.get("AvailabilityZone") or "")
                targets[out.get(target.key, target)] = dict(row["TargetHealth"])
            return targets

        return sorted(self._told(read).items(), key=lambda item: (item[0].id, item[0].port))

    def _told(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreachable(
                f"Balancer {self.name}: {self.endpoint} answered what the ELBv2 API never does ({type(error).__name__}: {error})."
            ) from None

    @property
    def _client(self) -> Any:
        if self._connected is None:
            self._connected = self._connect()
        return self._connected

    def _connect(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise InvalidInput(
                f"Balancer {self.name}: provider {self.provider} needs the Python package boto3 where it is talked from, for "
                f"{sys.executable} (Python {sys.version.split()[0]}): {error}. Nothing was touched."
            ) from None
        options = self._options
        patience = Config(
            connect_timeout=options["timeout"],
            read_timeout=options["timeout"],
            retries={"mode": "standard", "total_max_attempts": TRIES},
        )
        try:
            session = boto3.session.Session(
                aws_access_key_id=options["access_key"],
                aws_secret_access_key=options["secret_key"],
                aws_session_token=options["session_token"],
                region_name=self._region or None,
                profile_name=options["profile"],
            )
            return session.client("elbv2", endpoint_url=options["url"], config=patience)
        except (BotoCoreError, ValueError) as error:
            raise InvalidInput(f"Balancer {self.name}: {error} Nothing was touched.") from None

    def _call(self, what: str, none: str = "", **arguments: Any) -> dict[str, Any]:
        """One call of the API.

        :param none: the error that says that there is no such thing; an empty answer is returned then.
        """
        client = self._client
        from botocore import exceptions as failures
        from botocore.parsers import ResponseParserError

        try:
            answer = getattr(client, what)(**arguments)
        except failures.ClientError as error:
            told = error.response.get("Error", {})
            if none and told.get("Code") == none:
                return {}
            raise self._error(what, str(told.get("Code")), str(told.get("Message"))) from None
        except (failures.ReadTimeoutError, failures.ConnectTimeoutError):
            patience = f"{TRIES} times within {self._options['timeout']:g} s"
            raise Unreachable(f"Balancer {self.name}: {self.endpoint} did not answer {what}, {patience}.") from None
        except (
            failures.NoCredentialsError,
            failures.PartialCredentialsError,
            failures.CredentialRetrievalError,
        ) as error:
            raise Refused(
                f"Balancer {self.name}: AWS cannot be asked without credentials: {str(error).rstrip('.')}."
            ) from None
        except failures.BotoCoreError as error:
            raise Unreachable(f"Balancer {self.name}: {what} at {self.endpoint}: {str(error).rstrip('.')}.") from None
        except (
            ResponseParserError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:  # botocore's, over garbage
            raise Unreachable(
                f"Balancer {self.name}: what answers at {self.endpoint} is not the ELBv2 API: {' '.join(str(error).split())[:200]}"
            ) from None
        return answer if isinstance(answer, dict) else {}

    def _error(self, what: str, code: str, message: str) -> DeployError:
        said = f"Balancer {self.name}: AWS answered {code} to {what}: {message}"
        busy = code in (
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "ServiceUnavailable",
            "InternalFailure",
        )
        # Without a code that AWS gives, what answers may be anything.
        return Unreachable(said) if busy or code.isdigit() else Refused(said)


def _rows(answer: Any, key: str) -> list[dict[str, Any]]:
    rows = answer.get(key) if isinstance(answer, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _state(health: dict[str, Any]) -> str:
    """A target that is being deregistered, or is not registered, is out; all others get traffic as soon as they are healthy."""
    state = str(health.get("State"))
    gone = state == "unused" and health.get("Reason", "Target.NotRegistered") == "Target.NotRegistered"
    return DISABLED if gone or state.endswith("draining") else ENABLED


def _member(group: Group, target: Target, health: dict[str, Any]) -> Member:
    state, said = _state(health), str(health.get("State"))
    checked = group.checked and said != "unavailable"
    known = {"healthy": UP, "unavailable": UNKNOWN}.get(said, DOWN)
    return Member(
        name=group.name(target),
        address=("[{}]:{}" if ":" in target.id else "{}:{}").format(target.id, target.port),
        state=state,
        weight=NO_WEIGHT,
        health=UNKNOWN if state == DISABLED or not checked else known,
        in_flight=0 if state == DISABLED and not said.endswith("draining") else None,
        checked=checked,
        last_check=" ".join(
            filter(None, (said, str(health.get("Reason") or ""), str(health.get("Description") or "")))
        ),
    )
