# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only target groups have: members that are forgotten when they leave, tags that remember them, and a slow farewell."""

from __future__ import annotations

import json
import sys
import time

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import aws_api
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

exceptions = pytest.importorskip("botocore.exceptions")

KEY = "zero_downtime.deploy/out/"


@pytest.fixture
def group(make_aws_target_group):
    """moto with the usual target group."""
    return make_aws_target_group()


def tags(rig):
    (described,) = rig.client("elbv2", **rig.keys["may all"]).describe_tags(ResourceArns=[rig.arn])["TagDescriptions"]
    return {tag["Key"]: tag["Value"].partition("/")[0] for tag in described["Tags"]}


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


def allow(rig, *rights):
    """Let the user of the rig's read-only entry do this, and nothing else."""
    # Its own administrator is nobody to moto since permissions are held against.
    rig._moto("reset-auth", b"inf")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": list(rights)}]}
    rig.client("iam").put_user_policy(UserName="look", PolicyName="pools", PolicyDocument=json.dumps(policy))
    rig._moto("reset-auth", b"0")


def test_a_tag_is_taken_back_when_its_target_could_not_be_deregistered(group):
    allow(group, *(f"elasticloadbalancing:{action}" for action in ("Describe*", "AddTags", "RemoveTags", "RegisterTargets")))
    with pytest.raises(Refused, match=r"AccessDenied to deregister_targets.*as they were before \(m1\)"):
        set_pool(group.read_only_entry(), ["m1"], state="disabled")
    assert group.members()["m1"].available and len(group.members()) == 4
    assert tags(group) == {}


def test_a_tag_that_cannot_be_taken_back_is_named(group):
    allow(group, "elasticloadbalancing:Describe*", "elasticloadbalancing:AddTags")
    key = f"{KEY}{group.address('m1')}"
    with pytest.raises(Refused, match=rf"deregister_targets.*tags that were written before \({key}\) are still on arn:.*remove_tags"):
        set_pool(group.read_only_entry(), ["m1"], state="disabled")
    assert tags(group) == {key: ""} and group.members()["m1"].available


@pytest.fixture
def machines(group):
    """A target group `vm` of three instances; their ids."""
    group._moto("reset-auth", b"inf")
    client, ec2 = group.client("elbv2"), group.client("ec2")
    vpc = client.describe_target_groups(TargetGroupArns=[group.arn])["TargetGroups"][0]["VpcId"]
    subnet = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"][0]["SubnetId"]
    made = ec2.run_instances(ImageId="ami-12c6146b", MinCount=3, MaxCount=3, SubnetId=subnet)["Instances"]
    ids = sorted(instance["InstanceId"] for instance in made)
    arn = client.create_target_group(Name="vm", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance")
    group.arn = arn["TargetGroups"][0]["TargetGroupArn"]
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
    client.modify_target_group_attributes(TargetGroupArn=group.arn, Attributes=delay)
    balancer = client.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    forward = [{"Type": "forward", "TargetGroupArn": group.arn}]
    client.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=90, DefaultActions=forward)
    client.register_targets(TargetGroupArn=group.arn, Targets=[{"Id": id_} for id_ in ids])
    group._moto("reset-auth", b"0")
    return ids


def terminate(rig, *ids):
    rig._moto("reset-auth", b"inf")
    rig.client("ec2").terminate_instances(InstanceIds=list(ids))
    rig._moto("reset-auth", b"0")


def test_an_instance_that_is_terminated_while_it_is_out_is_no_member(group, machines):
    entry = {**group.entry(), "names": {}}
    set_pool(entry, machines[:1], state="disabled", pool="vm")
    terminate(group, machines[0])
    assert [m.name for m in open_balancer(entry).members("vm")] == machines[1:]
    # 66 % of three would be two.
    set_pool(entry, machines[1:2], state="disabled", pool="vm", min_available="50%")
    assert tags(group) == {f"{KEY}{machines[1]}:80": ""}


def test_an_instance_of_which_ec2_may_not_be_asked_stays_until_it_is_removed(group, machines):
    entry = {**group.entry(), "names": {}}
    set_pool(entry, machines[:1], state="disabled", pool="vm")
    terminate(group, machines[0])
    allow(group, "elasticloadbalancing:*")
    blind = {**group.read_only_entry(), "names": {}}
    members = {m.name: m for m in open_balancer(blind).members("vm")}
    assert members[machines[0]].state == "disabled"
    assert members[machines[0]].last_check.endswith(f"the tag {KEY}{machines[0]}:80 records")
    with pytest.raises(Refused, match=r"InvalidTarget.*Start an instance.*`state: absent`"):
        set_pool(blind, machines[:1], state="enabled", pool="vm")
    set_pool(blind, machines[:1], state="absent", pool="vm")
    assert tags(group) == {} and len(open_balancer(blind).members("vm")) == 2


