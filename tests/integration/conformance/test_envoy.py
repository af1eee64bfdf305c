# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Envoy has."""

from __future__ import annotations

import json
import os
import threading
import time
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import (
    envoy,
    envoy_parent,
    health_endpoint,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.config_file import ConfigFile
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    TimedOut,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Bound, Load, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    read,
    set_pool,
    split_pool,
    until,
)
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.envoy import ASSIGNMENT, EnvoyRig

ALL = ["m1", "m2", "m3", "m4"]
WITH_PANIC = {"common_lb_config": {"override_host_status": {"statuses": ["UNKNOWN", "HEALTHY", "DRAINING"]}}}


@pytest.fixture
def rig(make_envoy):
    return make_envoy()


def hosts(rig):
    """Ports of the hosts that Envoy has, with their flags."""
    seen = rig.api.ask("GET", "/clusters?format=json").json()["cluster_statuses"][0].get("host_statuses", [])
    return {host["address"]["socket_address"]["port_value"]: host["health_status"] for host in seen}


def in_panic(rig):
    """How many requests were sent in panic mode."""
    (stat,) = rig.api.ask("GET", "/stats?format=json&filter=lb_healthy_panic").json()["stats"]
    return stat["value"]


def edited(rig, edit):
    """The file as another tool would write it: a version up, and one thing otherwise."""
    data = json.loads(rig.file.read_text(encoding="utf-8"))
    data["version_info"] += "1"
    edit(data["resources"][0]["endpoints"])
    return json.dumps(data)


def test_over_tcp(make_envoy):
    rig = make_envoy(more={"tcp": True})
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.members()["m1"].state == "disabled"


def test_its_version(rig):
    assert rig.driver().version().startswith("1.")


def test_who_is_disabled_is_not_among_the_hosts_and_its_weight_is_kept(rig, apps):
    result = set_pool(rig.entry(), ["m1"], state="disabled")
    assert apps["m1"].port not in hosts(rig) and len(hosts(rig)) == 3
    assert result["balancers"][0]["members"][0]["after"]["weight"] == 100
    set_pool(rig.entry(), ["m1"], weight=30)
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("disabled", 30)
    assert apps["m1"].port not in hosts(rig)
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("enabled", 30)
    assert list(rig.members()) == ALL


def test_who_has_requests_in_flight_stays_until_they_have_ended_and_is_gone_then(rig, apps):
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled"))
    rig.wait_until("m1 is written", lambda pool: (pool["m1"].state, pool["m1"].in_flight) == ("disabled", 1))
    assert hosts(rig)[apps["m1"].port]["eds_health_status"] == "UNHEALTHY"
    apps["m1"].gate.set()
    assert slow.ended().result == "m1" and leaving.ended().error is None
    assert apps["m1"].port not in hosts(rig)


def test_panic_mode_sends_nothing_to_who_is_disabled(make_envoy, apps):
    rig = make_envoy(more={"cluster": WITH_PANIC})
    set_pool(rig.entry(), ["m1"], state="disabled")
    served = apps["m1"].served
    for name in ("m2", "m3", "m4"):
        apps[name].health = 500
    # Its workers hear of failed checks up to a second later (`update_merge_window`).
    until("requests are sent in panic mode", lambda: Bound(rig.port).get() and in_panic(rig) > 30)
    assert {Bound(rig.port).get() for each in range(30)} == {"m2", "m3", "m4"}
    assert apps["m1"].served == served


def test_that_envoy_goes_on_sending_in_panic_mode_is_noticed_and_put_back(make_envoy, apps):
    rig = make_envoy(more={"cluster": WITH_PANIC})
    before = rig.written()
    clients = [bound_to(rig.port, name) for name in ("m1", "m2", "m3")]
    held = [Aside(lambda client=client: client.get("/hold")) for client in clients]
    until("the requests are under way", lambda: sum(app.holding for app in apps.values()) == 3)
    with (
        Load(rig.port) as load,
        pytest.raises(NotApplied, match=r"panic mode.*`healthy_panic_threshold` to 0.*as they were before"),
    ):
        set_pool(rig.entry(), ["m1", "m2", "m3"], state="disabled")
    assert rig.written() == before and load.failures == []
    for app in apps.values():
        app.gate.set()
    assert [each.ended().result for each in held] == ["m1", "m2", "m3"]


