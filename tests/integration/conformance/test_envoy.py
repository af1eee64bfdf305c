# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Envoy has."""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import envoy
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.config_file import ConfigFile
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
    POOL,
    read,
    set_pool,
    split_pool,
    until,
)
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.envoy import ASSIGNMENT

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


def test_a_file_that_envoy_does_not_watch_is_put_back(rig, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(rig.file.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(
        NotApplied, match=r"other\.json was written, and cluster app goes by version '1', not '2'.*`path_config_source`"
    ):
        set_pool(rig.entry(file=str(other), timeout=0.5), ["m1"], state="drained")
    assert other.read_text(encoding="utf-8") == rig.file.read_text(encoding="utf-8")


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
