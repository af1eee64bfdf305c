# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Envoy says, in the design's words, without an Envoy."""

from __future__ import annotations

import json
import os
import socket
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import (
    envoy,
    envoy_clusters,
    envoy_config,
    envoy_parent,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import Answer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    Refused,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change

STATS = {"version_text": "1", "health_check.attempt": 3, "upstream_rq_pending_active": 4}
ADDRESS = {"address": "192.0.2.1", "port_value": 80}
FILE = {
    "version_info": "1",
    "resources": [
        {
            "cluster_name": "app",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"hostname": "m1", "address": {"socket_address": ADDRESS}}}]}],
        }
    ],
}


def opened(file="/nonexistent", **options):
    return open_balancer({"provider": "envoy", "file": str(file), **(options or {"socket": "/nonexistent.sock"})})


def host(eds="HEALTHY", gauges=None, weight=1, **flags):
    gauges = {"rq_active": 2, "rq_pending_active": 1} if gauges is None else gauges
    stats = [{"type": "GAUGE", "name": name, "value": str(value)} for name, value in gauges.items()]
    health = {"eds_health_status": eds, **flags}
    return {"address": {"socket_address": ADDRESS}, "stats": stats, "health_status": health, "weight": weight}


def cluster(*hosts, **more):
    return {"name": "app", "observability_name": "app", "host_statuses": list(hosts), **more}


def member(tmp_path, *hosts, stats=None, **more):
    """The only member, as seen by way of everything but HTTP."""
    (tmp_path / "eds.json").write_text(json.dumps(FILE), encoding="utf-8")
    driver = opened(tmp_path / "eds.json")
    answers(driver, [cluster(*hosts, **more)], STATS if stats is None else stats)
    (seen,) = driver.members("app")
    return seen


def answers(driver, clusters, stats, configured=()):
    told = [{"name": f"cluster.app.{name}", "value": value} for name, value in stats.items()]
    texts = {
        "/stats": json.dumps({"stats": [*told, {"histograms": {}}]}),
        "/clusters": json.dumps({"cluster_statuses": clusters}),
        "/config_dump": json.dumps({"configs": [{"cluster": each} for each in configured]}),
    }
    driver.api.ask = lambda method, path: Answer(200, {}, texts[path.split("?")[0]])


@pytest.mark.parametrize(
    ("flags", "health", "said"),
    [
        ({}, "up", "healthy"),
        ({"failed_active_health_check": True}, "down", "failed_active_health_check"),
        (
            {"pending_active_hc": True, "failed_active_health_check": True},
            "down",
            "failed_active_health_check, pending_active_hc",
        ),
        ({"failed_outlier_check": True}, "down", "failed_outlier_check"),
        ({"failed_active_degraded_check": True}, "up", "failed_active_degraded_check"),
    ],
)
def test_health(tmp_path, flags, health, said):
    seen = member(tmp_path, host(**flags))
    assert (seen.health, seen.last_check, seen.checked) == (health, said, True)


def test_without_health_checks_nothing_is_known_but_who_was_ejected(tmp_path):
    seen = member(tmp_path, host(), stats={"version_text": "1"})
    assert (seen.health, seen.last_check, seen.checked, seen.available) == ("unknown", "", False, True)
    assert member(tmp_path, host(failed_outlier_check=True), stats={"version_text": "1"}).health == "down"


def test_what_waits_for_a_connection_is_in_flight_too(tmp_path):
    assert member(tmp_path, host()).in_flight == 3


def test_where_it_is_told_for_the_cluster_alone_all_that_waits_is_in_flight(tmp_path):
    assert member(tmp_path, host(gauges={"rq_active": 2})).in_flight == 6


def test_a_host_that_another_takes_the_place_of_counts_with_what_it_has_under_way(tmp_path):
    leaving = host(weight=7, pending_dynamic_removal=True, failed_active_health_check=True)
    seen = member(tmp_path, leaving, host())
    assert (seen.in_flight, seen.weight, seen.health) == (6, 1, "up")


