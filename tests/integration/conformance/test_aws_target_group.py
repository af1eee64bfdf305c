# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only target groups have: members that are forgotten when they leave, tags that remember them, and a slow farewell."""

from __future__ import annotations

import sys

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.aws_target_group import AwsTargetGroup
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    TimedOut,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.impostor import impostor
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, read, set_pool

pytest.importorskip("boto3")

KEY = "zero_downtime.deploy/out/"


@pytest.fixture
def group(make_aws_target_group):
    """moto with the usual target group."""
    return make_aws_target_group()


def tags(rig):
    (described,) = rig.client("elbv2", **rig.keys["may all"]).describe_tags(ResourceArns=[rig.arn])["TagDescriptions"]
    return {tag["Key"]: tag["Value"] for tag in described["Tags"]}


def registered(rig):
    found = rig.client("elbv2", **rig.keys["may all"]).describe_target_health(TargetGroupArn=rig.arn)
    return {row["Target"]["Id"] for row in found["TargetHealthDescriptions"]}


def test_who_is_out_is_written_on_the_target_group_and_nothing_else_of_it_changes(group):
    client = group.client("elbv2", **group.keys["may all"])
    client.add_tags(ResourceArns=[group.arn], Tags=[{"Key": "team", "Value": "shop"}])
    set_pool(group.entry(), ["m2", "m3"], state="disabled")
    ports = group.settings.members
    assert tags(group) == {
        "team": "shop",
        f"{KEY}127.0.0.2:{ports['m2']}": "",
        f"{KEY}127.0.0.3:{ports['m3']}": "",
    }
    assert registered(group) == {"127.0.0.1", "127.0.0.4"}
    set_pool(group.entry(), ["m2", "m3"], state="enabled")
    assert tags(group) == {"team": "shop"}
    assert registered(group) == {"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"}


def test_a_target_group_by_its_arn(group):
    balancer = open_balancer(group.entry())
    assert balancer.members(group.arn) == balancer.members(POOL)
    assert [m.state for m in balancer.apply(group.arn, [Change("m1", "disabled")])][0] == "disabled"


def test_a_member_is_called_by_its_port_only_where_that_is_not_the_groups(group):
    client = group.client("elbv2", **group.keys["may all"])
    client.register_targets(TargetGroupArn=group.arn, Targets=[{"Id": "127.0.0.9"}])
    balancer = open_balancer({key: value for key, value in group.entry().items() if key != "names"})
    members = balancer.members(POOL)
    assert [m.name for m in members] == [*(group.address(name) for name in group.targets), "127.0.0.9"]
    balancer.apply(POOL, [Change("127.0.0.9", "disabled")])
    assert tags(group) == {f"{KEY}127.0.0.9:8080": ""}
    assert balancer.members(POOL)[-1].address == "127.0.0.9:8080"


def test_instances_are_targets_too(group):
    client = group.client("elbv2", **group.keys["may all"])
    vpc = client.describe_target_groups(TargetGroupArns=[group.arn])["TargetGroups"][0]["VpcId"]
    other = client.create_target_group(Name="vm", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance")
    arn = other["TargetGroups"][0]["TargetGroupArn"]
    client.add_tags(ResourceArns=[arn], Tags=[{"Key": f"{KEY}i-0123456789abcdef0:80", "Value": ""}])
    (member,) = read(group.entry(), pool="vm")["balancers"][0]["members"]
    assert (member["name"], member["state"], member["in_flight"]) == ("i-0123456789abcdef0", "disabled", 0)


def test_functions_are_no_members(group):
    client = group.client("elbv2", **group.keys["may all"])
    client.create_target_group(Name="function", TargetType="lambda")
    with pytest.raises(InvalidInput, match="of type lambda.*Nothing was touched"):
        read(group.entry(), pool="function")


def test_what_somebody_registered_again_counts_as_what_it_is(group):
    set_pool(group.entry(), ["m1"], state="disabled")
    target = {"Id": "127.0.0.1", "Port": group.settings.members["m1"]}
    client = group.client("elbv2", **group.keys["may all"])
    client.register_targets(TargetGroupArn=group.arn, Targets=[target])
    assert group.members()["m1"].available and len(group.members()) == 4
    assert set_pool(group.entry(), ["m1"], state="enabled")["changed"] is False
    set_pool(group.entry(), ["m1"], state="disabled")
    set_pool(group.entry(), ["m1"], state="enabled")
    assert tags(group) == {}


def test_who_may_write_tags_alone_takes_nobody_out(group):
    client = group.client("iam")
    # Its own administrator is nobody to moto since permissions are held against.
    group._moto("reset-auth", b"inf")
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [%s]}]}'
        % ", ".join(
            f'"elasticloadbalancing:{action}"' for action in ("Describe*", "AddTags", "RemoveTags", "RegisterTargets")
        )
    )
    client.put_user_policy(UserName="look", PolicyName="pools", PolicyDocument=policy)
    group._moto("reset-auth", b"0")
    with pytest.raises(Refused, match=r"AccessDenied to deregister_targets.*as they were before \(m1\)"):
        set_pool(group.read_only_entry(), ["m1"], state="disabled")
    assert group.members()["m1"].available and len(group.members()) == 4


