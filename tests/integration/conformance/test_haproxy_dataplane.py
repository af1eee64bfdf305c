# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only HAProxy's Data Plane API has: two views of one state, one of which is misread, and writes that it leaves out."""

from __future__ import annotations

import json
import urllib.request

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy_dataplane
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    TimedOut,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.impostor import http, impostor
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, read, set_pool
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.haproxy_dataplane import LOGIN
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.haproxy_dataplane_stand_in import (
    admin_state,
)

CHECK = "check inter 100ms fall 2 rise 2"


@pytest.fixture
def plane(make_haproxy_dataplane):
    """A HAProxy behind the stand-in, with the usual pool."""
    return make_haproxy_dataplane()


def told(rig, name):
    """What the API itself says of a server's administrative state."""
    servers = HttpApi("", 5, url=rig.entry()["url"], **LOGIN).ask(
        "GET", f"/v3/services/haproxy/runtime/backends/{POOL}/servers"
    )
    return {server["name"]: server["admin_state"] for server in servers.json()}[name]


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("bits", range(0x80))
def test_whatever_the_bits_are_and_however_they_are_misread_the_state_is_found(bits, up):
    truth = "disabled" if bits & 0x63 else "drained" if bits & 0x18 else "enabled"
    status = "MAINT" if truth == "disabled" else "DOWN" if not up else "DRAIN" if truth == "drained" else "UP"
    assert haproxy_dataplane.state(admin_state(str(bits)), status) == truth


@pytest.fixture
def reserve(make_haproxy_dataplane, apps):
    """With a server that the configuration calls `disabled`."""
    rig = make_haproxy_dataplane(
        wait=False, more={"server_options": {"m1": f"{CHECK} disabled", **dict.fromkeys(["m2", "m3", "m4"], CHECK)}}
    )
    rig.wait_until("the others are up", lambda pool: all(rig.check_passed(pool[name]) for name in ("m2", "m3", "m4")))
    return rig


def test_a_drain_that_the_api_takes_for_maintenance_is_seen(reserve, apps):
    assert reserve.members()["m1"].state == "disabled"
    set_pool(reserve.entry(), ["m1"], state="enabled")
    set_pool(reserve.entry(), ["m1"], state="drained")
    assert told(reserve, "m1") == "maint" and reserve.members()["m1"].state == "drained"
    apps["m1"].kill()
    reserve.wait_until("m1 is down", lambda pool: pool["m1"].health == "down")
    assert told(reserve, "m1") == "maint" and reserve.members()["m1"].state == "drained"


def test_a_write_that_the_api_leaves_out_is_found_by_reading_back(reserve):
    set_pool(reserve.entry(), ["m1"], state="enabled")
    set_pool(reserve.entry(), ["m1"], state="drained")
    with pytest.raises(NotApplied, match=r"m1 was to be disabled and, read back, is drained.*issue 343"):
        set_pool(reserve.entry(), ["m1"], state="disabled")
    set_pool(reserve.entry(), ["m1"], state="enabled")
    set_pool(reserve.entry(), ["m1"], state="disabled")
    assert reserve.members()["m1"].state == "disabled"


def test_a_write_that_has_no_effect_is_found_by_reading_back(plane, monkeypatch):
    monkeypatch.setattr(haproxy_dataplane.HAProxyDataPlane, "_put", lambda *words: None)
    with pytest.raises(NotApplied, match=r"m1 was to be disabled and, read back, is enabled"):
        plane.balancer().apply(POOL, [Change("m1", "disabled")])


def test_a_returning_member_is_held_down_after_it_has_left_maintenance(plane, monkeypatch):
    set_pool(plane.entry(), ["m1"], state="disabled")
    bodies = []
    put = haproxy_dataplane.HAProxyDataPlane._put

    def noted(self, pool, name, body):
        bodies.append(body)
        put(self, pool, name, body)

    monkeypatch.setattr(haproxy_dataplane.HAProxyDataPlane, "_put", noted)
    set_pool(plane.entry(), ["m1"], state="enabled")
    assert bodies == [{"admin_state": "drain"}, {"operational_state": "down"}, {"admin_state": "ready"}]


def test_a_member_that_follows_another_returns_by_the_others_check(make_haproxy_dataplane, apps):
    rig = make_haproxy_dataplane(
        members={"m1": apps["m1"].port, "follows": apps["m1"].port, "m2": apps["m2"].port},
        more={"server_options": {"follows": f"track {POOL}/m1"}},
        wait=False,
    )
    rig.wait_until("checked", lambda pool: rig.check_passed(pool["m1"]) and rig.check_passed(pool["m2"]))
    assert rig.members()["follows"].checked
    set_pool(rig.entry(), ["follows"], state="disabled")
    set_pool(rig.entry(), ["follows"], state="enabled", health_timeout=10)
    assert rig.members()["follows"].available