def test_statistics_under_another_name():
    told = {
        "stats": [{"name": "cluster.a_b.c.version_text", "value": "9"}, {"name": "cluster.a_b.c.other", "value": 1}]
    }
    counted = envoy_clusters.counted(told)
    assert counted == {"a_b.c": {"version_text": "9"}}
    (seen,) = envoy_clusters.clusters({"cluster_statuses": [cluster(observability_name="a:b.c")]}, counted)
    assert seen.stats["version_text"] == "9"


def test_the_service_name_is_the_pool_where_there_is_one():
    told = {"cluster_statuses": [{"name": "app"}, {"name": "x", "eds_service_name": "app"}, {"name": "y"}]}
    assert [each.service for each in envoy_clusters.clusters(told, {})] == ["app", "app", "y"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([cluster()], "does not have m1"),
        ([cluster(host(pending_dynamic_removal=True))], "does not have m1"),
        ([cluster(host(weight=5))], "has m1 enabled with weight 5, not enabled with weight 1"),
        ([cluster(host("DRAINING"))], "has m1 drained with weight 1"),
        ([], "no cluster of type EDS that is called 'app'"),
    ],
)
def test_what_envoy_has_and_the_file_has_not_is_not_reported_as_either(tmp_path, told, said):
    (tmp_path / "eds.json").write_text(json.dumps(FILE), encoding="utf-8")
    driver = opened(tmp_path / "eds.json", socket="/nonexistent.sock", timeout=0.02)
    answers(driver, told, STATS)
    with pytest.raises(DeployError, match=said):
        driver.members("app")


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["app", "HEALTHY", "rq_active"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "cluster_statuses name eds_service_name host_statuses address socket_address port_value pipe path stats value "
                "health_status eds_health_status weight observability_name".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(GARBAGE, GARBAGE)
def test_garbage_is_told_in_words(clusters, stats):
    driver = opened()
    driver.timeout = 0
    driver.files.of = lambda name, pool: SimpleNamespace(path="/eds.json", read=lambda: json.dumps(FILE))
    for told in (
        clusters,
        [clusters],
        {"cluster_statuses": clusters},
        {"cluster_statuses": [{"name": "app", "host_statuses": clusters}]},
    ):
        texts = {"/stats": json.dumps(stats), "/clusters": json.dumps(told), "/config_dump": json.dumps(clusters)}
        driver.api.ask = lambda method, path, texts=texts: Answer(200, {}, texts[path.split("?")[0]])
        with pytest.raises(DeployError):
            driver.members("app")
            raise InvalidInput("Garbage that says what an Envoy says is no garbage.")


def test_the_same_file_is_the_same_endpoint(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "eds.json")
    assert (
        opened(tmp_path / "link.json").endpoint == opened(tmp_path / "eds.json", url="http://127.0.0.1:9901").endpoint
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "provider envoy takes exactly one of `socket`, `url`"),
        ({"file": "/{pool}/eds.json", "socket": "/x"}, "in the name of the file alone, not in that of a directory"),
        ({"file": "eds.json", "socket": "/x"}, "`file` is to be an absolute path"),
        ({"file": "/eds.json", "socket": "/x", "url": "http://127.0.0.1:1"}, "exactly one of"),
        ({"file": "/eds.json", "url": "127.0.0.1:9901"}, "The URL of Envoy's admin interface is to be"),
    ],
)
def test_options_that_make_no_sense(options, said):
    with pytest.raises(InvalidInput, match=said):
        open_balancer({"provider": "envoy", **options})


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('{"version": "9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL"}', "1.40.0"),
        ("Forbidden", "unknown"),
        ('{"version": "1"}', "unknown"),
    ],
)
def test_its_version(text, version):
    driver = opened()
    driver.api.ask = lambda method, path: Answer(200, {}, text)
    assert driver.version() == version


@pytest.mark.parametrize(
    ("address", "known"), [("192.0.2.1:80", "192.0.2.1:80"), ("[2001:DB8::1]:80", "[2001:db8::1]:80")]
)
def test_addresses_for_a_new_member(address, known):
    assert envoy._ip_and_port(address) == known


