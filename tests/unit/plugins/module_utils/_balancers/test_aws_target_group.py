# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS says of a target, in the design's words; without boto3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import aws_targets as aws
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.aws_target_group import NAME
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError, InvalidInput

GROUP = aws.Group("arn:x", 80, True)


@pytest.mark.parametrize(
    ("health", "state", "seen", "in_flight"),
    [
        ({"State": "healthy"}, "enabled", "up", None),
        ({"State": "unhealthy", "Reason": "Target.ResponseCodeMismatch"}, "enabled", "down", None),
        # It gets no traffic before its first checks have passed.
        ({"State": "initial", "Reason": "Elb.RegistrationInProgress"}, "enabled", "down", None),
        ({"State": "initial", "Reason": "Elb.InitialHealthChecking"}, "enabled", "down", None),
        ({"State": "draining", "Reason": "Target.DeregistrationInProgress"}, "disabled", "unknown", None),
        ({"State": "unhealthy.draining"}, "disabled", "unknown", None),
        ({"State": "unused", "Reason": "Target.NotRegistered"}, "disabled", "unknown", 0),
        ({"State": "unused"}, "disabled", "unknown", 0),
        # Registered, and yet without traffic.
        ({"State": "unused", "Reason": "Target.NotInUse"}, "enabled", "down", None),
        ({"State": "unused", "Reason": "Target.InvalidState"}, "enabled", "down", None),
        ({"State": "something new"}, "enabled", "down", None),
    ],
)
def test_a_target_as_a_member(health, state, seen, in_flight):
    member = aws.member(GROUP, aws.Target("i-1", 80), health)
    assert (member.state, member.health, member.in_flight) == (state, seen, in_flight)
    assert member.available is (health["State"] == "healthy")
    assert member.last_check.startswith(health["State"])


def test_a_target_whose_group_checks_nobody_is_available():
    member = aws.member(GROUP, aws.Target("i-1", 80), {"State": "unavailable", "Reason": "Target.HealthCheckDisabled"})
    assert (member.checked, member.health, member.available) == (False, "unknown", True)


@pytest.mark.parametrize(
    ("target", "name", "address"),
    [
        (aws.Target("i-1", 80), "i-1", "i-1:80"),
        (aws.Target("i-1", 81), "i-1:81", "i-1:81"),
        (aws.Target("2001:db8::1", 80), "2001:db8::1", "[2001:db8::1]:80"),
    ],
)
def test_names_and_addresses(target, name, address):
    member = aws.member(GROUP, target, {"State": "healthy"})
    assert (member.name, member.address) == (name, address)


@pytest.mark.parametrize("protocol", ["TCP", "TLS", "UDP", "TCP_UDP"])
def test_the_end_of_a_deregistration_says_nothing_of_connections(protocol):
    group = aws.Group("arn:x", 80, True, protocol)
    assert aws.member(group, aws.Target("i-1", 80), aws.NOT_REGISTERED).in_flight is None


@pytest.mark.parametrize(
    ("value", "zone", "since"),
    [("", "", 0), ("all", "all", 0), ("all/1767225600", "all", 1767225600), ("/1767225600", "", 1767225600), ("a/b", "a", 0)],
)
def test_tags(value, zone, since):
    tags = [{"Key": "team", "Value": "shop"}, {"Key": f"{aws.OUT}2001:db8::1:80", "Value": value}]
    records = list(aws.records({"TagDescriptions": [{"Tags": tags}]}).values())
    assert len(records) == 1
    record = records[0]
    assert (record.target, record.since) == (aws.Target("2001:db8::1", 80, zone), since)
    if since:
        assert record.target.tag(since) == tags[1]


@pytest.mark.parametrize(
    ("name", "address", "target"),
    [
        ("i-1", "i-1:80", aws.Target("i-1", 80)),
        ("i-1:81", "i-1:81", aws.Target("i-1", 81)),
        ("i-1:80", "i-1:80", aws.Target("i-1", 80)),
        ("2001:db8::1", "[2001:db8::1]:80", aws.Target("2001:db8::1", 80)),
    ],
)
def test_a_target_to_be_added(name, address, target):
    assert GROUP.target(name, address) == target


@pytest.mark.parametrize(
    ("name", "address", "said"),
    [
        ("i-1", "i-1", "is no address of a target"),
        ("i-1", "i-1:0", "is no address"),
        ("i-1", ":80", "is no address"),
        ("m1", "i-1:80", "is called i-1, not m1.*`names`"),
        ("i-1", "i-1:81", "is called i-1:81, not i-1"),
    ],
)
def test_a_target_that_cannot_be_added(name, address, said):
    with pytest.raises(InvalidInput, match=f"{said}.*Nothing was touched"):
        GROUP.target(name, address)


def test_how_long_checks_take():
    row = {"TargetGroupArn": "a", "Port": 80, "HealthCheckIntervalSeconds": 30, "HealthyThresholdCount": 5}
    assert aws.group({**row, "HealthCheckTimeoutSeconds": 5}).check == 155
    assert aws.group({**row, "HealthCheckEnabled": False}).check is None
    assert aws.group({"TargetGroupArn": "a", "Port": 80}).check is None


@pytest.mark.parametrize(
    ("pool", "good"),
    [
        ("shop", True),
        ("a" * 32, True),
        ("arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:targetgroup/shop/0123456789abcdef", True),
        ("a" * 33, False),
        ("-shop", False),
        ("shop\n", False),
        ("arn:aws:s3:::shop", False),
        ("", False),
    ],
)
def test_names_of_target_groups(pool, good):
    assert bool(NAME.fullmatch(pool)) is good


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["TargetGroups", "TargetGroupArn", "Port", "TagDescriptions", "Tags", "Key", "TargetHealthDescriptions"]
                + ["Target", "TargetHealth", "Id", "State"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
ANSWERS = st.fixed_dictionaries(
    {
        "describe_target_groups": st.just({"TargetGroups": [{"TargetGroupArn": "a", "Port": 80}]}) | JSON,
        "describe_tags": JSON | st.lists(JSON).map(lambda rows: {"TagDescriptions": [{"Tags": rows}]}),
        "describe_target_health": JSON | st.lists(JSON).map(lambda rows: {"TargetHealthDescriptions": rows}),
    }
)


@given(ANSWERS)
def test_whatever_is_answered_ends_in_members_or_in_words(answers):
    balancer = open_balancer({"provider": "aws_target_group", "region": "r"})
    balancer.api.call = lambda what, **_: answers.get(what) if isinstance(answers.get(what), dict) else {}
    for look in (balancer.members, balancer.heal, balancer.other_pools, balancer.timing):
        try:
            look("shop")
        except DeployError as error:
            assert error.message.startswith("Balancer ")


def test_a_key_without_its_secret():
    with pytest.raises(InvalidInput, match="belong together"):
        open_balancer({"provider": "aws_target_group", "secret_key": "s3cr3t"})


def test_where_it_is_depends_on_the_region_and_not_on_who_asks(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    one = open_balancer({"provider": "aws_target_group", "access_key": "a", "secret_key": "b"})
    two = open_balancer({"provider": "aws_target_group", "region": "eu-central-1", "profile": "deploy"})
    assert one.endpoint == two.endpoint == "elasticloadbalancing eu-central-1"
