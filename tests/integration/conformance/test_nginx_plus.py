# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only NGINX Plus has, as its documentation has it: IDs that change, two views of one server, members that come and go."""

from __future__ import annotations

import json

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.nginx_plus import NginxPlus
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.impostor import http, impostor
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, read, set_pool


@pytest.fixture
def plus(make_nginx_plus):
    """The stand-in with the usual upstream."""
    return make_nginx_plus()


def bare(rig, **more):
    """The driver without names for the members."""
    return open_balancer({**{key: value for key, value in rig.entry().items() if key != "names"}, **more})


def servers(rig):
    return {server["server"]: server for server in rig.ask("GET", f"/api/9/http/upstreams/{POOL}/servers").json()}


def reload(rig):
    assert rig.ask("POST", "/reload").status == 200


def test_members_are_called_by_their_address(plus):
    assert [m.name for m in bare(plus).members(POOL)] == [plus.address(name) for name in plus.settings.members]


def test_requests_are_counted_with_answers_of_5xx_and_attempts_that_failed(plus):
    (balancer,) = read(plus.entry(), counters=True)["balancers"]
    counted = [member["counters"] for member in balancer["members"]]
    assert [(each["requests"], each["errors"]) for each in counted] == [(7, 3)] * 4
    reload(plus)
    assert read(plus.entry(), counters=True)["balancers"][0]["members"][0]["counters"]["since"] != counted[0]["since"]


def test_only_what_differs_is_written(plus, monkeypatch):
    bodies = []
    ask = NginxPlus._ask

    def noted(self, method, path, body=None):
        if method == "PATCH":
            bodies.append(body)
        return ask(self, method, path, body)

    monkeypatch.setattr(NginxPlus, "_ask", noted)
    for change in (
        Change("m1", "drained"),
        Change("m1", "drained"),
        Change("m1", "disabled", 5),
        Change("m1", "disabled", 5),
        Change("m1", "enabled", 100),
    ):
        plus.balancer().apply(POOL, [change])
    assert bodies == [
        {"drain": True},
        {"down": True, "weight": 5},
        {"down": False, "drain": False, "weight": 100},
    ]
    # What an administrator configured beside it is as it was.
    assert servers(plus)[plus.address("m1")] == {
        **servers(plus)[plus.address("m2")],
        "id": 0,
        "server": plus.address("m1"),
    }


def test_ids_that_change_with_a_reload_are_looked_up_anew(plus):
    balancer = plus.balancer()
    balancer.apply(POOL, [Change("m1", "disabled")])
    reload(plus)
    assert [m.state for m in balancer.members(POOL)] == ["enabled"] * 4
    assert balancer.apply(POOL, [Change("m1", "disabled")])[0].state == "disabled"


def test_a_reload_counts_as_a_new_process(plus):
    balancer = plus.balancer()
    one, two = balancer.running(), balancer.running()
    assert one[0] == two[0] and 0 <= one[1] <= two[1]
    reload(plus)
    assert balancer.running()[0] != one[0]


@pytest.fixture
def during(monkeypatch):
    """A function: what is done once, right before a request of a kind."""

    def between(method, what):
        ask = NginxPlus._ask

        def first(self, asked, path, body=None):
            if asked == method:
                monkeypatch.setattr(NginxPlus, "_ask", ask)
                what()
            return ask(self, asked, path, body)

        monkeypatch.setattr(NginxPlus, "_ask", first)

    return between


def test_a_reload_between_reading_and_writing(plus, during):
    during("PATCH", lambda: reload(plus))
    with pytest.raises(
        Refused, match=r"404 to PATCH of .*server with ID \"0\" does not exist \(UpstreamServerNotFound\)"
    ):
        plus.balancer().apply(POOL, [Change("m1", "disabled")])
    assert {m.state for m in plus.members().values()} == {"enabled"}


def test_an_id_that_has_become_another_servers_is_noticed_and_put_back(plus, during):
    plus.balancer().apply(POOL, [Change("m2", None, 7)])
    one, two = plus.address("m1"), plus.address("m2")

    def swap():
        for id_, address in ((0, two), (1, one)):
            plus.ask("PATCH", f"/api/9/http/upstreams/{POOL}/servers/{id_}", json.dumps({"server": address}))

    during("PATCH", swap)
    with pytest.raises(NotApplied, match=rf"{one} of app was to be written, and what was is {two}"):
        bare(plus).apply(POOL, [Change(one, "disabled", 5)])
    assert (servers(plus)[two]["down"], servers(plus)[two]["weight"]) == (False, 7)