def test_a_drained_member_with_requests_in_flight_is_not_made_to_forget_them(rig, apps):
    set_pool(rig.entry(), ["m1"], weight=50)
    client = bound_to(rig.port, "m1")
    set_pool(rig.entry(), ["m1"], state="drained")
    before = rig.file.read_text(encoding="utf-8")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    with pytest.raises(TimedOut, match=r"under way to m1.*as they were before \(m1\)"):
        set_pool(rig.entry(timeout=0.5), ["m1"], state="enabled")
    assert rig.file.read_text(encoding="utf-8") == before and rig.members()["m1"].in_flight == 1
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert rig.members()["m1"].available


def by_hand(apps):
    """A file as people write them: fields in either spelling of one kind, lines of any length, blanks here and there."""
    one, two, three, four = (
        f'{{"socketAddress": {{"address": "127.0.0.1", "portValue": {apps[name].port}}}}}' for name in ALL
    )
    return f"""{{
    "versionInfo": "release-09",
    "resources": [{{
        "@type": "{ASSIGNMENT}",
        "clusterName": "app",
        "endpoints": [
            {{
                "locality": {{"zone": "a"}},
                "lbEndpoints": [
                    {{"endpoint": {{"address": {one}, "hostname": "m1"}}}},
                    {{"endpoint": {{"address":{two},"hostname":"m2"}}, "healthStatus": "HEALTHY",
                        "loadBalancingWeight": "7", "metadata": {{"filterMetadata": {{"envoy.lb": {{"rack" : 1.50}}}}}}}}
                ]
            }},
            {{"locality": {{"zone": "b"}}, "lbEndpoints": [{{"healthStatus": 5, "endpoint": {{"hostname": "m3", "address": {three}}}}}, {{
                    "endpoint": {{"address": {four}, "healthCheckConfig": {{"disableActiveHealthCheck": true}}}}}}]}}
        ]
    }}]
}}
"""


@pytest.mark.parametrize("state", ["drained", "disabled"])
def test_a_file_is_as_a_person_left_it_once_all_are_back(make_envoy, apps, state):
    rig = make_envoy(more={"text": by_hand(apps)}, wait=False)
    os.chmod(rig.file, 0o640)
    if os.getuid() == 0:
        os.chown(rig.file, 12345, 12346)
    owner = rig.file.stat()
    fourth = f"127.0.0.1:{apps['m4'].port}"
    rig.wait_until("the others are up", lambda pool: all(m.health == "up" for m in pool.values() if m.checked))
    assert {m.name: (m.state, m.weight, m.checked, m.health) for m in rig.members().values()} == {
        "m1": ("enabled", 1, True, "up"),
        "m2": ("enabled", 7, True, "up"),
        "m3": ("enabled", 1, True, "up"),
        fourth: ("enabled", 1, False, "unknown"),
    }
    order = list(rig.members())
    for names in (["m2"], [fourth, "m1"], ["m3"]):
        set_pool(rig.entry(), names, state=state, min_available=0)
        assert list(rig.members()) == order
    assert {m.state for m in rig.members().values()} == {state}
    for names in (["m1", "m3"], ["m2", fourth]):
        set_pool(rig.entry(), names, state="enabled", health="none")
    text = rig.file.read_text(encoding="utf-8")
    version = json.loads(text)["versionInfo"]
    assert version.startswith("release-") and text.replace(version, "release-09") == by_hand(apps)
    now = rig.file.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (owner.st_mode, owner.st_uid, owner.st_gid)
    assert os.listdir(rig.folder) == ["app.json"]


