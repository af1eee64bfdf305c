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


@pytest.mark.parametrize(
    ("length", "found"),
    [("30s", 30), ("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400), ("1d", 86400), (2_500_000_000, 2.5), (0, 0)],
)
def test_lengths_of_time(length, found):
    assert caddy_handler.seconds(length) == pytest.approx(found)


@pytest.mark.parametrize("length", ["", "5", "s", "5 s", "-5s", "soon", None, True, []])
def test_what_is_no_length_of_time(length):
    with pytest.raises(ValueError, match="no length of time"):
        caddy_handler.seconds(length)


def test_timing_by_what_caddy_takes_for_granted():
    checked = described(["a:1"], health_checks={"active": {"uri": "/"}})
    assert caddy_handler.Handler(checked, "").timing().check == 35
    assert caddy_handler.Handler(described(["a:1"], health_checks={"passive": {}}), "").timing().check is None


@pytest.mark.parametrize(
    ("policy", "in_order"),
    [
        (None, False),
        ({"policy": "first"}, True),
        ({"policy": "cookie", "fallback": {"policy": "first"}}, True),
        ({"policy": "header", "field": "X", "fallback": {"policy": "first"}}, False),
    ],
)
def test_where_places_are_tiers(policy, in_order):
    assert caddy_handler.Handler(described(["a:1", "b:1"], policy), "").in_order == in_order


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1:80", "tcp/10.0.0.1:80", True),
        ("localhost:80", "127.0.0.1:80", True),
        (":80", "127.0.0.1:80", True),
        ("APP.example.org.:80", "app.example.org:80", True),
        ("[::1]:80", "[0:0:0:0:0:0:0:1]:80", True),
        ("10.0.0.1:80", "10.0.0.1:81", False),
        ("unix//run/a.sock", "unix//run/a.sock", True),
        ("unix//run/a.sock", "unix//run/b.sock", False),
        ("a", "b", False),
    ],
)
def test_spellings_of_an_address(one, other, same):
    assert (caddy_config.server(one) == caddy_config.server(other)) == same


def test_another_pool_by_a_list_of_addresses():
    layer4 = {"layer4": {"routes": [{"handle": [{"handler": "proxy", "upstreams": [{"dial": ["b:1", "c:1"]}]}]}]}}
    configuration = {"http": described(["a:1", "b:1"]), **layer4}
    (other,) = caddy_config.other_pools(configuration, "app", ["a:1", "b:1"])
    assert (other.name, other.members) == ("layer4/routes/0/handle/0", ("b:1",))


def test_pools_of_a_thousand_members_are_compared_at_once():
    names = [f"10.0.{number // 250}.{number % 250}:80" for number in range(1000)]
    configuration = [described(names), {**described(names), "@id": "admin"}]
    (other,) = caddy_config.other_pools(configuration, "app", names)
    assert other.members == tuple(names)


@given(VALUES)
def test_a_configuration_of_anything_is_no_bug_of_ours(value):
    caddy_config.other_pools({"apps": [value, described(["a:1"], handle_response=value)]}, "app", ["a:1"])


WRITES = """caddy_admin_http_requests_total{code="200",handler="admin",method="GET",path="/config/"} 5
caddy_admin_http_requests_total{code="200",handler="admin",method="PATCH",path="/id/"} 2
caddy_admin_http_requests_total{code="500",handler="admin",method="PATCH",path="/id/"} 9
caddy_admin_http_requests_total{code="200",handler="load",method="POST",path="/load"} 1
"""


@pytest.mark.parametrize(
    ("more", "identity"),
    [
        ("caddy_config_last_reload_success_timestamp_seconds 1.8e+09\n", "1.7e+09 1.8e+09"),
        ("", '1.7e+09 3.0 "x"'),
    ],
)
def test_what_runs_is_told_by_the_last_load(more, identity):
    driver = open_balancer({"provider": "caddy", "url": "http://127.0.0.1:2019"})
    page = Answer(200, {"etag": '"x"'}, "process_start_time_seconds 1.7e+09\n" + more + WRITES)
    driver._get = lambda path: page
    assert driver.running() == (identity, 0.0)


@pytest.mark.parametrize(
    ("profile", "headers", "version"),
    [
        ("#\t0x1\tmain\tgithub.com/caddyserver/caddy/v2@v2.10.2/cmd/main.go:1\n", {}, "2.10.2"),
        ("github.com/caddyserver/caddy/v2@v2.11.0-beta.1/admin.go:7", {}, "2.11.0-beta.1"),
        ("github.com/caddyserver/caddy/v2/admin.go:791", {"trailer": "ETag"}, "2.7 or older"),
        ("github.com/caddyserver/caddy/v2/admin.go:791", {"etag": '"x"'}, "unknown"),
        ("404 page not found", {}, "unknown"),
    ],
)
def test_the_version_by_what_the_running_program_tells(profile, headers, version):
    driver = open_balancer({"provider": "caddy", "url": "http://127.0.0.1:2019"})
    driver._get = lambda path: Answer(200, headers, profile if "pprof" in path else "null")
    assert driver.version() == version