def test_a_write_that_has_no_effect_is_found_by_reading_back(plus):
    undone = f"/api/9/http/upstreams/{POOL}/servers/0"
    ask = NginxPlus._patch

    def then_undone(self, *words):
        ask(self, *words)
        plus.ask("PATCH", undone, json.dumps({"down": False}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NginxPlus, "_patch", then_undone)
        with pytest.raises(NotApplied, match="was to be disabled and, read back, is enabled"):
            plus.balancer().apply(POOL, [Change("m1", "disabled")])


def test_upstreams_of_stream_are_other_pools(make_nginx_plus, apps):
    one, two = apps["m1"].port, apps["m2"].port
    rig = make_nginx_plus(more={"stream": {"app": [f"127.0.0.1:{one}"], "b": ["127.0.0.1:1"]}}, other={"x": two})
    found = [(other.name, other.members, other.reason) for other in rig.balancer().other_pools(POOL)]
    assert found == [
        ("app-admin", ("m2",), "same address"),
        ("stream upstream app", ("m1",), "same address, in `stream`"),
    ]
    with pytest.raises(InvalidInput, match="has no pool 'nope'"):
        rig.balancer().other_pools("nope")


def test_backup_servers_are_a_later_tier_and_requests_are_counted(make_nginx_plus):
    rig = make_nginx_plus(standby=("m2",))
    rig.balancer().apply(POOL, [Change("m2", "disabled", 5)])
    assert servers(rig)[rig.address("m2")]["backup"] is True
    assert {name: (member.tier, member.requests) for name, member in rig.members().items()} == {
        "m1": (0, 7),
        "m2": (1, 7),
        "m3": (0, 7),
        "m4": (0, 7),
    }


@pytest.mark.parametrize("told", ["[]", "3", '{"app": 3}', '{"app": {"peers": {}}}', "{"])
def test_upstreams_that_are_none(told):
    def reply(asked):
        return http(told if b"upstreams" in asked else "[9]")

    with impostor(reply) as address, pytest.raises(Unreachable):
        open_balancer({"provider": "nginx_plus", "timeout": 5, "url": f"http://{address}/api"}).other_pools("app")


def test_members_come_and_go(make_nginx_plus, apps):
    rig = make_nginx_plus(members={name: apps[name].port for name in ("m1", "m2")})
    address = f"127.0.0.1:{apps['m3'].port}"
    entry = rig.entry()
    entry["names"]["m3"] = address
    options = {"addresses": {"m3": address}, "state": "enabled", "weight": 40}
    promised = set_pool(entry, ["m3"], check=True, **options)
    done = set_pool(entry, ["m3"], **options)
    assert promised["diff"] == done["diff"] and done["changed"]
    assert (servers(rig)[address]["down"], servers(rig)[address]["weight"]) == (False, 40)
    assert set_pool(entry, ["m3"], **options)["changed"] is False
    assert set_pool(entry, ["m3"], state="absent")["changed"] is True
    assert address not in servers(rig)
    assert set_pool(entry, ["m3"], state="absent")["changed"] is False


def test_a_member_that_is_added_is_out_until_it_is_enabled(plus):
    balancer = bare(plus)
    balancer.add(POOL, "127.0.0.1:9", "127.0.0.1:9")
    assert [(m.state, m.weight) for m in balancer.members(POOL)][-1] == ("disabled", 1)
    with pytest.raises(InvalidInput, match=r"`names`: {m9: '127\.0\.0\.1:9'}"):
        balancer.add(POOL, "m9", "127.0.0.1:9")
    with pytest.raises(Refused, match="missing|UpstreamBadWeight"):
        balancer.add(POOL, "127.0.0.1:8", "127.0.0.1:8", weight=0)
    with pytest.raises(Refused, match="UpstreamNotFound"):
        balancer.add("nope", "127.0.0.1:8", "127.0.0.1:8")
    with pytest.raises(Refused, match="has no server 127.0.0.1:7"):
        balancer.remove(POOL, ["127.0.0.1:7"])
    with pytest.raises(Refused, match="api write=on"):
        open_balancer(plus.read_only_entry()).remove(POOL, ["m1"])


def test_an_upstream_without_servers(plus):
    assert read(plus.entry(), pool="other")["balancers"][0]["members"] == []


def test_servers_that_cannot_be_told_apart_are_not_touched(plus):
    again = json.dumps({"server": plus.address("m1")})
    assert plus.ask("POST", f"/api/9/http/upstreams/{POOL}/servers", again).status == 201
    with pytest.raises(InvalidInput, match=r"several times.*Nothing was touched"):
        set_pool(plus.entry(), ["m2"], state="disabled")


def test_who_may_not_ask_at_all(plus):
    with pytest.raises(Refused, match="answered 401 to GET"):
        read(plus.entry(password="wrong"))


def test_two_hundred_members(make_nginx_plus):
    rig = make_nginx_plus(members={f"n{number}": 20000 + number for number in range(200)}, wait=False)
    names = [f"n{number}" for number in range(0, 200, 2)]
    set_pool(rig.entry(), names, state="drained")
    assert [m.name for m in rig.members().values() if m.state == "drained"] == names


PEER = {"id": 0, "server": "a:1", "weight": 1, "state": "up", "active": 0}


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/": "hello"},
        {"/": "[]"},
        {"/": "[99]"},
        {"/": "{}"},
        {"/": "[9]"},
        {"/": "[9]", "upstream": "hello", "servers": "[]"},
        {"/": "[9]", "upstream": "[]", "servers": "[]"},
        {"/": "[9]", "upstream": '{"peers": 3}', "servers": "[]"},
        {"/": "[9]", "upstream": '{"peers": []}', "servers": "{}"},
        {"/": "[9]", "upstream": json.dumps({"peers": [PEER]}), "servers": '[{"id": 0, "server": "b:2"}]'},
    ],
)
def test_what_is_not_nginx_plus_is_said_not_to_be(answers):
    def reply(asked):
        path = asked.split(b" ")[1].decode().rstrip("/")
        return http(answers.get("servers" if path.endswith("servers") else "upstream" if "upstreams" in path else "/"))

    with impostor(reply) as address, pytest.raises(Unreachable):
        read({"provider": "nginx_plus", "url": f"http://{address}/api"})