def test_wrong_credentials(group):
    entry = group.entry(access_key="AKIAWRONG", secret_key="the-secret-itself")
    with pytest.raises(Refused, match="InvalidClientTokenId|credentials") as failure:
        read(entry)
    assert "the-secret-itself" not in failure.value.message


def test_no_credentials(group, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    entry = {key: value for key, value in group.entry().items() if not key.endswith("_key")}
    with pytest.raises(Refused, match="AWS cannot be asked without credentials"):
        read(entry)
    with pytest.raises(InvalidInput, match="profile .*nobody.*Nothing was touched"):
        read({**entry, "profile": "nobody"})
    with pytest.raises(InvalidInput, match="belong together"):
        read({**entry, "access_key": "a"})


def test_without_boto3_it_is_told_what_is_missing_and_where(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(InvalidInput, match=rf"needs the Python package boto3.*{sys.executable}.*Nothing was touched"):
        read({"provider": "aws_target_group", "region": "eu-central-1"}, pool="app")


def test_forty_members(make_aws_target_group):
    rig = make_aws_target_group(members={f"n{number}": 8000 + number for number in range(250)}, wait=False)
    names = [f"n{number}" for number in range(40)]
    set_pool(rig.entry(), names, state="disabled")
    assert sorted(m.name for m in rig.members().values() if m.state == "disabled") == sorted(names)
    assert len(rig.members()) == 250


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"hello\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a>b",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<a/>",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n<html>",
    ],
)
def test_what_is_not_aws_is_said_not_to_be(reply):
    entry = {
        "provider": "aws_target_group",
        "region": "eu-central-1",
        "access_key": "a",
        "secret_key": "b",
        "timeout": 1.0,
    }
    with impostor(lambda asked: reply) as address, pytest.raises(Unreachable):
        read({**entry, "url": f"http://{address}"})


class Elb:
    """Answers as AWS documents it where moto does not: a target drains, and its first checks take their time.

    :param drains: looks for which a target that leaves is draining.
    :param checks: looks for which a target that comes back is initial.
    :param becomes: what it is then.
    """

    def __init__(self, drains=3, checks=3, becomes="healthy"):
        self.drains, self.checks, self.becomes = drains, checks, becomes
        self.targets = {"10.0.0.1": [{"State": "healthy"}], "10.0.0.2": [{"State": "healthy"}]}
        self.tags = set()
        self.said = []

    def describe_target_groups(self, **_by):
        return {"TargetGroups": [{"TargetGroupArn": "arn:x", "Port": 80, "TargetType": "ip"}]}

    def describe_tags(self, **_by):
        return {"TagDescriptions": [{"Tags": [{"Key": key, "Value": "all"} for key in self.tags]}]}

    def describe_target_health(self, **_by):
        rows = []
        for id_, coming in self.targets.items():
            state = coming.pop(0) if len(coming) > 1 else coming[0]
            if state:
                # One that leaves is shown without its zone here, so that nothing depends on it.
                zone = {} if state["State"] == "draining" else {"AvailabilityZone": "all"}
                rows.append({"Target": {"Id": id_, "Port": 80, **zone}, "TargetHealth": state})
        return {"TargetHealthDescriptions": rows}

    def add_tags(self, Tags, **_by):
        self.tags |= {tag["Key"] for tag in Tags}

    def remove_tags(self, TagKeys, **_by):
        self.tags -= set(TagKeys)

    def deregister_targets(self, Targets, **_by):
        self.said.append(("deregister", Targets))
        draining = {"State": "draining", "Reason": "Target.DeregistrationInProgress"}
        for target in Targets:
            self.targets[target["Id"]] = [draining] * self.drains + [None]

    def register_targets(self, Targets, **_by):
        self.said.append(("register", Targets))
        initial = {"State": "initial", "Reason": "Elb.InitialHealthChecking"}
        for target in Targets:
            self.targets[target["Id"]] = [initial] * self.checks + [{"State": self.becomes}]