def test_a_file_that_envoy_does_not_watch_is_put_back(make_envoy, tmp_path):
    rig = make_envoy(more={"dumps": False})
    other = tmp_path / "other.json"
    other.write_text(rig.file.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(
        NotApplied, match=r"other\.json was written, and cluster app goes by version '1', not '2'.*`path_config_source`"
    ):
        set_pool(rig.entry(file=str(other), timeout=0.5), ["m1"], state="drained")
    assert other.read_text(encoding="utf-8") == rig.file.read_text(encoding="utf-8")


def test_a_file_that_envoy_does_not_read_is_not_written(rig, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(rig.file.read_text(encoding="utf-8"), encoding="utf-8")
    before = other.stat()
    with pytest.raises(Refused, match=r"Cluster app reads .*app\.json, not .*other\.json.*Nothing was touched"):
        set_pool(rig.entry(file=str(other)), ["m1"], state="drained")
    assert other.stat() == before


def test_a_file_that_says_otherwise_than_the_one_that_envoy_reads_is_told_from_it(rig, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(edited(rig, lambda endpoints: endpoints[0]["lb_endpoints"].pop()), encoding="utf-8")
    rig.write(edited(rig, lambda endpoints: endpoints[0]["lb_endpoints"][0].update(load_balancing_weight=7)))
    with pytest.raises(Unreachable, match=r"does not go by .*other\.json: .*Cluster app reads .*app\.json, not"):
        read(rig.entry(file=str(other), timeout=0.5))


def test_a_file_in_a_directory_that_envoy_does_not_watch_is_not_written(make_envoy, tmp_path):
    file, elsewhere = tmp_path / "balancer0" / "eds" / "app.json", tmp_path / "elsewhere"
    elsewhere.mkdir()
    source = {"path": str(file), "watched_directory": {"path": str(elsewhere)}}
    rig = make_envoy(more={"cluster": {"eds_cluster_config": {"eds_config": {"path_config_source": source}}}})
    before = rig.file.stat()
    with pytest.raises(Refused, match=r"Cluster app watches .*elsewhere, not .*/eds, by its.*Nothing was touched"):
        set_pool(rig.entry(), ["m1"], state="drained")
    assert rig.file.stat() == before


def test_a_file_that_envoy_refuses_is_put_back_at_once(rig):
    rig.write(
        edited(rig, lambda endpoints: endpoints[0].update(priority=129))
    )  # refused already, and nobody has looked
    before = rig.file.read_text(encoding="utf-8")
    with pytest.raises(NotApplied, match=r"Envoy refused it.*its log says why.*put back"):
        set_pool(rig.entry(timeout=30), ["m1"], state="disabled")
    assert rig.file.read_text(encoding="utf-8") == before


def test_a_file_that_was_changed_in_place_is_not_what_envoy_goes_by(rig):
    drained = edited(rig, lambda endpoints: endpoints[0]["lb_endpoints"][0].update(health_status="DRAINING"))
    rig.file.write_text(drained, encoding="utf-8")
    with pytest.raises(Unreachable, match=r"cluster app has m1 enabled with weight 100, not drained.*changed in place"):
        read(rig.entry(timeout=0.5))
    rig.write(drained)
    assert rig.members()["m1"].state == "drained"


def test_who_writes_meanwhile_is_noticed(rig, monkeypatch):
    replaced = ConfigFile.replaced
    others = edited(rig, lambda endpoints: endpoints[0]["lb_endpoints"][3].update(health_status="DRAINING"))

    def late(self, old, new):
        monkeypatch.setattr(ConfigFile, "replaced", replaced)
        rig.write(others)
        return replaced(self, old, new)

    monkeypatch.setattr(ConfigFile, "replaced", late)
    with pytest.raises(NotApplied, match=r"changed by somebody else.*as they were before"):
        set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.file.read_text(encoding="utf-8") == others
    assert [m.state for m in rig.members().values()] == ["enabled", "enabled", "enabled", "drained"]


def test_a_member_that_another_tool_removed_while_its_check_passes_is_no_member(rig, apps):
    rig.write(edited(rig, lambda endpoints: endpoints[0]["lb_endpoints"].pop(0)))
    rig.wait_until("m1 is gone from the pool", lambda pool: list(pool) == ALL[1:])
    assert hosts(rig)[apps["m1"].port]["pending_dynamic_removal"]  # and it still gets requests: that tool's affair
    set_pool(rig.entry(), ["m2"], state="disabled")
    set_pool(rig.entry(), ["m2"], state="enabled")


def test_what_people_wrote_is_read_in_our_words(rig):
    def edit(endpoints):
        for each, status in zip(endpoints[0]["lb_endpoints"], ["UNHEALTHY", "TIMEOUT", "DEGRADED", "DRAINING"]):
            each["health_status"] = status

    rig.write(edited(rig, edit))
    pool = rig.wait_until("it has taken effect", lambda pool: pool["m4"].state == "drained")
    assert [m.state for m in pool.values()] == ["disabled", "disabled", "enabled", "drained"]
    set_pool(rig.entry(), ALL, state="enabled")
    assert all(m.available for m in rig.members().values())


def test_two_clusters_by_one_file_are_one_pool(make_envoy, apps):
    rig = make_envoy(more={"twin": True})
    one, other = bound_to(rig.port, "m1"), bound_to(rig.twin_port, "m1")
    held = [Aside(lambda: one.get("/hold")), Aside(lambda: other.get("/hold"))]
    until("both requests are under way", lambda: apps["m1"].holding == 2)
    assert rig.members()["m1"].in_flight == 2
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled"))
    rig.wait_until("m1 is written", lambda pool: pool["m1"].state == "disabled")
    apps["m1"].gate.set()
    assert [each.ended().result for each in held] == ["m1", "m1"] and leaving.ended().error is None
    served = apps["m1"].served
    assert "m1" not in {Bound(port).get() for port in (rig.port, rig.twin_port) for each in range(20)}
    assert apps["m1"].served == served


def test_members_come_and_go(make_envoy, apps):
    rig = make_envoy(members={name: apps[name].port for name in ("m1", "m2")})
    before = rig.file.read_text(encoding="utf-8")
    options = {"addresses": {"m3": f"127.0.0.1:{apps['m3'].port}"}, "state": "enabled", "weight": 40}
    promised = set_pool(rig.entry(), ["m3"], check=True, **options)
    done = set_pool(rig.entry(), ["m3"], **options)
    assert promised["diff"] == done["diff"] and done["changed"]
    assert rig.members()["m3"].available and rig.members()["m3"].weight == 40
    until("it serves", lambda: Bound(rig.port).get() == "m3")
    assert not set_pool(rig.entry(), ["m3"], **options)["changed"]
    set_pool(rig.entry(), ["m3"], state="absent")
    assert list(rig.members()) == ["m1", "m2"] and apps["m3"].port not in hosts(rig)
    assert not set_pool(rig.entry(), ["m3"], state="absent")["changed"]
    version = json.loads(rig.file.read_text(encoding="utf-8"))["version_info"]
    assert rig.file.read_text(encoding="utf-8").replace(f'"{version}"', '"1"', 1) == before


def test_a_new_member_that_is_not_well_is_gone_again(make_envoy, apps):
    rig = make_envoy(members={name: apps[name].port for name in ("m1", "m2")})
    apps["m3"].broken = True
    with pytest.raises(TimedOut, match=r"m3 is down.*as they were before \(m3\)"):
        set_pool(
            rig.entry(), ["m3"], state="enabled", addresses={"m3": f"127.0.0.1:{apps['m3'].port}"}, health_timeout=1
        )
    assert list(rig.members()) == ["m1", "m2"] and apps["m3"].served == 0


def test_a_name_is_no_address_for_a_new_member(rig):
    with pytest.raises(InvalidInput, match=r"'localhost:80' is no IP address with a port.*Nothing was touched"):
        set_pool(rig.entry(), ["m9"], state="enabled", addresses={"m9": "localhost:80"})
    assert list(rig.members()) == ALL


def test_who_is_in_use_is_not_removed(rig):
    with pytest.raises(Refused, match="m1 cannot be removed from app: still in use"):
        rig.driver().remove(POOL, ["m1"])
    assert list(rig.members()) == ALL


def test_two_hundred_members_are_few_writes(make_envoy, apps, monkeypatch):
    names = [f"application-server-{number:03}" for number in range(200)]
    rig = make_envoy(members={name: 20000 + number for number, name in enumerate(names)}, checked=False, wait=False)
    before = rig.file.read_text(encoding="utf-8")
    writes = []
    put = ConfigFile._put
    monkeypatch.setattr(ConfigFile, "_put", lambda self, content: (writes.append(content), put(self, content))[1])
    set_pool(rig.entry(), names, state="disabled", weight=10, min_available=0)
    assert len(writes) == 2 and hosts(rig) == {}
    set_pool(rig.entry(), names, state="enabled", weight=100, health="none")
    assert len(writes) == 3 and len(hosts(rig)) == 200
    assert rig.file.read_text(encoding="utf-8").replace('"4"', '"1"', 1) == before


def test_an_interface_that_forbids_what_is_needed(rig):
    rig.stop()
    configuration = rig._configuration
    rig._configuration = lambda: {
        **configuration(),
        "admin": {**configuration()["admin"], "allow_paths": [{"exact": "/ready"}]},
    }
    rig.start()
    with pytest.raises(Refused, match="forbids /stats: see `allow_paths`"):
        read(rig.entry())
    assert rig.driver().version() == "unknown"


def test_a_pool_that_envoy_does_not_have(rig):
    other = rig.file.read_text(encoding="utf-8").replace('"app"', '"other"')
    rig.write(other)
    with pytest.raises(Unreachable, match="no cluster of type EDS that is called 'other'"):
        read(rig.entry(), pool="other")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version_info: '1'\nresources: []\n", "no EDS file in JSON"),
        ("", "no EDS file in JSON"),
        ("[]", "the file is to be an object"),
        ('{"resources": {}}', "resources is to be a list"),
        ('{"resources": []}', "The clusters in .* are: none"),
        ('{"resources": [{"cluster_name": "app", "endpoints": [7]}]}', r"endpoints\[0\] is to be an object"),
    ],
)
def test_a_file_that_is_none(rig, tmp_path, text, said):
    other = tmp_path / "other.yaml"
    other.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=f"{said}.*Nothing was touched"):
        read(rig.entry(file=str(other)))