def test_an_instance_that_is_stopped_is_a_member(group, machines):
    entry = {**group.entry(), "names": {}}
    set_pool(entry, machines[:1], state="disabled", pool="vm")
    group._moto("reset-auth", b"inf")
    group.client("ec2").stop_instances(InstanceIds=machines[:1])
    group._moto("reset-auth", b"0")
    assert [m.state for m in open_balancer(entry).members("vm")] == ["disabled", "enabled", "enabled"]
    with pytest.raises(Refused, match=r"InvalidTarget.*Start an instance that is stopped"):
        set_pool(entry, machines[:1], state="enabled", pool="vm")


def test_members_are_added_and_removed(group):
    entry = {**group.entry(), "names": {}}
    set_pool(entry, ["127.0.0.9"], state="enabled", addresses={"127.0.0.9": "127.0.0.9:8080"})
    assert group.members()["127.0.0.9"].available and tags(group) == {}
    set_pool(entry, ["127.0.0.9"], state="absent")
    assert len(group.members()) == 4 and tags(group) == {} and len(registered(group)) == 4


def test_target_groups_that_are_not_alike_are_not_other_pools(group):
    client = group.client("elbv2", **group.keys["may all"])
    vpc = client.describe_target_groups(TargetGroupArns=[group.arn])["TargetGroups"][0]["VpcId"]
    # No load balancer uses it, so that no request comes from there.
    idle = client.create_target_group(Name="idle", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")
    target = {"Id": "127.0.0.1", "Port": group.settings.members["m1"]}
    client.register_targets(TargetGroupArn=idle["TargetGroups"][0]["TargetGroupArn"], Targets=[target])
    client.create_target_group(Name="function", TargetType="lambda")
    assert group.balancer().other_pools(POOL) == []


def test_what_the_target_group_itself_says_of_time(group):
    client = group.client("elbv2", **group.keys["may all"])
    timing = group.balancer().timing(POOL)
    assert (timing.leave, timing.check) == (30, 30 * 5 + 5)
    assert timing.source == "deregistration delay 30 s; a check every 30 s, 5 in a row"
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "20"}]
    client.modify_target_group_attributes(TargetGroupArn=group.arn, Attributes=delay)
    assert group.balancer().timing(POOL).leave == 20
    allow(group, "elasticloadbalancing:DescribeTargetGroups")
    timing = open_balancer(group.read_only_entry()).timing(POOL)
    assert timing.leave is None and "DescribeTargetGroupAttributes is not allowed" in timing.source


def test_a_delay_that_is_longer_than_the_drain_may_take_is_refused(group):
    with pytest.raises(InvalidInput, match=r"busy for 30 s .*deregistration delay 30 s.*`drain_timeout` is 20 s.*Nothing was touched"):
        set_pool(group.entry(), ["m1"], state="disabled", drain_timeout=20)
    assert group.members()["m1"].state == "enabled"