def test_a_member_of_weight_zero_gets_nothing(plane):
    plane.ask(f"set server {POOL}/m1 weight 0")
    seen = plane.members()
    assert (seen["m1"].weight, seen["m1"].available, seen["m2"].weight) == (0, False, 1)
    with pytest.raises(Refused, match="3 of 4 members are available"):
        set_pool(plane.entry(), ["m2"], state="disabled", min_available=3)


@pytest.mark.parametrize("words", [(), ("empty",)])
def test_a_backend_that_there_is_not_and_one_without_servers(make_haproxy_dataplane, words):
    rig = make_haproxy_dataplane(more={"words": words, "extra": "backend empty\n"})
    with pytest.raises(InvalidInput, match=r"no pool 'nope'. HAProxy's backends are: .*app, empty"):
        read(rig.entry(), pool="nope")
    assert read(rig.entry(), pool="empty")["balancers"][0]["members"] == []


def test_wrong_credentials(plane):
    with pytest.raises(Refused, match="answered 401 to GET .*unauthenticated.*the user deploy.*`userlist`") as failure:
        read(plane.entry(password="hush-hush"))
    assert "hush-hush" not in failure.value.message


def test_a_url_may_name_the_version(plane):
    url = plane.entry()["url"]
    assert open_balancer(plane.entry(url=f"{url}/v3/")).endpoint == open_balancer(plane.entry()).endpoint
    assert read(plane.entry(url=f"{url}/v3"))["balancers"][0]["version"] == "3.0.4 0123abc"


def test_since_when_haproxy_runs(plane):
    pid, seconds = plane.balancer().running()
    assert pid == str(plane.server.process.pid) and seconds >= 0


def test_haproxy_is_gone_and_its_api_is_not(plane):
    plane.server.stop()
    said = "the Data Plane API at .* answers, and HAProxy does not answer it: dial unix .*runtime socket"
    with pytest.raises(Unreachable, match=said):
        read(plane.entry())
    with pytest.raises(Unreachable, match="HAProxy does not answer it: it tells neither the process nor since when it runs"):
        plane.balancer().running()


@pytest.mark.parametrize("path", ["", "/v2", "/v3/"])
def test_version_2_is_told_as_such(make_haproxy_dataplane, path):
    rig = make_haproxy_dataplane(wait=False, more={"words": ("v2",)})
    said = r"version 3 of the Data Plane API is required; this is 2\.9\.9\. Nothing was touched"
    for look in (read, lambda entry: open_balancer(entry).version()):
        with pytest.raises(InvalidInput, match=said):
            look(rig.entry(url=rig.entry()["url"] + path))


def test_a_disabled_backend_is_named_as_one_of_two_causes(make_haproxy_dataplane, apps):
    server = f"    server m1 127.0.0.1:{apps['m1'].port}\n"
    rig = make_haproxy_dataplane(more={"extra": f"backend off\n    disabled\n{server}"})
    with pytest.raises(Unreachable, match="no statistics of m1. Either HAProxy is being reloaded.*Or backend off is `disabled`"):
        read(rig.entry(), pool="off")


def test_a_pool_that_tracks_this_one_is_another_pool_of_its_members(make_haproxy_dataplane, apps):
    elsewhere = f"backend tracks\n    server x 127.0.0.1:{apps['m2'].port} track {POOL}/m1\n"
    rig = make_haproxy_dataplane(more={"extra": elsewhere})
    (other,) = rig.balancer().other_pools(POOL)
    assert (other.name, set(other.members)) == ("tracks", {"m1", "m2"}) and f"tracks {POOL}/m1" in other.reason


def test_maintenance_that_is_inherited_is_not_taken_for_ours(make_haproxy_dataplane, apps):
    rig = make_haproxy_dataplane(
        more={"extra": f"backend lead\n    server x 127.0.0.1:{apps['m1'].port} {CHECK}\n", "server_options": {"m1": "track lead/x"}},
        wait=False,
    )
    rig.wait_until("m1 is up", lambda pool: pool["m1"].health == "up")
    rig.ask("set server lead/x state maint")
    assert (rig.members()["m1"].state, rig.members()["m1"].own) == ("disabled", "enabled")
    assert "via lead/x" in rig.members()["m1"].last_check
    rig.balancer().apply(POOL, [Change("m1", "disabled")])
    rig.ask("set server lead/x state ready")
    assert rig.members()["m1"].state == "disabled"
    rig.ask("set server lead/x state maint")
    balancer = rig.balancer()
    balancer.apply(POOL, [Change("m1", "drained")])
    balancer.apply(POOL, [Change("m1", "enabled")])
    rig.ask("set server lead/x state ready")
    rig.wait_until("m1 is in", lambda pool: pool["m1"].state == "enabled")


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({}, False),
        ({"server_options": {"m1": f"{CHECK} on-marked-down shutdown-sessions"}}, True),
        ({"defaults": "default-server on-marked-down shutdown-sessions"}, True),
    ],
)
def test_members_whose_sessions_are_shut_are_drained_first(make_haproxy_dataplane, options, first):
    rig = make_haproxy_dataplane(more=options)
    assert rig.balancer().drains_first(POOL) is first