def answering(status, body, after=0.0):
    """An HTTP server that says one thing to everybody, after so many seconds."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(after)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"hello"),
        (404, b"not here"),
        (200, b"[]"),
        (200, b'{"cluster_statuses": [7]}'),
        (200, b'{"cluster_statuses": [{"name": "app", "host_statuses": [{"address": {}}]}]}'),
        (200, b'{"cluster_statuses": [{"name": "app", "host_statuses": [{"stats": 1}]}]}'),
        (200, b"\xff\x00"),
        (200, b"[" * 100000),
    ],
)
def test_what_is_not_envoy_is_said_not_to_be(rig, status, body):
    server = answering(status, body)
    try:
        with pytest.raises(Unreachable, match="is not Envoy's admin interface"):
            read({"provider": "envoy", "file": str(rig.file), "url": f"http://127.0.0.1:{server.server_address[1]}"})
    finally:
        server.shutdown()
        server.server_close()


def test_who_comes_back_without_a_wait_takes_requests_all_the_same(make_envoy, apps):
    server = answering(200, b"slow", after=0.3)
    try:
        rig = make_envoy(members={"m1": apps["m1"].port, "slow": server.server_address[1]})
        for state in ("disabled", "drained"):
            set_pool(rig.entry(), ["slow"], state=state)
            set_pool(rig.entry(), ["slow"], state="enabled", health="none")
            assert rig.members()["slow"].available
    finally:
        server.shutdown()
        server.server_close()


def test_a_write_that_has_no_effect_is_found_by_reading_back(rig, monkeypatch):
    monkeypatch.setattr(envoy.Envoy, "_write", lambda self, written, pool, edit: None)
    with pytest.raises(NotApplied, match=r"m1 was to be drained, weight 5 and, read back, is enabled, weight 100"):
        rig.driver().apply(POOL, [Change("m1", "drained", 5)])


def test_a_switch_to_hosts_of_which_nothing_is_known_leaves_nobody_without_any(make_envoy, apps):
    rig = make_envoy(forgiving=False)
    blue, green = (
        {"blue": {"members": ["m1", "m2"], "share": share}, "green": {"members": ["m3", "m4"], "share": 100 - share}}
        for share in (100, 0)
    )
    split_pool(rig.entry(), groups=blue, wait=True)
    assert {entry.name for entry in rig.driver()._entries(POOL, rig.file.read_text()) if entry.kept} == {"m3", "m4"}
    with Load(rig.port, clients=4) as load:
        load.everybody_again()
        split_pool(rig.entry(), groups=green, health="none")
        load.everybody_again()
    assert load.failures == [] and {m.name for m in rig.members().values() if m.available} == {"m3", "m4"}


@pytest.fixture
def control_plane():
    """Serves endpoints to Envoy as a control plane does: the text that it is given; its cluster and its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = server.text.encode()
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.text = ""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def served_by(control_plane):
    """Options of a rig whose pool comes from there."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": control_plane.server_address[1]}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    plane = {"name": "plane", "type": "STATIC", "load_assignment": {"cluster_name": "plane", "endpoints": endpoints}}
    api = {"api_type": "REST", "transport_api_version": "V3", "cluster_names": ["plane"], "refresh_delay": "0.1s"}
    config = {"eds_config": {"api_config_source": api, "resource_api_version": "V3"}}
    return {"cluster": {"eds_cluster_config": config}, "more": [plane]}


def served_pool(rig, control_plane):
    """Let the control plane serve what is in the rig's file."""
    control_plane.text = rig.file.read_text(encoding="utf-8")
    seeing = open_balancer({"timeout": 5.0, **rig.seeing_entry()})
    until("every member is up", lambda: {m.name: m for m in seeing.members(POOL)}, lambda pool: list(pool) == ALL)
    rig.all_up()
    until("the workers know it too", lambda: served_by_any(rig))
    return seeing


