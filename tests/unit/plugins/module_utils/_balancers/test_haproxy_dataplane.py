# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Data Plane API says of a server, in the design's words; without an API."""

from __future__ import annotations

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy_dataplane as plane
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import Answer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError

ENTRY = {"provider": "haproxy_dataplane", "url": "http://192.0.2.1:5555", "username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("admin", "status", "state"),
    [
        ("ready", "UP", "enabled"),
        ("ready", "UP 1/2", "enabled"),
        ("ready", "no check", "enabled"),
        ("ready", "DOWN", "enabled"),
        ("ready", "DOWN 1/2", "enabled"),
        ("ready", "NOLB", "enabled"),
        ("drain", "DRAIN", "drained"),
        ("drain", "DRAIN 1/2", "drained"),
        ("drain", "DOWN", "drained"),
        ("maint", "MAINT", "disabled"),
        ("maint", "MAINT (via app/m1)", "disabled"),
        ("maint", "MAINT (resolution)", "disabled"),
        # Some versions say `maint` of everything, issue 343.
        ("maint", "UP", "enabled"),
        ("maint", "DRAIN", "drained"),
        ("maint", "DOWN", "drained"),
        ("ready", "MAINT (resolution)", "disabled"),
    ],
)
def test_a_state_from_two_views(admin, status, state):
    assert plane.state(admin, status) == state


def member(server=None, **row):
    """One member, from the fields that matter."""
    shown = {"status": "UP", "chkfail": 0, "check_status": "L7OK", "check_code": 200, "scur": 2, "weight": 100}
    told = {"name": "m1", "address": "192.0.2.1", "port": 80, "admin_state": "ready", **(server or {})}
    return plane.member(told, {**shown, **row})


def test_a_member():
    seen = member(qcur=1, last_chk="OK")
    assert (seen.health, seen.in_flight, seen.checked, seen.last_check) == ("up", 3, True, "L7OK 200 OK")
    assert seen.address == "192.0.2.1:80" and member({"address": "2001:db8::1"}).address == "[2001:db8::1]:80"


def test_what_is_not_told_of_requests_is_not_taken_for_none():
    assert member(scur=None).in_flight is None and member(scur=0).in_flight == 0


@pytest.mark.parametrize(
    ("row", "checked", "health"),
    [
        ({"status": "no check", "chkfail": None, "check_status": None}, False, "unknown"),
        ({"status": "no check"}, False, "unknown"),  # switched off at run time
        ({"status": "DRAIN", "chkfail": None, "check_status": None}, False, "unknown"),
        ({"status": "MAINT", "check_status": None}, True, "unknown"),
        ({"status": "MAINT", "chkfail": None, "check_status": None}, False, "unknown"),
        ({"status": "UP", "chkfail": None, "tracked": "app/m2"}, True, "up"),
        ({"status": "DOWN", "check_status": "* L4CON"}, True, "down"),
        ({"status": "NOLB"}, True, "down"),
        ({"status": "DRAIN"}, True, "up"),
    ],
)
def test_checks(row, checked, health):
    assert (member(**row).checked, member(**row).health) == (checked, health)


def test_maintenance_that_nobody_wrote_is_not_a_members_own():
    seen = member({"admin_state": "maint"}, status="MAINT (via app/m2)")
    assert (seen.state, seen.own, seen.last_check.split(" L7OK", maxsplit=1)[0]) == ("disabled", "enabled", "in maintenance (via app/m2)")
    assert member({"admin_state": "maint"}, status="MAINT (resolution)").own == "enabled"
    assert member({"admin_state": "maint"}, status="MAINT").own == "disabled"


@pytest.mark.parametrize(
    ("row", "progress"),
    [
        ({"status": "DOWN 1/3", "check_health": 1, "check_rise": 3}, (1, 3)),
        ({"status": "UP", "check_health": 4, "check_rise": 3}, None),
        ({"status": "DOWN", "check_health": 0}, None),
        ({"status": "MAINT", "check_health": 0, "check_rise": 3}, None),
    ],
)
def test_how_many_checks_have_passed(row, progress):
    assert member(**row).check_progress == progress


@pytest.mark.parametrize(("server", "row", "weight"), [({}, {"weight": 0}, 0), ({}, {}, 1), ({"uweight": 0}, {}, 0)])
def test_of_weights_zero_alone_is_told(server, row, weight):
    assert member(server, **row).weight == weight


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "stats",
                    "name",
                    "type",
                    "backend_name",
                    "status",
                    "scur",
                    "address",
                    "api",
                    "version",
                    "info",
                    "pid",
                    "uptime",
                ]
            ),
            inner | st.sampled_from(["server", "backend", "app", "UP"]),
            max_size=6,
        )
    ),
    max_leaves=15,
)


@given(st.sampled_from([200, 200, 200, 401, 404, 500]), JSON, JSON)
def test_whatever_is_answered_ends_in_members_or_in_words(status, servers, stats):
    balancer = open_balancer(ENTRY)

    def ask(method, path, body=None, headers=None):
        return Answer(status, {}, json.dumps(stats if "/stats/" in path else servers))

    balancer.api.http.ask = ask
    looks = [balancer.version, balancer.running]
    looks += [partial(look, "app") for look in (balancer.members, balancer.other_pools, balancer.timing, balancer.drains_first)]
    for look in looks:
        try:
            look()
        except DeployError as error:
            assert error.message
