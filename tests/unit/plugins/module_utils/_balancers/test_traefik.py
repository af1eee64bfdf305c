# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik's file and what its API says, without a Traefik."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import traefik_file, traefik_metrics
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import Answer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.counters import Served
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError, InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.pools import Timing

URL = "http://127.0.0.1:8080"


def driver(path, **options):
    return open_balancer({"provider": "traefik", "file": str(path), "url": URL, **options})


def servers_of(text, service="app"):
    return json.loads(text)["http"]["services"][service]["loadBalancer"]["servers"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("dynamic") / "pool.yml"


def pool_of(file, described):
    file.write_text(described, encoding="utf-8")
    return driver(file)._read("app")


SERVER = st.fixed_dictionaries(
    {"url": st.integers(1, 65535).map("http://10.0.0.1:{}/path".format)},
    optional={"weight": st.integers(1, 2**31 - 1), "preservePath": st.booleans()},
)
STATES = st.sampled_from(["enabled", "disabled", "drained"])


@given(
    st.lists(SERVER, max_size=6, unique_by=lambda server: server["url"]),
    st.sampled_from([None, 2, 4]),
    st.booleans(),
    st.data(),
)
def test_whoever_leaves_and_returns_leaves_no_trace(file, servers, indent, with_routers, data):
    other = {"loadBalancer": {"servers": [{"url": "http://10.0.0.2"}]}}
    described = {
        "http": {
            "services": {
                "other": other,
                "app": {"loadBalancer": {"servers": servers, "healthCheck": {"path": "/"}}},
                "app.zero_downtime-outer": other,
            }
        }
    }
    if with_routers:
        described["http"]["routers"] = {"all": {"rule": "PathPrefix(`/`)", "service": "app"}}
    text = json.dumps(described, indent=indent)
    pool = pool_of(file, text)
    names = [server.name for server in pool.servers]
    back = "app.zero_downtime-back-0123abcd"
    for _each in range(data.draw(st.integers(1, 3))):
        moved = []
        for server in pool.servers:
            state = data.draw(STATES)
            service = {"enabled": "app", "disabled": "app.zero_downtime-out", "drained": back}[state]
            moved.append(traefik_file.replace(server, state=state, service=service))
        pool = pool_of(file, pool.with_servers(moved).text)
        assert [(s.name, s.state, s.weight) for s in pool.servers] == [(s.name, s.state, s.weight) for s in moved]
        routers = json.loads(pool.text)["http"].get("routers", {})
        assert (back in routers) == any(s.state == "drained" for s in moved)
        assert json.loads(pool.text)["http"]["services"]["app.zero_downtime-outer"] == other
    home = [traefik_file.replace(server, state="enabled", service="app") for server in pool.servers]
    done = pool.with_servers(home).text
    assert json.loads(done) == described and [s.name for s in pool.servers] == names
    # Once all have been away, nothing in the list shows how its items were set off.
    if any(server.state == "enabled" for server in pool.servers) and len(servers) > 1 and indent:
        assert pool_of(file, done).with_servers(home).text == done


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda v: (
            st.lists(v)
            | st.dictionaries(
                st.sampled_from(["url", "weight", "servers", "loadBalancer", "app", "services", "http"]), v
            )
        ),
    )
)
def test_a_file_of_anything_is_no_bug_of_ours(file, value):
    for described in (value, {"http": value}, {"http": {"services": {"app": {"loadBalancer": {"servers": value}}}}}):
        try:
            pool_of(file, json.dumps(described))
        except DeployError as error:
            assert "Nothing was touched" in error.message


@given(st.text())
def test_a_text_of_anything_neither(file, text):
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DeployError):
        driver(file)._read("app")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a.example:81", "a.example:81"),
        ("http://a.example", "a.example:80"),
        ("https://a.example/x", "a.example:443"),
        ("h2c://[2001:db8::1]:90", "[2001:db8::1]:90"),
        ("http://a.example:81#3", "a.example:81"),
    ],
)
def test_a_server_is_called_by_its_address(url, name):
    assert traefik_file.Server(json.dumps({"url": url}), "app", "enabled").name == name


@pytest.mark.parametrize(
    ("text", "weight", "wanted"),
    [
        ('{"url": "http://a"}', 5, '{"url": "http://a", "weight": 5}'),
        ('{"url": "http://a"}', 1, '{"url": "http://a"}'),
        ('{ "weight":3,"url": "http://a" }', 5, '{ "weight":5,"url": "http://a" }'),
        ('{"url": "http://a", "weight": 5}', 5, '{"url": "http://a", "weight": 5}'),
    ],
)
def test_a_weight_is_written_where_it_stood(text, weight, wanted):
    assert traefik_file.Server(text, "app", "enabled").weighing(weight).text == wanted


@pytest.mark.parametrize(
    "servers",
    [[{"url": "http://a"}, {"url": "http://a:80/x"}], [{"url": "a"}], [{}], [{"url": "http://a", "weight": "x"}], [7]],
)
def test_servers_that_cannot_be_told_apart_or_are_none(file, servers):
    with pytest.raises(InvalidInput, match="each has a `url` with a host and port of its own. Nothing was touched"):
        pool_of(file, json.dumps({"http": {"services": {"app": {"loadBalancer": {"servers": servers}}}}}))


