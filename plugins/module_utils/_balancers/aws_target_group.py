# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Target groups of AWS load balancers, over the ELBv2 API: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/

A pool is a target group, by name or ARN, with targets of type `instance` or `ip`; a member is a target and a port.  What is not
obvious:

* a target has no state: it is registered or not, and one that is not is forgotten.  Which ones are members and are out is
  therefore recorded on the target group itself, one tag each, where every controller and every person can read it;
* the order of two calls that are no transaction: the tag first, then the target is deregistered; back, the target is registered
  first.  Whatever ends a writer in between leaves a tag too many, which does no harm while its target is registered, and never a
  target that is out without a tag, which would be lost to everyone.  A tag too many is removed where the deregistration fails, and
  else, an hour later, before the next write (:meth:`AwsTargetGroup.heal`).  Earlier it may be of another controller's that is
  between its two calls;
* a tag outlives its instance.  One whose instance is terminated is no member, if EC2 may be asked; its tag is removed before the
  next write.  Of an address it is not known whether anything is there: `state: absent` removes it;
* a target that leaves is `draining` until the group's deregistration delay has passed, also when nothing is under way any
  more; how much is, is never told.  A Network Load Balancer keeps connections beyond that, so that there it tells nothing;
* a target that is registered anew is `initial` and gets nothing until checks that began since have passed: fresh by nature.
  But while no target at all is healthy, the load balancer sends to all of them.

AWS limits how often it is asked, all users of an account together.  So a look is one call: the group is read once for each task,
and the tags again before a write, or when a target has vanished.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, InvalidInput, Refused
from .._domain.members import DRAINED, ENABLED, Change, Member
from .._domain.pools import OtherPool, Pace, Timing
from . import aws_targets
from .aws_api import AwsApi, Declined
from .aws_targets import NOT_REGISTERED, Group, Record, Target, rows, state
from .base import Balancer
from .declaration import Capabilities

TARGETS = ("instance", "ip")
NAME = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?|arn:[A-Za-z0-9-]+:elasticloadbalancing:[A-Za-z0-9:/-]+"
)
POLL, LONGEST_POLL = 0.5, 2.0  # seconds between two looks at what was written
STALE = 3600.0  # seconds after which a tag of a registered target is of no writer that is still at work
DELAY = "deregistration_delay.timeout_seconds"