def test_without_a_configuration_sessions_may_be_shut(plane):
    (plane.directory / "haproxy.cfg").unlink()
    assert plane.balancer().drains_first(POOL) is None
    assert plane.balancer().timing(POOL).check is None


def test_a_fresh_check_does_not_end_what_is_under_way(make_haproxy_dataplane, monkeypatch):
    rig = make_haproxy_dataplane(more={"defaults": "default-server on-marked-down shutdown-sessions"})
    bodies = []
    put = haproxy_dataplane.HAProxyDataPlane._put
    busy = haproxy_dataplane.member

    def noted(self, pool, name, body):
        bodies.append(body)
        return put(self, pool, name, body)

    monkeypatch.setattr(haproxy_dataplane.HAProxyDataPlane, "_put", noted)
    rig.balancer().apply(POOL, [Change("m1", "drained")], distrust=True)
    monkeypatch.setattr(haproxy_dataplane, "member", lambda server, row, *more: busy(server, {**row, "scur": 1}, *more))
    rig.balancer().apply(POOL, [Change("m2", "drained")], distrust=True)
    assert bodies == [{"admin_state": "drain"}, {"operational_state": "down"}, {"admin_state": "drain"}]


def test_how_long_a_check_takes_is_read_from_the_configuration(plane):
    timing = plane.balancer().timing(POOL)
    assert timing.check == pytest.approx(0.2 + 2) and timing.leave is None
    assert timing.source == "inter 0.1s, rise 2 in the configuration that the Data Plane API shows"


def test_backups_are_later_tiers(make_haproxy_dataplane):
    rig = make_haproxy_dataplane(standby=("m3", "m4"))
    assert [member.tier for member in rig.members().values()] == [0, 0, 1, 2]
    rig = make_haproxy_dataplane(standby=("m3", "m4"), more={"defaults": "option allbackups"})
    assert [member.tier for member in rig.members().values()] == [0, 0, 1, 1]


def test_requests_are_counted_by_member(plane):
    def given():
        return sum(member.requests for member in plane.members().values())

    before = given()
    with urllib.request.urlopen(f"http://127.0.0.1:{plane.port}/", timeout=10) as answer:
        assert answer.status == 200
    assert given() == before + 1


def test_a_failed_return_leaves_the_member_where_it_was(plane, apps):
    set_pool(plane.entry(), ["m1"], state="disabled")
    apps["m1"].health = 503
    with pytest.raises(TimedOut, match=r"m1 is down.*as they were before"):
        set_pool(plane.entry(), ["m1"], state="enabled", health_timeout=0.5)
    assert plane.members()["m1"].state == "disabled"


def test_two_hundred_members(make_haproxy_dataplane, apps):
    rig = make_haproxy_dataplane(members={f"n{number}": apps["m1"].port for number in range(200)}, wait=False)
    names = [f"n{number}" for number in range(0, 200, 2)]
    set_pool(rig.entry(), names, state="disabled")
    assert [m.name for m in rig.members().values() if m.state == "disabled"] == names


SERVER = {"name": "a", "address": "127.0.0.1", "port": 1, "admin_state": "ready"}


@pytest.mark.parametrize(
    ("servers", "stats"),
    [
        (None, None),
        ("hello", "{}"),
        ("{}", "{}"),
        ("[1]", "{}"),
        ("[]", "hello"),
        ("[]", "3"),
        ("[]", '{"stats": 3}'),
        (json.dumps([SERVER]), '{"stats": []}'),
        (json.dumps([SERVER]), '{"stats": [{"type": "server", "name": "a", "backend_name": "other", "stats": {}}]}'),
    ],
)
def test_what_is_not_the_api_is_said_not_to_be(servers, stats):
    def reply(asked):
        return http(stats if b"/stats/" in asked.split(b" ")[1] else servers)

    with impostor(reply) as address, pytest.raises(Unreachable):
        read({"provider": "haproxy_dataplane", "url": f"http://{address}", **LOGIN})


def test_after_a_reload_what_a_former_process_has_is_not_known(make_haproxy_dataplane):
    rig = make_haproxy_dataplane(more={"words": ("young",)})
    with pytest.raises(TimedOut, match=r"m1: not known.*reloaded, or started, less than 30 s ago.*run the task again later"):
        set_pool(rig.entry(), ["m1"], state="disabled", drain_timeout=0.5)
    assert rig.members()["m1"].state == "enabled"
