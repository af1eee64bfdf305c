# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""moto's server, which stands in for AWS: it knows target groups, tags and IAM's permissions, and moves no traffic."""

from __future__ import annotations

import atexit
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    Maker,
    Rig,
    Server,
    Settings,
)
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

REGION = "eu-central-1"
ADMIN = {"access_key": "admin", "secret_key": "admin"}
MAY_LOOK = (
    '{"Version": "2012-10-17", "Statement": '
    '[{"Effect": "Allow", "Action": "elasticloadbalancing:Describe*", "Resource": "*"}]}'
)
MAY_ALL = MAY_LOOK.replace("Describe", "")
# What docs/balancers.md asks for, and no more.
MAY_DEPLOY = MAY_LOOK.replace(
    '"elasticloadbalancing:Describe*"',
    '["ec2:DescribeInstances", %s]'
    % ", ".join(
        f'"elasticloadbalancing:{right}"'
        for right in (
            "DescribeTargetGroups",
            "DescribeTargetGroupAttributes",
            "DescribeTargetHealth",
            "DescribeTags",
            "AddTags",
            "RemoveTags",
            "RegisterTargets",
            "DeregisterTargets",
        )
    ),
)


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    if not find_spec("moto") or not find_spec("boto3"):
        return {}
    return {"aws_target_group": Maker(AwsTargetGroupRig, PROVIDERS["aws_target_group"].capabilities, traffic=False)}


class AwsTargetGroupRig(Rig):
    """A load balancer with one target group whose targets are addresses of the loopback network, one for each member.

    moto keeps one target for each address, whatever its port: members cannot share one.
    """

    refusal = "AWS answered AccessDenied to add_tags"
    # Servers that nobody uses any more: to start one takes seconds, to make it forget everything none.
    _spare: list[tuple[Server, int]] = []

    def __init__(self, directory: Path, settings: Settings) -> None:
        super().__init__(directory, settings)
        directory.mkdir(parents=True, exist_ok=True)
        self.server, self.port = (
            self._spare.pop() if self._spare else (Server(directory / "moto.log"), free_ports(1)[0])
        )
        self.url = f"http://127.0.0.1:{self.port}"
        self.arn = ""
        self.keys: dict[str, dict[str, str]] = {}
        self.targets = {
            name: f"127.0.{number // 200}.{number % 200 + 1}" for number, name in enumerate(settings.members)
        }

    def start(self) -> None:
        if self.server.process is None:
            command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
            self.server.start(command, self._answers)
            atexit.register(self.server.stop)
        self._moto("reset-auth", b"inf")
        self._moto("reset", b"")
        self._build()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):
                return True
        except OSError:
            return False

    def client(self, service: str, **keys: str) -> Any:
        """boto3's client of a service, by itself or with somebody's keys."""
        import boto3

        keys = keys or ADMIN
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=keys["access_key"],
            aws_secret_access_key=keys["secret_key"],
        )

    def _build(self) -> None:
        network, balancers = self.client("ec2"), self.client("elbv2")
        vpc = network.create_vpc(CidrBlock="127.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            network.create_subnet(VpcId=vpc, CidrBlock=f"127.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")
            for number, zone in enumerate("ab")
        ]
        ids = [subnet["Subnet"]["SubnetId"] for subnet in subnets]
        balancer = balancers.create_load_balancer(Name="lb", Subnets=ids)["LoadBalancers"][0]["LoadBalancerArn"]
        self.arn = self._group(POOL, vpc, balancer, 80, self.settings.members)
        if self.settings.other:
            self._group(OTHER_POOL, vpc, balancer, 81, self.settings.other)
        policies = {"may all": ("all", MAY_ALL), "may look": ("look", MAY_LOOK), "may deploy": ("deploy", MAY_DEPLOY)}
        self.keys = {who: self._user(*policy) for who, policy in policies.items()}
        # From now on it holds every call against the permissions of who makes it.
        self._moto("reset-auth", b"0")

    def _group(self, name: str, vpc: str, balancer: str, port: int, members: dict[str, int]) -> str:
        balancers = self.client("elbv2")
        group = balancers.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip")
        arn: str = group["TargetGroups"][0]["TargetGroupArn"]
        # Less than the 300 s that AWS begins with, which no drain of the tests waits for.
        delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
        balancers.modify_target_group_attributes(TargetGroupArn=arn, Attributes=delay)
        # A target group that no load balancer uses has no healthy targets.
        forward = [{"Type": "forward", "TargetGroupArn": arn}]
        balancers.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=port, DefaultActions=forward)
        targets = [{"Id": self.targets[member], "Port": port} for member, port in members.items()]
        if targets:
            balancers.register_targets(TargetGroupArn=arn, Targets=targets)
        return arn

    def _user(self, name: str, policy: str) -> dict[str, str]:
        people = self.client("iam")
        people.create_user(UserName=name)
        people.put_user_policy(UserName=name, PolicyName="pools", PolicyDocument=policy)
        key = people.create_access_key(UserName=name)["AccessKey"]
        return {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}

    def _moto(self, what: str, data: bytes) -> None:
        headers = {"Content-Type": "text/plain"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/{what}", data, headers), timeout=5):
            pass

    def stop(self) -> None:
        self.server.stop()

    def close(self) -> None:
        if self.server.process is not None:
            self.server.thaw()
            self._spare.append((self.server, self.port))

    def restart(self) -> None:
        pytest.fail("AWS is not restarted, and moto would forget everything")

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def _entry(self, who: str, **more: Any) -> dict[str, Any]:
        names = {name: f"{id_}:{self.settings.members[name]}" for name, id_ in self.targets.items()}
        keys = self.keys.get(who, ADMIN)
        return {"provider": "aws_target_group", "region": REGION, "url": self.url, "names": names, **keys, **more}

    def entry(self, **more: Any) -> dict[str, Any]:
        return self._entry("may deploy", **more)

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        return self._entry("may look", **more)

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        (closed,) = free_ports(1)
        return self._entry("may all", **{"url": f"http://127.0.0.1:{closed}/nothing", **more})

    def address(self, name: str) -> str:
        return f"{self.targets[name]}:{self.settings.members[name]}"

    def check_passed(self, member: Member) -> bool:
        return member.last_check == "healthy"

    def check_failed(self, member: Member) -> bool:
        return member.last_check.startswith("unhealthy")
