# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik's services: several over the same servers, those that lead to others, and those of other providers."""

from __future__ import annotations

import json

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.pools import OtherPool
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Bound, Load
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, read, set_pool, until

# A provider that is not the file provider: it has what is put into its API.
REST = {"rest": {"insecure": True}}


@pytest.fixture
def traefik(make_traefik):
    return make_traefik()


def balancer(*ports, **more):
    return {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"} for port in ports], **more}}


def provide(rig, services):
    """Give services to the provider `rest`, and wait until Traefik runs them."""
    api = rig.driver().api
    routers = {name: {"rule": f"PathPrefix(`/{name}`)", "service": name} for name in services}
    told = json.dumps({"http": {"services": services, "routers": routers}})
    assert api.http.ask("PUT", "/api/providers/rest", told).status == 200
    until("it runs them", lambda: {f"{name}@rest" for name in services} <= set(api.services()))


def others(rig, pool=POOL):
    return {other.name: other for other in rig.balancer().other_pools(pool)}


def test_every_kind_of_service_over_the_same_servers_is_found(make_traefik, apps):
    ports = {name: app.port for name, app in apps.items()}
    tcp = {
        "services": {"raw": {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{ports['m2']}"}]}}},
        "routers": {"raw": {"rule": "HostSNI(`*`)", "service": "raw", "entryPoints": ["other"]}},
    }
    beside = {
        "deep": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{ports['m3']}/deep", "weight": 3}]}},
        "mapped": {"loadBalancer": {"servers": [{"url": f"http://[::ffff:127.0.0.1]:{ports['m1']}"}]}},
        "unlike": balancer(1),
        "both": {"weighted": {"services": [{"name": "deep", "weight": 1}, {"name": POOL, "weight": 3}]}},
    }
    rig = make_traefik(more={"beside": beside, "routing": {"tcp": tcp}, "providers": REST})
    provide(rig, {"elsewhere": balancer(ports["m4"], ports["m1"], 2)})
    idle = "same address, no router or other service leads to it at the moment"
    assert others(rig) == {
        "deep": OtherPool("deep", ("m3",)),
        "mapped": OtherPool("mapped", ("m1",), idle),
        "elsewhere@rest": OtherPool("elsewhere@rest", ("m1", "m4")),
        "tcp/raw": OtherPool("tcp/raw", ("m2",), "same address, a TCP service, which cannot be a pool"),
    }
    assert {name: other.members for name, other in others(rig, "elsewhere@rest").items()} == {
        POOL: ("m4", "m1"),
        "mapped": ("m1",),
    }


def test_a_server_that_is_out_of_the_other_pool_is_still_one_of_it(make_traefik, apps):
    rig = make_traefik(other={"m1": apps["m1"].port, "m2": apps["m2"].port})
    set_pool(rig.entry(), ["m2"], state="disabled")
    address = rig.address("m1")
    rig.driver().apply("app-admin", [Change(address, "disabled")])
    assert {name: other.members for name, other in others(rig).items()} == {"app-admin": ("m1", "m2")}
    assert {name: other.members for name, other in others(rig, "app-admin").items()} == {POOL: ("m1", "m2")}


def test_a_service_that_leads_to_others_names_those_with_servers(make_traefik, apps):
    beside = {
        "front": {"failover": {"service": "share", "fallback": "sorry", "healthCheck": {}}},
        "share": {
            "weighted": {"services": [{"name": POOL, "weight": 3}, {"name": "next", "weight": 1}], "healthCheck": {}}
        },
        "next": balancer(apps["m4"].port, healthCheck={"path": "/health"}),
        "sorry": balancer(apps["m3"].port, healthCheck={"path": "/health"}),
        "twice": {"mirroring": {"service": POOL, "mirrors": [{"name": "sorry", "percent": 5}]}},
    }
    rig = make_traefik(more={"beside": beside})
    for entry in (rig.entry(), rig.seer()):
        with pytest.raises(
            InvalidInput,
            match=r"front is of kind `failover`.*as pools: app, next, sorry \(gets requests only while.*touched",
        ):
            read(entry, pool="front")
        with pytest.raises(InvalidInput, match=r"share is of kind `weighted`.*as pools: app, next\. Nothing"):
            read(entry, pool="share")
        with pytest.raises(InvalidInput, match=r"twice is of kind `mirroring`.*as pools: app, sorry\. Nothing"):
            read(entry, pool="twice")
    # A pool below them is one like any other.
    set_pool(rig.entry(), ["m1"], state="disabled", weight=7)
    assert rig.members()["m1"].state == "disabled"


def test_a_service_of_another_provider_is_read_and_not_written(make_traefik, apps):
    rig = make_traefik(more={"providers": REST})
    ports = [apps[name].port for name in ("m1", "m2")]
    provide(rig, {"app": balancer(*ports, healthCheck={"path": "/health", "interval": "100ms", "timeout": "1s"})})
    apps["m2"].health = 503

    def look(entry):
        return {
            m.name: (m.state, m.health, m.checked) for m in open_balancer({"timeout": 5.0, **entry}).members("app@rest")
        }

    before = rig.file.read_bytes()
    for entry in (rig.seer(), rig.entry()):
        until(
            "m2 is down",
            lambda entry=entry: look(entry),
            lambda seen: seen == {"m1": ("enabled", "up", True), "m2": ("enabled", "down", True)},
        )
        with pytest.raises((Refused, InvalidInput), match=r"only (be )?read.*health_endpoint"):
            set_pool(entry, ["m1"], pool="app@rest", state="disabled", min_available=0)
    assert rig.file.read_bytes() == before
    with pytest.raises(
        InvalidInput, match=r"no pool 'app@docker'.*Traefik runs are: app, app@rest\. Nothing was touched"
    ):
        read(rig.seer(), pool="app@docker")


def test_without_a_file_the_file_providers_services_are_read_too(traefik):
    set_pool(traefik.entry(), ["m2"], state="disabled", weight=7)
    seer = open_balancer({"timeout": 5.0, **traefik.seer()})
    seen = {member.name: (member.state, member.weight) for member in seer.members(POOL)}
    assert seen == {"m1": ("enabled", 100), "m2": ("disabled", 7), "m3": ("enabled", 100), "m4": ("enabled", 100)}
    assert not seer.capabilities.membership
    for write in (
        lambda: set_pool(traefik.seer(), ["m1"], state="disabled"),
        lambda: seer.add(POOL, "m9", "192.0.2.9:80"),
        lambda: seer.remove(POOL, ["m2"]),
    ):
        with pytest.raises((Refused, InvalidInput), match="`file`.*Nothing was touched"):
            write()


def test_members_leave_by_their_check_where_traefik_is_only_read(make_traefik, apps, tmp_path):
    rig = make_traefik(more={"providers": REST})
    check = {"path": "/health", "interval": "100ms", "timeout": "1s"}
    provide(rig, {"shop": balancer(*[app.port for app in apps.values()], healthCheck=check)})
    entry = {"provider": "health_endpoint", "name": "lb", "file": str(tmp_path / "{name}.out"), "seen_by": [rig.seer()]}

    def state():
        (seen,) = read(entry, pool="shop@rest")["balancers"]
        return {m["name"]: (m["state"], m["health"]) for m in seen["members"]}["m1"]

    before = rig.file.read_bytes()
    with Load(rig.port) as load:
        set_pool(entry, ["m1"], pool="shop@rest", state="disabled", min_available=3, drain_wait=0.3)
        assert state() == ("disabled", "down")
        assert "m1" not in {Bound(rig.port).get() for each in range(8)}
        apps["m1"].kill()
        apps["m1"].start()
        set_pool(entry, ["m1"], pool="shop@rest", state="enabled", health="fresh")
        assert state() == ("enabled", "up")
    assert load.failures == []
    assert rig.file.read_bytes() == before
