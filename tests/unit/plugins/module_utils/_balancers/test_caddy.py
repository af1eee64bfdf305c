# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A handler of Caddy, without a Caddy."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import caddy_config, caddy_handler
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import Answer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError, InvalidInput

WEIGHTED = {"policy": "weighted_round_robin", "weights": [5, 6]}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "upstreams dial load_balancing selection_policy policy weights handle_response routes handle "
                "zero_downtime_out place weight upstream fallback @id handler".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def described(dials, policy=None, **more):
    selection = {"load_balancing": {"selection_policy": policy}} if policy else {}
    upstreams = [{"dial": dial} for dial in dials]
    return {"@id": "app", "handler": "reverse_proxy", "upstreams": upstreams, **selection, **more}


@given(
    st.lists(st.integers(1, 65535).map("10.0.0.1:{}".format), unique=True, min_size=1, max_size=6),
    st.data(),
    st.sampled_from(["plain", "weighted", "sticky"]),
    st.lists(st.fixed_dictionaries({"match": st.just({"status_code": [404]}), "routes": st.just([])}), max_size=2),
)
def test_whoever_leaves_and_returns_leaves_no_trace(dials, data, kind, responses):
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(dials), max_size=len(dials)))
    weighted = {"policy": "weighted_round_robin", "weights": weights}
    policy = {
        "plain": {"policy": "least_conn"},
        "weighted": weighted,
        "sticky": {"policy": "cookie", "fallback": weighted},
    }[kind]
    before = described(dials, policy, **({"handle_response": responses} if responses else {}))
    handler = caddy_handler.Handler(copy.deepcopy(before), "")
    for _each in range(3):
        states = data.draw(st.lists(st.sampled_from(["enabled", "disabled"]), min_size=len(dials), max_size=len(dials)))
        moved = [replace(upstream, state=state) for upstream, state in zip(handler.upstreams, states)]
        handler = caddy_handler.Handler(handler.with_upstreams(moved), "")
        assert handler.upstreams == moved
        assert len(handler.described["upstreams"]) == states.count("enabled")
    home = [replace(upstream, state="enabled") for upstream in handler.upstreams]
    assert handler.with_upstreams(home) == before


@pytest.mark.parametrize(
    ("policy", "weights"),
    [
        (None, None),
        ({"policy": "round_robin"}, None),
        (WEIGHTED, [5, 6]),
        ({"policy": "weighted_round_robin", "weights": [5]}, [5, 1]),
        ({"policy": "weighted_round_robin", "weights": [5, 6, 7]}, [5, 6]),
        ({"policy": "cookie", "fallback": WEIGHTED}, [5, 6]),
        ({"policy": "cookie"}, None),
        ({"policy": "header", "field": "X", "fallback": WEIGHTED}, None),  # who has the header pays no regard to them
    ],
)
def test_where_weights_are(policy, weights):
    handler = caddy_handler.Handler(described(["a:1", "b:1"], policy), "")
    assert handler.weighs == (weights is not None)
    assert [upstream.weight for upstream in handler.upstreams] == (weights or [1, 1])


@given(VALUES)
def test_a_description_of_anything_is_no_bug_of_ours(value):
    driver = open_balancer({"provider": "caddy", "url": "http://127.0.0.1:2019"})
    for answered in (value, {**described([]), **value} if isinstance(value, dict) else described(["a:1"], value)):
        driver._get = lambda path, answered=answered: FakeAnswer(answered)
        try:
            driver.members("app")
        except DeployError:
            pass


class FakeAnswer(Answer):
    """One with a value instead of a text."""

    def __init__(self, value):
        super().__init__(200, {"etag": "x"}, "")
        object.__setattr__(self, "value", value)

    def json(self):
        return self.value


def test_pools_are_found_however_deep():
    deep = described(["a:1"])
    for _each in range(5000):
        deep = {"routes": [deep, 1, "x", None]}
    ((path, handler),) = caddy_config.proxies(deep)
    assert handler["@id"] == "app" and path.startswith("routes/0/routes/0/") and path.endswith("/0")


def test_a_pool_within_a_pool():
    outer = described([], handle_response=[{"routes": [{"handle": [{**described([]), "@id": "inner"}]}]}])
    assert {handler["@id"] for _path, handler in caddy_config.proxies({"apps": outer})} == {"app", "inner"}


@pytest.mark.parametrize("given", [{}, {"url": "http://127.0.0.1:2019", "socket": "/run/caddy.sock"}])
def test_either_a_url_or_a_socket(given):
    with pytest.raises(InvalidInput, match="exactly one of `url`, `socket`"):
        open_balancer({"provider": "caddy", **given})


def test_a_link_to_the_socket_is_the_same_balancer(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "admin.sock")
    one, two = (
        open_balancer({"provider": "caddy", "socket": str(tmp_path / name)}).endpoint for name in ("admin.sock", "link")
    )
    assert one == two