def served_by_any(rig):
    """Whether a request is answered."""
    try:
        return Bound(rig.port).get()
    except HTTPException:
        return None


def test_what_a_control_plane_serves_can_be_read_and_not_written(make_envoy, control_plane, apps):
    rig = make_envoy(more=served_by(control_plane), wait=False)
    seeing = served_pool(rig, control_plane)
    members = {member.name: member for member in seeing.members(POOL)}
    assert {m.address for m in members.values()} == {f"127.0.0.1:{app.port}" for app in apps.values()}
    assert all(m.available and m.health == "up" and m.in_flight == 0 for m in members.values())
    assert not seeing.capabilities.membership and seeing.capabilities.weight_range is None
    with pytest.raises(Refused, match="can only be read: give `file`.*Nothing was touched"):
        set_pool(rig.seeing_entry(), ["m1"], state="disabled")
    with pytest.raises(InvalidInput, match="has no pool 'shop'. The clusters of Envoy are: app, plane"):
        read(rig.seeing_entry(), pool="shop")
    # A file that says the same is not the one that Envoy goes by.
    before = rig.file.stat()
    with pytest.raises(
        Refused, match="Cluster app gets its endpoints by `api_config_source`, not from a file.*Nothing was touched"
    ):
        set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.file.stat() == before
    control_plane.text = edited(rig, lambda endpoints: endpoints[0]["lb_endpoints"][0].update(health_status="DRAINING"))
    until("it is read", lambda: {m.name: m.state for m in seeing.members(POOL)}["m1"] == "drained")


