# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of an EDS cluster: read in the design's words, changed in ours alone."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.eds_file import (
    EdsFile,
    normal,
    place,
    status,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change

STATES = ["enabled", "drained", "disabled"]


def endpoint(name, port=80, **more):
    address = {"socket_address": {"address": "192.0.2.1", "port_value": port}}
    return {"endpoint": {"address": address, **({"hostname": name} if name else {})}, **more}


def text_of(*localities, version="1", indent=2, **more):
    endpoints = [{"lb_endpoints": list(locality)} for locality in localities]
    assignment = {"@type": "type", "cluster_name": "app", "endpoints": endpoints}
    return json.dumps({"version_info": version, "resources": [assignment], **more}, indent=indent)


def facts(file):
    return {entry.name: (entry.state, entry.weight, entry.kept) for entry in file.entries("app")}


def told(file):
    """Names of those that Envoy is told of."""
    data = json.loads(str(file))["resources"][0]["endpoints"]
    return [each["endpoint"].get("hostname") for locality in data for each in locality.get("lb_endpoints", [])]


def less_version(text):
    return re.sub(r'"version_info": *"[^"]*"', "", text)


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ({}, "enabled"),
        ({"health_status": None}, "enabled"),
        ({"health_status": "UNKNOWN"}, "enabled"),
        ({"health_status": "HEALTHY"}, "enabled"),
        ({"health_status": "DEGRADED"}, "enabled"),
        ({"healthStatus": "DRAINING"}, "drained"),
        ({"health_status": 3}, "drained"),
        ({"health_status": "UNHEALTHY"}, "disabled"),
        ({"health_status": "TIMEOUT"}, "disabled"),
        ({"health_status": 4}, "disabled"),
    ],
)
def test_states(written, state):
    assert facts(EdsFile(text_of([endpoint("m1", **written)]))) == {"m1": (state, 1, False)}


@pytest.mark.parametrize(
    ("written", "weight"), [({}, 1), ({"load_balancing_weight": 5}, 5), ({"loadBalancingWeight": "7"}, 7)]
)
def test_weights(written, weight):
    assert facts(EdsFile(text_of([endpoint("m1", **written)]))) == {"m1": ("enabled", weight, False)}


def test_a_name_that_several_have_is_no_name():
    file = EdsFile(text_of([endpoint("m1", 1), endpoint("m1", 2)], [endpoint("m3", 3), endpoint("", 4)]))
    assert list(facts(file)) == ["192.0.2.1:1", "192.0.2.1:2", "m3", "192.0.2.1:4"]


def test_who_is_exempt_from_checks():
    one, two = endpoint("m1"), endpoint("m2")
    one["endpoint"]["health_check_config"] = {"disable_active_health_check": True}
    two["endpoint"]["healthCheckConfig"] = {"portValue": 8080}
    assert [entry.checked for entry in EdsFile(text_of([one, two])).entries("app")] == [False, True]


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ({"socket_address": {"address": "192.0.2.1", "port_value": 80}}, "192.0.2.1:80"),
        ({"socketAddress": {"address": "2001:DB8::0:1", "portValue": 80}}, "[2001:db8::1]:80"),
        ({"pipe": {"path": "/run/app.sock"}}, "/run/app.sock"),
    ],
)
def test_addresses(address, known):
    assert place(address) == known


def test_one_address_however_it_is_written():
    assert normal("[2001:DB8:0::1]:80") == normal("2001:db8::1:80") == "[2001:db8::1]:80"
    assert normal("name:80") == "name:80"


@pytest.mark.parametrize(
    ("before", "after"),
    [("1", "2"), ("", "1"), ("v9", "v10"), ("release-009", "release-010"), ("a", "a1"), ("1" * 40, None), (None, "1")],
)
def test_the_next_version(before, after):
    file = EdsFile(text_of([], version=before))
    file.renew()
    assert file.version != before and (after is None or file.version == after)


def test_a_version_where_there_was_none():
    file = EdsFile('{"resources": []}')
    file.renew()
    assert str(file) == '{"resources": [], "version_info": "1"}'


def test_leaving_and_coming_back():
    text = text_of([endpoint("m1", health_status="DEGRADED"), endpoint("m2"), endpoint("m3")])
    file = EdsFile(text)
    file.change("app", [Change("m1", "drained"), Change("m2", "disabled", 7)])
    assert facts(file) == {"m1": ("drained", 1, False), "m2": ("disabled", 7, False), "m3": ("enabled", 1, False)}
    file.change("app", [Change("m1", "disabled")])
    file.keep("app", ["m1", "m2"])
    assert told(file) == ["m3"] and list(facts(file)) == ["m1", "m2", "m3"]
    assert [facts(file)[name][2] for name in ("m1", "m2")] == [True, True]
    file.change("app", [Change("m2", "drained", 1)])
    assert told(file) == ["m2", "m3"]
    file.change("app", [Change("m1", "enabled"), Change("m2", "enabled")])
    assert json.loads(str(file))["resources"][0]["endpoints"][0]["lb_endpoints"][0]["health_status"] == "DEGRADED"
    file.keep("app", ["m1", "m2"])
    assert told(file) == ["m1", "m2", "m3"]