@pytest.mark.parametrize("address", ["", "name:80", "192.0.2.1", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:80\n"])
def test_addresses_that_are_none(address):
    with pytest.raises(InvalidInput, match="is no IP address with a port"):
        envoy._ip_and_port(address)


def configured(**more):
    """A cluster as a config dump has it."""
    told = {"configs": [{"cluster": {"@type": "Cluster", "name": "app", "type": "EDS", **more}}]}
    return envoy_config.configs(told)["app"]


@pytest.mark.parametrize(
    ("config", "source", "path"),
    [
        ({"path_config_source": {"path": "/eds.json"}}, "file", "/eds.json"),
        ({"pathConfigSource": {"path": "/eds.json"}}, "file", "/eds.json"),
        ({"path": "/eds.json"}, "file", "/eds.json"),
        ({"ads": {}, "resource_api_version": "V3"}, "ads", ""),
        ({"api_config_source": {"api_type": "GRPC"}}, "api_config_source", ""),
        ({}, "another", ""),
    ],
)
def test_where_endpoints_come_from(config, source, path):
    seen = configured(eds_cluster_config={"eds_config": config})
    assert (seen.source, seen.path) == (source, path)


@pytest.mark.parametrize(
    ("more", "used", "seconds", "source"),
    [
        ({}, True, 22, "interval 10s, healthy_threshold 2, timeout 2s of cluster app"),
        ({}, False, 122, "no_traffic_interval 60s, healthy_threshold 2, timeout 2s of cluster app"),
        ({"no_traffic_interval": "1s"}, False, 22, "interval 10s, healthy_threshold 2, timeout 2s of cluster app"),
        (
            {"unhealthy_interval": "20s"},
            True,
            42,
            "unhealthy_interval 20s, healthy_threshold 2, timeout 2s of cluster app",
        ),
        ({"initial_jitter": "0.500s"}, True, 22.5, "interval 10s, healthy_threshold 2, timeout 2s of cluster app"),
    ],
)
def test_timing(more, used, seconds, source):
    check = {"timeout": "2s", "interval": "10s", "healthy_threshold": 2, **more}
    timing = configured(health_checks=[check]).timing(used)
    assert (timing.check, timing.leave, timing.source) == (seconds, None, source)


def test_no_timing_without_checks_or_without_what_they_are(tmp_path):
    assert configured().timing(True).check is None
    (tmp_path / "eds.json").write_text(json.dumps(FILE), encoding="utf-8")
    driver = opened(tmp_path / "eds.json")
    answers(driver, [cluster(host())], STATS, [{"name": "app", "type": "EDS", "health_checks": [{"interval": "soon"}]}])
    assert driver.timing("app").check is None


@pytest.mark.parametrize(
    ("balancing", "by_locality", "weighs"),
    [
        ({}, False, True),
        ({"lb_policy": "RING_HASH"}, False, True),
        ({"lb_policy": "RANDOM"}, False, False),
        ({"commonLbConfig": {"localityWeightedLbConfig": {}}}, True, True),
    ],
)
def test_balancing(balancing, by_locality, weighs):
    seen = configured(**balancing)
    assert (seen.by_locality, seen.weighs) == (by_locality, weighs)


def test_other_pools_are_clusters_with_the_same_addresses(tmp_path):
    (tmp_path / "eds.json").write_text(json.dumps(FILE), encoding="utf-8")
    driver = opened(tmp_path / "eds.json")
    elsewhere = {**host(), "address": {"socket_address": {"address": "192.0.2.1", "port_value": 81}}}
    told = [
        cluster(host()),
        {"name": "twin", "eds_service_name": "app", "host_statuses": [host()]},
        {"name": "admin", "eds_service_name": "app-admin", "host_statuses": [host(), elsewhere]},
        {"name": "metrics", "host_statuses": [elsewhere]},
    ]
    answers(driver, told, STATS)
    (other,) = driver.other_pools("app")
    assert (other.name, other.members, other.reason) == ("app-admin", ("m1",), "same address")


def test_members_in_a_zone_of_their_own_are_told_apart_where_envoy_prefers_its_own(tmp_path):
    assert member(tmp_path, host()).locality == ""
    preferring = {**STATS, "lb_recalculate_zone_structures": 2}
    assert member(tmp_path, host(), stats=preferring).locality == "-"


def server_info(epoch=1, since="5s", **more):
    """The answer to `/server_info`, of an Envoy whose base ID no other has."""
    options = {"base_id": str(2**31), "restart_epoch": epoch, "parent_shutdown_time": "900s", **more}
    return {"uptime_current_epoch": since, "command_line_options": options}


def test_the_process_before_a_hot_restart_where_nothing_is_seen_of_it():
    assert envoy_parent.former(server_info(epoch=0)) is None
    assert envoy_parent.former(server_info()) == envoy_parent.Former(None)
    assert envoy_parent.former(server_info(since="959s")) == envoy_parent.Former(None)
    assert envoy_parent.former(server_info(since="961s")) is None
    assert envoy_parent.former(None) == envoy_parent.Former(None)
    assert envoy_parent.Former(None).to("192.0.2.1:80") is None


def test_connections_are_counted_by_address_and_not_for_unix_sockets():
    known = envoy_parent.Former({"192.0.2.1:80": 2})
    assert (known.to("192.0.2.1:80"), known.to("192.0.2.2:80"), known.to("/run/app.sock")) == (2, 0, None)


@pytest.mark.skipif(sys.byteorder != "little", reason="as the kernel of such a machine writes them")
@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("0100007F:1F90", "127.0.0.1:8080"),
        ("0000000000000000FFFF00000100007F:1F90", "127.0.0.1:8080"),
        ("B80D0120000000000000000001000000:0050", "[2001:db8::1]:80"),
    ],
)
def test_addresses_of_the_kernel(told, address):
    assert envoy_parent._address(told) == address