def test_pools_whose_names_begin_alike_do_not_mix():
    assert traefik_file.is_back("app", "app.zero_downtime-back-00000000")
    assert not traefik_file.is_back("app", "app.zero_downtime-back-00000000.zero_downtime-back-00000000")
    assert not traefik_file.is_ours("ap", "app.zero_downtime-out") and not traefik_file.is_ours(
        "a.p", "axp.zero_downtime-out"
    )


def test_the_metrics():
    text = """# HELP x y
# TYPE traefik_service_server_up gauge
traefik_service_server_up{service="app@file",url="http://a:1"} 1
traefik_service_server_up{service="a\\"b}@file",url="http://a:1#2"} 0
traefik_service_requests_total{service="app@file"} 12
"""
    assert traefik_metrics.checks(text) == {("app@file", "http://a:1"): True, ('a"b}@file', "http://a:1#2"): False}


RELOADS = "traefik_config_reloads_total %s\n"
UP = '# TYPE x gauge\ntraefik_service_server_up{service="%s",url="http://192.0.2.1"} 0\n'
AT = "process_start_time_seconds 1.0e+09\ntraefik_config_last_reload_success %s\n"


@pytest.mark.parametrize(
    ("page", "version", "proves"),
    [
        (UP % "app@file", "3.7.1", True),
        (UP % "132ed4dda3adf540", "3.7.1", False),  # as 3.0 and 3.1 have it
        # Of another service alone: by itself that is no proof. 100 s ago is not long enough for a check of 60 s, and 200 s are.
        (UP % "other@file" + AT % "1.0000009e+09", "3.7.1", True),
        (UP % "other@file" + AT % "1.0000008e+09", "3.7.1", False),
        (UP % "other@file" + AT % "1.0000009e+09", "3.1.9", False),
        (UP % "other@file" + AT % "1.0000009e+09", "dev", True),
        (UP % "other@file", "3.7.1", True),
    ],
)
def test_metrics_prove_checks_by_the_members_in_traffic(tmp_path, monkeypatch, page, version, proves):
    balancer = driver(tmp_path / "a.yml", metrics_url=URL + "/metrics")
    monkeypatch.setattr(balancer.api, "version", lambda: version)
    answer = Answer(200, {"date": formatdate(1000001000, usegmt=True)}, page)
    servers = [
        traefik_file.Server('{"url": "http://192.0.2.1"}', "app", "enabled"),
        traefik_file.Server('{"url": "http://192.0.2.2#1"}', "app.zero_downtime-out", "disabled"),
    ]
    assert balancer._proves_checks(answer, "app@file", servers, Timing(None, 60.0)) is proves
    assert balancer._proves_checks(answer, "app@file", servers[1:], Timing(None, 60.0)) is (version != "3.1.9")


STARTED = "process_start_time_seconds 1.79e+09\n"


def by_router(count, code="200", service="app@file", router="all@file"):
    labels = f'code="{code}",method="GET",protocol="http",router="{router}",service="{service}"'
    return f"traefik_router_requests_total{{{labels}}} {count}\n"


def test_what_users_got_is_told_by_router():
    text = STARTED + by_router(7) + by_router(2, "502") + by_router(1, "503", router="more@file") + by_router(3, "499")
    text += (
        by_router(9, "500", service="other@file") + 'traefik_service_requests_total{code="502",service="app@file"} 24\n'
    )
    assert traefik_metrics.served(text, "app@file") == Served(13, 3, 0, 0, 3, "1.79e+09")
    assert traefik_metrics.served(STARTED, "app@file") == Served(0, 0, 0, 0, 0, "1.79e+09")


def test_without_routers_in_the_metrics_nobody_knows():
    assert (
        traefik_metrics.served(
            STARTED + 'traefik_service_requests_total{code="502",service="app@file"} 24\n', "app@file"
        )
        is None
    )


def test_how_often_it_was_configured_anew():
    text = "traefik_config_reloads_total 12\n" + AT % "1.79e+09"
    assert (traefik_metrics.reloads(text), traefik_metrics.unchanged_since(text)) == (12.0, 1.79e09)
    assert (traefik_metrics.reloads(""), traefik_metrics.unchanged_since("")) == (None, None)


@given(
    st.text() | st.sampled_from(["1e999", "1e+99", "NaN", "-1"]).map(lambda number: (AT + RELOADS) % (number, number))
)
def test_metrics_of_anything(text):
    traefik_metrics.checks(text)
    traefik_metrics.tells_checks(text, "app@file", ["http://a"])
    traefik_metrics.unchanged_since(text)
    traefik_metrics.reloads(text)
    traefik_metrics.served(text, "app@file")


def test_without_metrics_no_check_is_ever_proved(tmp_path):
    assert driver(tmp_path / "a.yml").capabilities.fresh_health is False
    assert driver(tmp_path / "a.yml", metrics_url=URL + "/metrics").capabilities.fresh_health is True


def test_the_password_goes_to_the_api_and_to_its_own_metrics_alone(tmp_path):
    def sent(metrics_url):
        options = {"username": "u", "password": "p", "metrics_url": metrics_url}
        return "Authorization" in driver(tmp_path / "a.yml", **options).metrics.headers

    assert sent(URL + "/metrics") and not sent("http://127.0.0.1:9100/metrics") and not sent("http://other:8080/")


@pytest.mark.parametrize("name", ["relative.yml", "/etc/traefik/pool.json", "/etc/traefik/pool.toml"])
def test_a_file_that_cannot_be(name):
    with pytest.raises(InvalidInput, match="Nothing was touched"):
        driver(name)