def test_members_that_take_themselves_out_are_seen_by_an_envoy_that_is_read_alone(
    make_envoy, control_plane, apps, tmp_path, monkeypatch
):
    monkeypatch.setattr(health_endpoint.HealthEndpoint, "reach", staticmethod(health_endpoint._here))
    rig = make_envoy(more=served_by(control_plane), wait=False)
    seeing = served_pool(rig, control_plane)
    entry = {
        "provider": "health_endpoint",
        "name": "lb",
        "file": str(tmp_path / "{name}.out"),
        "seen_by": [rig.seeing_entry()],
    }
    with Load(rig.port) as load:
        set_pool(entry, ["m1"], state="disabled", min_available=3)
        assert {m.name: m.health for m in seeing.members(POOL)}["m1"] == "down"
        apps["m1"].kill()
        assert "m1" not in {Bound(rig.port).get() for each in range(12)}
        apps["m1"].start()
        set_pool(entry, ["m1"], state="enabled")
        assert {m.name: m.health for m in seeing.members(POOL)}["m1"] == "up"
    assert load.failures == []


def in_localities(apps, weights=True):
    """A file with a locality of one member and one of three."""
    split = {"a": ["m1"], "b": ["m2", "m3", "m4"]}
    localities = []
    for weight, (zone, names) in zip((3, 1), split.items()):
        endpoints = [EnvoyRig.endpoint(name, apps[name].port) for name in names]
        localities.append({"locality": {"region": "eu", "zone": zone}, "lb_endpoints": endpoints})
        if weights:
            localities[-1]["load_balancing_weight"] = weight
    return EnvoyRig.response(POOL, localities)


BY_LOCALITY = {"common_lb_config": {"locality_weighted_lb_config": {}, "healthy_panic_threshold": {"value": 0}}}
POLICIES = "type.googleapis.com/envoy.extensions.load_balancing_policies"
ROUND_ROBIN = f"{POLICIES}.round_robin.v3.RoundRobin"
BY_REPORT = f"{POLICIES}.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin"


def policy(typed):
    """A load balancing policy as newer configurations have it."""
    return {"policies": [{"typed_extension_config": {"name": "policy", "typed_config": typed}}]}


@pytest.mark.parametrize(
    "cluster",
    [
        BY_LOCALITY,
        {
            "load_balancing_policy": policy(
                {"@type": ROUND_ROBIN, "locality_lb_config": {"locality_weighted_lb_config": {}}}
            )
        },
    ],
)
def test_where_localities_have_weights_those_of_members_count_within_one(make_envoy, apps, cluster):
    rig = make_envoy(more={"text": in_localities(apps), "cluster": cluster})
    assert {m.locality for m in rig.members().values()} == {"eu/a", "eu/b"}
    assert rig.members()["m1"].locality == "eu/a"
    served = [Bound(rig.port).get() for each in range(40)]
    assert served.count("m1") > 20  # 30 of 40, though it has a quarter of the members' weights
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.members()["m1"].locality == "eu/a"


def test_where_localities_have_no_weights_those_of_members_count_among_all(make_envoy, apps):
    rig = make_envoy(more={"text": in_localities(apps)})
    assert {m.locality for m in rig.members().values()} == {""}


@pytest.mark.parametrize(("weights", "locality"), [(True, {"eu/a", "eu/b"}), (False, {""})])
def test_an_envoy_that_does_not_tell_is_taken_to_go_by_the_weights_that_localities_have(
    make_envoy, apps, weights, locality
):
    rig = make_envoy(more={"text": in_localities(apps, weights), "dumps": False})
    assert {m.locality for m in rig.members().values()} == locality