def test_without_a_file_nothing_is_written(tmp_path):
    driver = open_balancer({"provider": "envoy", "socket": "/nonexistent.sock"})
    answers(driver, [cluster({**host(), "hostname": "m1", "priority": 1})], STATS)
    (seen,) = driver.members("app")
    assert (seen.name, seen.tier, seen.state, seen.in_flight) == ("m1", 1, "enabled", 3)
    for write in (
        lambda: driver.heal("app"),
        lambda: driver.apply("app", [Change("m1", "disabled")]),
        lambda: driver.add("app", "m2", "192.0.2.2:80"),
    ):
        with pytest.raises(Refused, match="can only be read: give `file`.*Nothing was touched"):
            write()
    assert driver.lock_name() == "envoy /nonexistent.sock"


def test_all_files_of_a_directory_have_one_lock(tmp_path):
    names = ("app.json", "other.json", "{pool}.json")
    assert len({opened(tmp_path / name).lock_name() for name in names}) == 1


def test_what_a_member_has_under_way_is_unknown_until_workers_know_that_its_check_fails(monkeypatch):
    driver = open_balancer({"provider": "envoy", "socket": "/nonexistent.sock"})
    window = {"name": "app", "type": "EDS", "common_lb_config": {"update_merge_window": "9s"}}
    for passed, failed, seen in ((False, False, 3), (False, True, None), (True, True, 3), (False, False, 3)):
        monkeypatch.setattr(envoy.Deadline, "passed", passed)
        answers(driver, [cluster({**host(failed_active_health_check=failed), "hostname": "m1"})], STATS, [window])
        assert driver.members("app")[0].in_flight == seen
    assert configured(**window).merge == 9 and configured().merge == 1


def test_a_descriptor_that_is_closed_meanwhile_hides_no_other(monkeypatch):
    names = os.listdir
    monkeypatch.setattr(envoy_parent.os, "listdir", lambda path: ["1000000", *names(path)])
    with socket.socket() as one:
        assert str(os.fstat(one.fileno()).st_ino) in envoy_parent._inodes(os.getpid())