@pytest.fixture
def aws(monkeypatch):
    """A function that makes what answers; set_pool and read find it."""

    def make(**how):
        elb = Elb(**how)
        monkeypatch.setattr(AwsTargetGroup, "_connect", lambda self: elb)
        return elb

    return make


ENTRY = {"provider": "aws_target_group", "region": "eu-central-1"}


def test_a_member_is_out_once_it_drains_no_more(aws):
    elb = aws(drains=4)
    (balancer,) = set_pool(ENTRY, ["10.0.0.1"], state="disabled")["balancers"]
    (member,) = balancer["members"]
    assert balancer["available"] == 1
    assert member["waited"]["for"] == "in flight 0" and member["after"]["in_flight"] == 0
    assert elb.targets["10.0.0.1"] == [None]
    assert elb.said == [("deregister", [{"Id": "10.0.0.1", "Port": 80, "AvailabilityZone": "all"}])]


def test_a_drain_that_takes_longer_than_allowed_is_undone(aws):
    elb = aws(drains=10**6)
    with pytest.raises(TimedOut, match=r"as they were before \(10\.0\.0\.1\)"):
        set_pool(ENTRY, ["10.0.0.1"], state="disabled", drain_timeout=0.2)
    assert [word for word, _targets in elb.said] == ["deregister", "register"] and not elb.tags
    assert len(open_balancer(ENTRY).members("app")) == 2
    # The zone that it had before, which AWS wants for addresses outside the network.
    assert elb.said[1][1] == [{"Id": "10.0.0.1", "Port": 80, "AvailabilityZone": "all"}]


def test_a_member_returns_once_its_first_checks_have_passed(aws):
    elb = aws()
    set_pool(ENTRY, ["10.0.0.1"], state="disabled")
    elb.checks = 7
    (member,) = set_pool(ENTRY, ["10.0.0.1"], state="enabled")["balancers"][0]["members"]
    assert member["waited"]["for"] == "fresh health" and member["after"]["health"] == "up"
    assert elb.targets["10.0.0.1"] == [{"State": "healthy"}]


def test_a_member_whose_first_checks_fail_is_taken_out_again(aws):
    elb = aws()
    set_pool(ENTRY, ["10.0.0.1"], state="disabled")
    elb.becomes = "unhealthy"
    with pytest.raises(TimedOut, match=r"10\.0\.0\.1 is down \(unhealthy\).*as they were before"):
        set_pool(ENTRY, ["10.0.0.1"], state="enabled", health_timeout=0.3)
    assert [word for word, _targets in elb.said] == ["deregister", "register", "deregister"]
    assert elb.tags == {f"{KEY}10.0.0.1:80"}


def test_what_is_accepted_and_not_done_is_found_by_reading_back(aws, monkeypatch):
    elb = aws()
    monkeypatch.setattr(elb, "deregister_targets", lambda **_: {})
    with pytest.raises(
        NotApplied, match=r"10\.0\.0\.1 was to be disabled and, read back, is enabled.*auto scaling group"
    ):
        open_balancer({**ENTRY, "timeout": 0.1}).apply("app", [Change("10.0.0.1", "disabled")])


def test_what_aws_shows_only_a_moment_later_is_waited_for(aws, monkeypatch):
    elb = aws()
    deregister = elb.deregister_targets

    def late(**how):
        deregister(**how)
        elb.targets["10.0.0.1"][:0] = [{"State": "healthy"}] * 2

    monkeypatch.setattr(elb, "deregister_targets", late)
    assert open_balancer(ENTRY).apply("app", [Change("10.0.0.1", "disabled")])[0].state == "disabled"