@pytest.mark.parametrize(
    "cluster",
    [
        {"lb_policy": "RANDOM"},
        {"load_balancing_policy": policy({"@type": f"{POLICIES}.random.v3.Random"})},
        {"load_balancing_policy": policy({"@type": BY_REPORT})},
    ],
)
def test_a_policy_that_does_not_go_by_weights_has_none(make_envoy, cluster):
    rig = make_envoy(more={"cluster": cluster})
    driver = rig.driver()
    driver.apply(POOL, [Change(name, None, 1 if name == "m1" else 1000) for name in ALL])
    until("m1 is served as often as the others", lambda: [Bound(rig.port).get() for each in range(40)].count("m1") > 2)
    assert driver.capabilities.weight_range is None
    with pytest.raises(InvalidInput, match="has no weights, or none as it is configured"):
        set_pool(rig.entry(), ["m1"], weight=50)


def test_a_policy_that_balances_localities_by_weight(make_envoy, apps):
    by_weight = {
        "@type": f"{POLICIES}.wrr_locality.v3.WrrLocality",
        "endpoint_picking_policy": policy({"@type": BY_REPORT}),
    }
    rig = make_envoy(more={"text": in_localities(apps), "cluster": {"load_balancing_policy": policy(by_weight)}})
    driver = rig.driver()
    assert {m.locality for m in driver.members(POOL)} == {"eu/a", "eu/b"} and driver.capabilities.weight_range is None


def test_a_standby_member_serves_once_all_others_are_gone(make_envoy):
    rig = make_envoy(standby=("m3", "m4"))
    assert {name: member.tier for name, member in rig.members().items()} == {"m1": 0, "m2": 0, "m3": 1, "m4": 1}
    set_pool(rig.entry(), ["m1"], state="disabled", min_available=0)
    assert {Bound(rig.port).get() for each in range(20)} == {"m2"}
    set_pool(rig.entry(), ["m2"], state="disabled", min_available=0)
    assert {Bound(rig.port).get() for each in range(20)} == {"m3", "m4"}
    assert {name: member.tier for name, member in rig.members().items()} == {"m1": 0, "m2": 0, "m3": 1, "m4": 1}


def test_a_standby_member_serves_some_while_one_that_leaves_has_requests_in_flight(make_envoy, apps):
    rig = make_envoy(standby=("m3", "m4"))
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled", min_available=0))
    until("all but m1 serve", lambda: {Bound(rig.port).get() for each in range(40)} == {"m2", "m3", "m4"})
    apps["m1"].gate.set()
    assert slow.ended().result == "m1" and leaving.ended().error is None
    until("m2 alone serves", lambda: {Bound(rig.port).get() for each in range(40)} == {"m2"})


def test_a_standby_member_serves_nothing_for_one_that_is_drained(make_envoy, apps):
    rig = make_envoy(standby=("m3", "m4"))
    client = bound_to(rig.port, "m1")
    set_pool(rig.entry(), ["m1"], state="drained", min_available=0)
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled", min_available=0))
    rig.wait_until("m1 is written", lambda pool: pool["m1"].state == "disabled")
    assert {Bound(rig.port).get() for each in range(40)} == {"m2"}
    apps["m1"].gate.set()
    assert slow.ended().result == "m1" and leaving.ended().error is None
    assert apps["m3"].served == apps["m4"].served == 0


def test_a_pool_that_is_fixed_in_the_configuration_is_reported(make_envoy, apps):
    rig = make_envoy(more={"static": True}, other={"m1": apps["m1"].port})
    set_pool(rig.entry(), ["m1"], state="disabled")
    (other,) = rig.balancer().other_pools(POOL)
    assert other.name == OTHER_POOL and other.members == ("m1",)
    assert other.reason == "same address, in a cluster that reads no EDS file (STATIC)"


def test_each_pool_has_a_file_of_its_own(make_envoy, apps):
    rig = make_envoy(other={"m1": apps["m1"].port, "m3": apps["m3"].port})
    driver = rig.driver()
    for pool in (POOL, OTHER_POOL):
        driver.apply(pool, [Change("m1", "disabled")])
    assert [m.state for m in driver.members(OTHER_POOL)] == ["disabled", "enabled"]
    assert {Bound(rig.other_port).get() for each in range(10)} == {"m3"}
    assert "m1" not in {Bound(rig.port).get() for each in range(20)}
    with pytest.raises(
        InvalidInput, match=f"has no pool 'shop'. Pools with a file .* are: {POOL}, {OTHER_POOL}. Nothing"
    ):
        driver.members("shop")
    with pytest.raises(InvalidInput, match=r"has no pool '\.\./eds/app'"):
        driver.members("../eds/app")