def test_connections_outlast_the_deregistration_delay(group):
    client = group.client("elbv2", **group.keys["may all"])
    vpc = client.describe_target_groups(TargetGroupArns=[group.arn])["TargetGroups"][0]["VpcId"]
    made = client.create_target_group(Name="tcp", Protocol="TCP", Port=80, VpcId=vpc, TargetType="ip")
    target = {"Id": "127.0.0.1", "Port": 80}
    client.register_targets(TargetGroupArn=made["TargetGroups"][0]["TargetGroupArn"], Targets=[target])
    balancer = open_balancer(group.entry())
    (member,) = balancer.members("tcp")
    assert member.in_flight is None and not balancer.capabilities.in_flight
    assert balancer.timing("tcp").leave is None and "TCP" in balancer.in_flight_source
    with pytest.raises(InvalidInput, match="`drain_wait`"):
        set_pool(group.entry(), [member.name], state="disabled", pool="tcp", min_available=0, drain_wait=0)


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
    :param delay: seconds of the deregistration delay that it tells.
    """

    def __init__(self, drains=3, checks=3, becomes="healthy", delay=0):
        self.drains, self.checks, self.becomes, self.delay = drains, checks, becomes, delay
        self.calls = []
        self.throttled = {}  # answers that are Throttling, by call
        self.targets = {"10.0.0.1": [{"State": "healthy"}], "10.0.0.2": [{"State": "healthy"}]}
        self.tags = {}
        self.said = []

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if not name.startswith(("describe_", "add_", "remove_", "register_", "deregister_")):
            return found

        def call(**arguments):
            self.calls.append(name)
            if self.throttled.get(name, 0) > 0:
                self.throttled[name] -= 1
                raise exceptions.ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, name)
            return found(**arguments)

        return call

    def describe_target_groups(self, **_by):
        return {"TargetGroups": [{"TargetGroupArn": "arn:x", "Port": 80, "TargetType": "ip"}]}

    def describe_target_group_attributes(self, **_by):
        return {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": str(self.delay)}]}

    def describe_tags(self, **_by):
        return {"TagDescriptions": [{"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}]}

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
        self.tags.update({tag["Key"]: tag["Value"] for tag in Tags})

    def remove_tags(self, TagKeys, **_by):
        for key in TagKeys:
            self.tags.pop(key, None)

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
        monkeypatch.setattr(aws_api.AwsApi, "connect", lambda self, service: elb)
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
        set_pool(ENTRY, ["10.0.0.1"], state="enabled", health_timeout=5)
    assert [word for word, _targets in elb.said] == ["deregister", "register", "deregister"]
    assert set(elb.tags) == {f"{KEY}10.0.0.1:80"}


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


@pytest.mark.parametrize("value", ["all", "all/1767225600"])
def test_a_tag_that_a_writer_left_that_is_no_longer_at_work_is_removed_before_the_next_write(aws, value):
    elb = aws()
    elb.tags = {f"{KEY}10.0.0.1:80": value, "team": "shop"}
    open_balancer(ENTRY).heal("app")
    assert elb.tags == {"team": "shop"}


def test_a_tag_of_a_writer_that_may_be_at_work_stays(aws):
    elb = aws()
    elb.tags = {f"{KEY}10.0.0.1:80": f"all/{time.time():.0f}"}
    open_balancer(ENTRY).heal("app")
    assert list(elb.tags) == [f"{KEY}10.0.0.1:80"]


def test_a_target_that_left_without_an_answer_keeps_its_tag(aws, monkeypatch):
    elb = aws()
    deregister = elb.deregister_targets

    def silent(**how):
        deregister(**how)
        raise exceptions.ReadTimeoutError(endpoint_url="x")

    monkeypatch.setattr(elb, "deregister_targets", silent)
    with pytest.raises(Unreachable, match="did not answer deregister_targets"):
        open_balancer(ENTRY).apply("app", [Change("10.0.0.1", "disabled")])
    assert list(elb.tags) == [f"{KEY}10.0.0.1:80"]


def test_a_look_is_one_call(aws):
    elb = aws(drains=10**6)
    balancer = open_balancer(ENTRY)
    balancer.apply("app", [Change("10.0.0.1", "disabled")])
    elb.calls.clear()
    for _look in range(5):
        assert [m.state for m in balancer.members("app")] == ["disabled", "enabled"]
    assert elb.calls == ["describe_target_health"] * 5
    assert balancer.pace.first >= 1 and balancer.pace.longest >= 5


def test_a_member_that_another_controller_takes_out_meanwhile_is_still_one(aws):
    elb = aws(drains=1)
    ours, theirs = open_balancer(ENTRY), open_balancer(ENTRY)
    ours.members("app")
    theirs.apply("app", [Change("10.0.0.2", "disabled")])
    assert elb.targets["10.0.0.2"] == [None]
    assert [m.state for m in ours.members("app")] == ["enabled", "disabled"]


@pytest.mark.parametrize("call", ["describe_target_health", "add_tags", "deregister_targets"])
def test_throttling_is_borne_at_a_write_as_at_a_read(aws, monkeypatch, call):
    monkeypatch.setattr(aws_api, "PAUSES", (0.0,) * len(aws_api.PAUSES))
    elb = aws()
    elb.throttled = {call: len(aws_api.PAUSES)}
    assert open_balancer(ENTRY).apply("app", [Change("10.0.0.1", "disabled")])[0].state == "disabled"
    elb.throttled = {"register_targets": 99}
    with pytest.raises(Unreachable, match="Throttling to register_targets: Rate exceeded. It did so 15 times.*Run the task again"):
        open_balancer(ENTRY).apply("app", [Change("10.0.0.1", "enabled")])


def test_a_drain_that_outlasts_the_deadline_is_told_in_the_words_of_aws(aws):
    aws(drains=10**6, delay=300)
    balancer = open_balancer({**ENTRY, "names": {"m1": "10.0.0.1"}})
    balancer.apply("app", [Change("m1", "disabled")])
    said = balancer.busy_sentence("app", {"m1": None})
    assert "still shows these members as draining" in said and "deregistration delay of 300 s has passed (0 s so far)" in said
    assert "`drain_timeout`" in said and "None" not in said
