# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NGINX Plus says of a server, in the design's words, and what is written of it; without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import nginx_plus
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import Answer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import STATES, Change


def member(state="up", passed=True, conf=None, **server):
    """One member, from the fields that matter."""
    checks = {"checks": 3, **({} if passed is None else {"last_passed": passed})}
    told = {"id": 1, "server": "a:1", "weight": 4, "state": state, "active": 2, "health_checks": checks, **server}
    return nginx_plus._member(told, {"id": 1, "server": "a:1", "weight": 4, **(conf or {})})


@pytest.mark.parametrize(
    ("told", "conf", "state"),
    [
        ("up", {}, "enabled"),
        ("up", {"down": False, "drain": False}, "enabled"),
        ("unhealthy", {}, "enabled"),
        ("unavail", {}, "enabled"),
        ("checking", {}, "enabled"),
        ("down", {}, "disabled"),
        ("up", {"down": True}, "disabled"),
        ("draining", {}, "drained"),
        # A failing check does not hide the drain, nor does a field that is left out.
        ("unhealthy", {"drain": True}, "drained"),
        ("down", {"drain": True}, "disabled"),
    ],
)
def test_the_state_is_read_from_both_views(told, conf, state):
    assert member(told, conf=conf).state == state


@pytest.mark.parametrize(
    ("told", "passed", "health", "checked", "available"),
    [
        ("up", True, "up", True, True),
        ("up", False, "up", True, True),  # not often enough to count
        ("up", None, "unknown", False, True),
        ("unavail", None, "down", True, False),
        ("unavail", True, "down", True, False),
        ("unhealthy", False, "down", True, False),
        ("checking", None, "down", True, False),
        ("draining", True, "up", True, False),
        ("draining", False, "down", True, False),
        ("draining", None, "unknown", False, False),
        ("down", True, "unknown", True, False),
    ],
)
def test_health(told, passed, health, checked, available):
    seen = member(told, passed)
    assert (seen.health, seen.checked, seen.available) == (health, checked, available)


def test_what_is_not_told_of_requests_is_not_taken_for_none():
    assert member(active=None).in_flight is None and member(active=3).in_flight == 3


FLAGS = st.fixed_dictionaries({}, optional={"down": st.booleans(), "drain": st.booleans(), "weight": st.integers(1, 9)})


@given(
    st.sampled_from(["up", "unhealthy", "unavail", "checking"]),
    FLAGS,
    st.none() | st.sampled_from(STATES),
    st.none() | st.integers(1, 9),
)
def test_what_is_written_makes_it_so_and_a_second_time_nothing(told, conf, state, weight):
    server = {"id": 1, "server": "a:1", "state": told, "weight": conf.get("weight", 1)}
    change = Change("a:1", state, weight)
    before = nginx_plus._member(server, conf)
    body = nginx_plus.patch(server, conf, change)
    assert bool(body) is change.alters(before) or body == {"drain": False}
    after = {**conf, **body}
    assert not change.alters(nginx_plus._member(server, after))
    assert nginx_plus.patch(server, after, change) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["peers", "id", "server", "state", "health_checks", "active", "name"]), inner, max_size=5
        )
    ),
    max_leaves=15,
)


@given(st.sampled_from([200, 404, 405, 500]), JSON, JSON)
def test_whatever_is_answered_ends_in_members_or_in_words(status, upstream, servers):
    balancer = open_balancer({"provider": "nginx_plus", "url": "http://192.0.2.1/api"})

    def ask(method, path, body=None, headers=None):
        told = [9] if path == "/" else servers if path.endswith("servers") else upstream
        return Answer(200 if path == "/" else status, {}, nginx_plus.json.dumps(told))

    balancer.api.ask = ask
    for look in (balancer.version, balancer.running, lambda: balancer.members("shop")):
        try:
            look()
        except DeployError as error:
            assert error.message


@pytest.mark.parametrize("pool", ["", "a b", "a/b", "a;b", "a\nb", "a?b", "a%2fb"])
def test_what_can_be_no_upstream_is_not_asked_for(pool):
    with pytest.raises(DeployError, match="no name of an upstream"):
        open_balancer({"provider": "nginx_plus", "url": "http://192.0.2.1/api"}).members(pool)