def test_timing_is_that_of_the_health_check(make_envoy):
    rig = make_envoy(interval=0.2, rise=3)
    Bound(rig.port).get()
    timing = rig.driver().timing(POOL)
    assert timing.leave is None and timing.check == pytest.approx(3 * 0.2 + 2)
    assert timing.source == "interval 0.2s, healthy_threshold 3, timeout 2s of cluster app"


def test_requests_that_a_member_was_given_are_counted(rig):
    client = bound_to(rig.port, "m1")
    before = rig.members()["m1"].requests
    client.get()
    assert rig.members()["m1"].requests == before + 1
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.members()["m1"].requests is None


def test_where_the_count_of_requests_in_flight_comes_from_is_told(rig):
    driver = rig.driver()
    driver.members(POOL)
    each = tuple(map(int, driver.version().split(".")[:2])) >= (1, 39)
    assert ("all requests of the cluster" in driver.in_flight_source) is not each


CLOSING = {
    "close_connections_on_host_health_failure": True,
    "common_lb_config": {
        "close_connections_on_host_set_change": True,
        "override_host_status": {"statuses": ["UNKNOWN", "HEALTHY", "DRAINING"]},
        "healthy_panic_threshold": {"value": 0},
    },
}


@pytest.mark.parametrize("state", ["drained", "disabled"])
@pytest.mark.parametrize("ignore", [False, True])
def test_no_write_cuts_a_request_that_is_under_way(make_envoy, apps, state, ignore):
    rig = make_envoy(more={"cluster": {**CLOSING, "ignore_health_on_host_removal": ignore}})
    clients = [bound_to(rig.port, name) for name in ("m1", "m2")]
    held = [Aside(lambda client=client: client.get("/hold")) for client in clients]
    until("the requests are under way", lambda: apps["m1"].holding + apps["m2"].holding == 2)
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state=state))
    rig.wait_until("m1 is written", lambda pool: (pool["m1"].state, pool["m1"].in_flight) == (state, 1))
    # The set of hosts changes while m1 and m2 have a request under way.
    set_pool(rig.entry(), ["m4"], state="disabled")
    assert rig.members()["m2"].in_flight == 1
    for app in apps.values():
        app.gate.set()
    assert [each.ended().result for each in held] == ["m1", "m2"] and leaving.ended().error is None


def test_requests_of_the_process_before_a_hot_restart_are_in_flight(make_envoy, apps):
    rig = make_envoy(more={"hot": True})
    client = bound_to(rig.port, "m1")
    held = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    rig.hot_restart()
    rig.all_up()
    assert hosts_in_flight(rig) == 0  # the new process knows nothing of it
    assert rig.members()["m2"].in_flight is None
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled"))
    member = rig.wait_until(
        "m1 is written and seen", lambda pool: pool["m1"].state == "disabled" and pool["m1"].in_flight
    )["m1"]
    assert member.in_flight == 1 and apps["m1"].port not in hosts(rig)
    assert leaving.runs
    apps["m1"].gate.set()
    assert held.ended().result == "m1" and leaving.ended().error is None
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert rig.members()["m1"].available


def hosts_in_flight(rig):
    """Requests under way, of all hosts, as Envoy tells."""
    told = rig.api.ask("GET", "/clusters?format=json").json()["cluster_statuses"][0]["host_statuses"]
    return sum(int(stat.get("value", 0)) for host in told for stat in host["stats"] if stat["name"] == "rq_active")


def test_a_former_process_that_is_not_seen_leaves_the_count_unknown(make_envoy, monkeypatch):
    rig = make_envoy(more={"hot": True})
    rig.hot_restart()
    rig.all_up()
    monkeypatch.setattr(envoy_parent, "_inodes", lambda pid: set())
    driver = rig.driver()
    assert {member.in_flight for member in driver.members(POOL)} == {None}
    assert driver.in_flight_source.startswith("not known while the former process of a hot restart serves")
    with pytest.raises(TimedOut, match="its former process still serves. What it has under way is not seen from here"):
        set_pool(rig.entry(), ["m1"], state="disabled", drain_timeout=0.2)
    rig.former[0].stop()
    assert {member.in_flight for member in rig.driver().members(POOL)} == {0}


def test_no_request_reaches_who_was_drained_right_after_another_write(rig, apps):
    driver = rig.driver()
    for state, other in (("drained", 50), ("enabled", 60), ("drained", 70)):
        driver.apply(POOL, [Change("m2", None, other)])  # within `update_merge_window` of the next one
        driver.apply(POOL, [Change("m1", state)])
    assert "m1" not in {Bound(rig.port).get() for each in range(40)}