class AwsTargetGroup(Balancer):
    """See the module's own text."""

    provider = "aws_target_group"
    delays_leaving = True  # by the deregistration delay
    watchable = False  # AWS limits how often it is asked, and keeps what was written
    pace = Pace(first=1.0, longest=5.0)
    in_flight_source = (
        "the state `draining` of a target, which lasts for the deregistration delay; AWS does not count requests"
    )

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        region = options["region"] or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        super().__init__(name, f"{options['url'] or 'elasticloadbalancing'} {region}".strip(), capabilities)
        if bool(options["access_key"]) != bool(options["secret_key"]):
            raise InvalidInput(f"Balancer {name}: `access_key` and `secret_key` belong together. Nothing was touched.")
        self.api = AwsApi(self.provider, name, self.endpoint, region, options)
        self._timeout: float = options["timeout"]
        self._groups: dict[str, Group] = {}  # by name or ARN, as last read
        self._records: dict[str, dict[str, Record]] = {}  # what the tags of a group say, by ARN
        self._seen: dict[str, set[str]] = {}  # keys of the targets that a group had, by ARN
        self._instances: dict[str, bool] = {}  # whether an instance that is not registered is gone
        self._left: dict[str, float] = {}  # when targets of a group left here, by ARN

    def version(self) -> str:
        # The service has none; its interface has.
        return str(self.api.client("elbv2").meta.service_model.api_version)

    def heal(self, pool: str) -> None:
        group = self._group(pool)
        self._forget_what_was_read(group)
        records = self._recorded(group)
        if not records:
            return
        known, now = self._registered(group), Clock().now()
        stale = [
            record.target
            for key, record in records.items()
            if (key in known and state(known[key][1]) == ENABLED and now - record.since > STALE)
            or (key not in known and self._is_gone(record.target, known))
        ]
        if stale:
            try:
                self._remove_tags(group, stale)
            except Refused:  # they do no harm, and what is to be written needs the right or does not
                return

    def members(self, pool: str) -> list[Member]:
        group = self._group(pool)
        return [aws_targets.member(group, target, health) for target, health in self._targets(group)]

    def other_pools(self, pool: str) -> list[OtherPool]:
        """One call for each other group of the same network and kind of targets that a load balancer uses."""
        group = self._group(pool)
        mine = {target.key: group.name(target) for target, _health in self._targets(group)}
        found = []
        for row in self.api.pages("describe_target_groups", "TargetGroups"):
            alike = row.get("VpcId", "") == group.vpc and row.get("TargetType", "instance") == group.kind
            if not alike or row.get("TargetGroupArn") == group.arn or not row.get("LoadBalancerArns"):
                continue
            theirs = self._registered(self._as_group(row))
            shared = tuple(mine[key] for key in mine if key in theirs)
            if shared:
                found.append(OtherPool(str(row.get("TargetGroupName")), shared, "same target"))
        return found

    def timing(self, pool: str) -> Timing:
        group = self._group(pool)
        delay = self._delay(group) if group.counts_requests_out else None
        if not group.counts_requests_out:
            why = f"connections of protocol {group.protocol} outlast the deregistration delay"
        elif delay is None:
            why = "the deregistration delay is not known: DescribeTargetGroupAttributes is not allowed"
        else:
            why = f"deregistration delay {delay:g} s"
        return Timing(delay, group.check, "; ".join(filter(None, (why, group.timing))))

    def busy_sentence(self, pool: str, busy: dict[str, int | None]) -> str:
        group = self._group(pool)
        delay = self._delay(group)
        left = self._left.get(group.arn)
        passed = "" if left is None else f" ({Clock().now() - left:.0f} s so far)"
        whole = (
            "the target group's deregistration delay" if delay is None else f"the deregistration delay of {delay:g} s"
        )
        return (
            f"AWS still shows these members as draining, as it does until {whole} has passed{passed}, also when nothing is in flight. "
            f"Allow more than that with `drain_timeout`, or set `{DELAY}` of the target group to the time that the longest request needs."
        )

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        # A target that is registered anew is not believed to be what it was: there is nothing to do for `distrust`.
        group = self._group(pool)
        self._forget_what_was_read(group)  # another controller may have written meanwhile
        known = {group.name(target): (target, health) for target, health in self._targets(group)}
        leaving, returning = [], []
        for change in changes:
            if change.name not in known:
                raise Refused(f"Balancer {self.name}: target group {pool} has no target {change.name}.")
            if change.state == DRAINED:
                raise self._cannot("drain a target and keep it for its clients")
            target, health = known[change.name]
            if change.state is not None and change.state != state(health):
                (returning if change.state == ENABLED else leaving).append(target)
        if leaving:
            self._take_out(group, leaving)
        if returning:
            self._let_in(group, pool, returning)
        members = self._seen_as(pool, changes)
        self.check_written(
            pool,
            changes,
            members,
            "Something else registers or deregisters it: an auto scaling group, or another controller.",
        )
        return members

    def add(self, pool: str, name: str, address: str, weight: int | None = None) -> None:
        group = self._group(pool)
        self._add_tags(group, [group.target(name, address)])

    def remove(self, pool: str, names: list[str]) -> None:
        group = self._group(pool)
        known = {group.name(target): target for target, _health in self._targets(group)}
        targets = [known[name] for name in names if name in known]
        if targets:
            self._remove_tags(group, targets)
            self._seen[group.arn].difference_update(target.key for target in targets)

    def _take_out(self, group: Group, targets: list[Target]) -> None:
        self._add_tags(group, targets)
        self._left[group.arn] = Clock().now()
        try:
            asked = [target.as_asked() for target in targets]
            self.api.call("deregister_targets", TargetGroupArn=group.arn, Targets=asked)
        except DeployError as error:
            self._take_back_tags(group, targets, error)
            raise

    def _take_back_tags(self, group: Group, targets: list[Target], failure: DeployError) -> None:
        """Remove the tags of targets whose deregistration failed.  One that left all the same, without an answer, keeps its tag."""
        try:
            known = self._registered(group)
            still_in = [target for target in targets if target.key in known and state(known[target.key][1]) == ENABLED]
            if still_in:
                self._remove_tags(group, still_in)
        except DeployError as error:
            keys = ", ".join(target.tag_key for target in targets)
            failure.message += (
                f" The tags that were written before ({keys}) are still on {group.arn}: {error.message} They do no harm while their "
                "targets are registered. Remove them, or let the first write in an hour do it."
            )

    def _let_in(self, group: Group, pool: str, targets: list[Target]) -> None:
        asked = [target.as_asked() for target in targets]
        try:
            self.api.call("register_targets", TargetGroupArn=group.arn, Targets=asked)
        except Declined as error:
            if error.code == "InvalidTarget":
                keys = ", ".join(target.tag_key for target in targets)
                error.message += (
                    " Start an instance that is stopped, and run the task again. A target that is gone is a member of "
                    f"{pool} because of its tag alone ({keys}): `state: absent` of pool_member removes that."
                )
            raise
        self._remove_tags(group, targets)

    def _seen_as(self, pool: str, changes: list[Change]) -> list[Member]:
        """The pool once it shows what was written, which may take a moment; or as it is when our patience ends."""
        clock = Clock()
        deadline, pause = Deadline(clock, self._timeout), POLL
        while True:
            members = self.members(pool)
            now = {member.name: member for member in members}
            if deadline.passed or not any(c.name not in now or c.alters(now[c.name]) for c in changes):
                return members
            clock.sleep(pause)
            pause = min(LONGEST_POLL, pause * 2)

    def _group(self, pool: str) -> Group:
        if not NAME.fullmatch(pool):
            raise InvalidInput(f"{pool!r} is neither the name nor the ARN of a target group. Nothing was touched.")
        if pool not in self._groups:
            self._groups[pool] = self._read_group(pool)
        return self._groups[pool]

    def _read_group(self, pool: str) -> Group:
        by = "TargetGroupArns" if pool.startswith("arn:") else "Names"
        answer = self.api.call("describe_target_groups", none="TargetGroupNotFound", **{by: [pool]})
        found = rows(answer, "TargetGroups") if answer else []
        if not found:
            raise InvalidInput(f"Balancer {self.name} has no pool {pool!r}. {self._there_are()} Nothing was touched.")
        kind = found[0].get("TargetType", "instance")
        if kind not in TARGETS:
            raise InvalidInput(
                f"Balancer {self.name}: the targets of {pool} are of type {kind}; there is nothing to roll out to. Nothing was touched."
            )
        group = self._as_group(found[0])
        if not group.counts_requests_out:
            self.capabilities = replace(self.capabilities, in_flight=False)
            self.in_flight_source = f"none: connections of protocol {group.protocol} outlast the deregistration delay"
        return group

    def _as_group(self, row: dict[str, Any]) -> Group:
        group: Group = self.api.told(lambda: aws_targets.group(row))
        return group

    def _there_are(self) -> str:
        answer = self.api.call("describe_target_groups")
        names = sorted(str(group.get("TargetGroupName")) for group in rows(answer, "TargetGroups"))
        more = ", …" if answer.get("NextMarker") else ""
        return f"Target groups in {self.api.region or 'this region'} are: {', '.join(names) or 'none'}{more}."

    def _targets(self, group: Group) -> list[tuple[Target, dict[str, Any]]]:
        """Every target and what AWS says of its health: those it knows, and those that are out, in one order whoever is out."""
        known, records = self._registered(group), self._recorded(group)
        if self._seen.get(group.arn, set()).difference(known, records):
            self._records.pop(group.arn)  # another controller has taken one out
            records = self._recorded(group)
        targets: dict[str, tuple[Target, dict[str, Any]]] = {}
        for key, record in records.items():
            if key in known or not self._is_gone(record.target, known):
                said = f"since a deregistration that the tag {record.target.tag_key} records"
                targets[key] = (record.target, {**NOT_REGISTERED, "Description": said})
        for key, (target, health) in known.items():
            # The zone is in the tag: a target that is leaving may be shown without.
            targets[key] = (records[key].target if key in records else target, health)
        self._seen[group.arn] = set(targets)
        return sorted(targets.values(), key=lambda item: (item[0].id, item[0].port))

    def _registered(self, group: Group) -> dict[str, tuple[Target, dict[str, Any]]]:
        answer = self.api.call("describe_target_health", TargetGroupArn=group.arn)
        found: dict[str, tuple[Target, dict[str, Any]]] = self.api.told(lambda: aws_targets.registered(answer, group))
        return {key: row for key, row in found.items() if row[1].get("Reason") != NOT_REGISTERED["Reason"]}

    def _recorded(self, group: Group) -> dict[str, Record]:
        if group.arn not in self._records:
            answer = self.api.call("describe_tags", ResourceArns=[group.arn])
            self._records[group.arn] = self.api.told(lambda: aws_targets.records(answer))
        return self._records[group.arn]

    def _forget_what_was_read(self, group: Group) -> None:
        self._records.pop(group.arn, None)
        self._seen.pop(group.arn, None)

    def _add_tags(self, group: Group, targets: list[Target]) -> None:
        now = Clock().now()
        self.api.call("add_tags", ResourceArns=[group.arn], Tags=[target.tag(now) for target in targets])
        self._recorded(group).update({target.key: Record(target, now) for target in targets})

    def _remove_tags(self, group: Group, targets: list[Target]) -> None:
        self.api.call("remove_tags", ResourceArns=[group.arn], TagKeys=[target.tag_key for target in targets])
        for target in targets:
            self._recorded(group).pop(target.key, None)

    def _is_gone(self, target: Target, known: dict[str, tuple[Target, dict[str, Any]]]) -> bool:
        """Whether a target that is not registered is an instance that there is no more."""
        if not target.id.startswith("i-"):
            return False
        if target.id not in self._instances:
            witness = next((other.id for other, _health in known.values() if other.id.startswith("i-")), "")
            self._instances[target.id] = target.id in self.api.gone_instances([target.id], witness)
        return self._instances[target.id]

    def _delay(self, group: Group) -> float | None:
        """Seconds of the deregistration delay; None where it may not be asked for."""
        try:
            answer = self.api.call("describe_target_group_attributes", TargetGroupArn=group.arn)
        except DeployError:
            return None
        found = {row.get("Key"): row.get("Value") for row in rows(answer, "Attributes")}
        delay = str(found.get(DELAY, ""))
        return float(delay) if delay.isdecimal() else None