@st.composite
def pools(draw):
    """Files with two localities, laid out in some way."""
    more = st.fixed_dictionaries(
        {},
        optional={
            "health_status": st.sampled_from(["HEALTHY", "DEGRADED", 0, 1]),
            "metadata": st.just({"filter_metadata": {"envoy.lb": {"rack": 1.5}}}),
            "a_field_of_tomorrow": st.just({"x": [None]}),
        },
    )
    sizes = draw(st.tuples(st.integers(2, 4), st.integers(2, 4)))
    ports = iter(range(1, 9))
    localities = [
        [
            endpoint(f"m{port}", port, load_balancing_weight=9, **draw(more))
            for port in (next(ports) for each in range(size))
        ]
        for size in sizes
    ]
    return text_of(*localities, indent=draw(st.sampled_from([None, 1, 2, 4, "\t"]))), sum(sizes), sizes[0]


@given(pools(), st.data())
def test_whatever_is_done_all_that_is_not_ours_stays_as_it_was(pool, draw):
    text, count, first = pool
    file = EdsFile(text)
    names = [f"m{number + 1}" for number in range(count)]
    before = facts(file)
    for _turn in range(draw.draw(st.integers(0, 8))):
        # One of each locality stays: a list that was empty meanwhile is laid out anew.
        name = draw.draw(st.sampled_from(names[: first - 1] + names[first:-1]))
        state, weight = draw.draw(st.sampled_from([None, *STATES])), draw.draw(st.sampled_from([None, 5, 9]))
        old = facts(file)[name]
        file.change("app", [Change(name, state, weight)])
        if state == "disabled" and draw.draw(st.booleans()):
            file.keep("app", [name])
        now = facts(file)
        assert now[name][:2] == (state or old[0], weight or old[1]) and list(now) == names
        assert told(file) == [name for name in names if not now[name][2]]
        file = EdsFile(str(file))
    file.renew()
    file.change("app", [Change(name, "enabled", 9) for name in draw.draw(st.permutations(names))])
    assert facts(file) == before and less_version(str(file)) == less_version(text)


@given(pools(), st.lists(st.integers(0, 7), unique=True), st.data())
def test_members_that_come_and_go_keep_the_order_of_the_others(pool, out, draw):
    text, count, _first = pool
    file = EdsFile(text)
    names = [f"m{number + 1}" for number in range(count)]
    kept = [names[number] for number in out if number < count]
    file.change("app", [Change(name, "disabled") for name in kept])
    file.keep("app", kept)
    file.add("app", "new", "192.0.2.9:80", draw.draw(st.sampled_from([None, 5])))
    assert list(facts(file)) == [*names, "new"] and facts(file)["new"][0] == "disabled"
    assert told(file) == [name for name in names if name not in kept]
    gone = draw.draw(st.lists(st.sampled_from([*names, "new", "nobody"]), max_size=3))
    file.remove("app", gone)
    left = [name for name in [*names, "new"] if name not in gone]
    assert list(facts(file)) == left
    file.change("app", [Change(name, "enabled") for name in draw.draw(st.permutations(left))])
    assert told(file) == left


def test_the_first_member_of_an_empty_cluster():
    file = EdsFile('{"resources": [{"cluster_name": "app"}]}')
    assert file.entries("app") == []
    file.add("app", "[2001:db8::1]:80", "[2001:db8::1]:80", 5)
    file.change("app", [Change("[2001:db8::1]:80", "enabled")])
    (locality,) = json.loads(str(file))["resources"][0]["endpoints"]
    assert locality == {
        "lb_endpoints": [
            {
                "endpoint": {"address": {"socket_address": {"address": "2001:db8::1", "port_value": 80}}},
                "load_balancing_weight": 5,
            }
        ]
    }


def test_one_spelling_throughout():
    text = '{"resources": [{"clusterName": "app", "endpoints": [{"lbEndpoints": []}]}]}'
    file = EdsFile(text)
    file.add("app", "m1", "192.0.2.1:80", 5)
    file.change("app", [Change("m1", "drained")])
    file.renew()
    assert "_" not in str(file).replace("zero_downtime", "")


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["app", "DRAINING", "m1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "resources cluster_name endpoints lb_endpoints lbEndpoints endpoint address socket_address port_value pipe path "
                "hostname health_status load_balancing_weight metadata filter_metadata zero_downtime.deploy disabled at lb_endpoint "
                "version_info health_check_config disable_active_health_check".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
ENDPOINTS = st.lists(
    st.fixed_dictionaries({}, optional={"lb_endpoints": st.lists(GARBAGE, max_size=2), "metadata": GARBAGE}), max_size=2
)


@given(st.one_of(GARBAGE, ENDPOINTS.map(lambda found: {"resources": [{"cluster_name": "app", "endpoints": found}]})))
def test_garbage_is_a_value_error_at_most(data):
    try:
        file = EdsFile(json.dumps(data))
        for cluster in file.clusters:
            names = [entry.name for entry in file.entries(cluster)]
            file.change(cluster, [Change(name, "disabled", 5) for name in names])
            file.keep(cluster, names)
            file.remove(cluster, names[:1])
            file.add(cluster, "new", "192.0.2.1:80", None)
            file.change(cluster, [Change(name, "enabled") for name in names])
        file.renew()
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize("value", ["healthy", 6, -1, None, [], "3", {}, True])
def test_no_health_status(value):
    with pytest.raises(ValueError, match="is no health status"):
        status(value)
