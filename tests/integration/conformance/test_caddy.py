# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Caddy has."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import caddy as driver_module
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Bound
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    read,
    set_pool,
    split_pool,
    until,
)

ROUND = {"policy": "round_robin"}


@pytest.fixture
def caddy(make_caddy):
    return make_caddy()


def address(apps, name):
    return f"127.0.0.1:{apps[name].port}"


def weights(rig):
    return rig.described()["load_balancing"]["selection_policy"]["fallback"]["weights"]


def patch(rig, described):
    """Write behind the driver's back."""
    answer = rig.api.ask("PATCH", f"/id/{POOL}", json.dumps(described), {"Content-Type": "application/json"})
    assert answer.status == 200, answer.text


def test_by_a_unix_socket(make_caddy):
    rig = make_caddy(more={"by_socket": True})
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.members()["m1"].state == "disabled"


def test_who_is_out_is_kept_by_caddy_with_weight_and_place(caddy, apps):
    before = caddy.described()
    set_pool(caddy.entry(), ["m2"], state="disabled", weight=7)
    set_pool(caddy.entry(), ["m1"], state="disabled")
    assert list(caddy.members()) == ["m1", "m2", "m3", "m4"] and caddy.members()["m2"].weight == 7
    described = caddy.described()
    assert [upstream["dial"] for upstream in described["upstreams"]] == [address(apps, "m3"), address(apps, "m4")]
    (note,) = described["handle_response"]
    # Caddy before 2.11.2 counts requests of those alone that some handler has.
    listed = {"handler": "reverse_proxy", "upstreams": [{"dial": address(apps, name)} for name in ("m1", "m2")]}
    assert note["routes"][0]["handle"][1] == listed
    assert weights(caddy) == [100, 100]
    (entry,) = described["handle_response"]
    assert entry["routes"][0]["handle"][0]["zero_downtime_out"] == [
        {"place": 0, "weight": 100, "upstream": {"dial": address(apps, "m1")}},
        {"place": 1, "weight": 7, "upstream": {"dial": address(apps, "m2")}},
    ]
    set_pool(caddy.entry(), ["m1"], state="enabled")
    set_pool(caddy.entry(), ["m2"], state="enabled", weight=100)
    assert caddy.described() == before


def test_weights_follow_their_upstreams(caddy):
    caddy.balancer().apply(POOL, [Change(f"m{number}", None, number) for number in (1, 2, 3, 4)])
    caddy.balancer().apply(POOL, [Change("m2", "disabled")])
    assert weights(caddy) == [1, 3, 4]
    caddy.balancer().apply(POOL, [Change("m2", "enabled"), Change("m1", "disabled", 9)])
    assert weights(caddy) == [2, 3, 4] and caddy.members()["m1"].weight == 9


def test_what_others_have_set_stays(make_caddy, apps):
    answers = [
        {"match": {"status_code": [404]}, "routes": [{"handle": [{"handler": "static_response", "body": "no"}]}]}
    ]
    rig = make_caddy(more={"handler": {"handle_response": answers, "flush_interval": -1}})
    described = rig.described()
    described["upstreams"][1]["max_requests"] = 77
    patch(rig, described)
    set_pool(rig.entry(), ["m2"], state="disabled")
    assert rig.described()["handle_response"][0] == answers[0] and rig.described()["flush_interval"] == -1
    set_pool(rig.entry(), ["m2"], state="enabled")
    assert rig.described() == described


def test_an_answer_that_passes_through_is_not_touched_by_the_note(caddy):
    set_pool(caddy.entry(), ["m2"], state="disabled")
    assert Bound(caddy.port).get() in ("m1", "m3", "m4")


def test_no_request_that_begins_after_the_write_reaches_the_member(caddy, apps):
    for _each in range(15):
        caddy.driver().apply(POOL, [Change(address(apps, "m1"), "disabled")])
        assert "m1" not in {Bound(caddy.port).get() for each in range(20)}
        caddy.driver().apply(POOL, [Change(address(apps, "m1"), "enabled")])


def test_a_write_that_somebody_else_forestalls_is_tried_again(caddy, monkeypatch):
    driver = caddy.driver()
    reads = []
    read_pool = driver._read

    def forestalled(pool):
        seen = read_pool(pool)
        reads.append(seen)
        if len(reads) <= 2:
            described = caddy.described()
            described["flush_interval"] = -len(reads)
            patch(caddy, described)
        return seen

    monkeypatch.setattr(driver, "_read", forestalled)
    driver.apply(POOL, [Change(driver.members(POOL)[0].name, "disabled")])
    assert caddy.members()["m1"].state == "disabled"
    assert caddy.described()["flush_interval"] == -2  # theirs is there too


def test_somebody_who_is_always_faster_is_told(caddy, monkeypatch):
    driver = caddy.balancer().driver
    driver.timeout = 0.2
    read_pool = driver._read
    turns = iter(range(1, 1000))

    def forestalled(pool):
        seen = read_pool(pool)
        described = caddy.described()
        described["flush_interval"] = next(turns)
        patch(caddy, described)
        return seen

    monkeypatch.setattr(driver, "_read", forestalled)
    with pytest.raises(NotApplied, match="somebody else has changed Caddy's pool app whenever .*nothing was written"):
        driver.apply(POOL, [Change("x", "disabled"), Change(driver.members(POOL)[0].name, "disabled")])
    assert caddy.members()["m1"].state == "enabled"


def test_a_write_whose_answer_is_lost_is_looked_for(caddy, monkeypatch):
    driver = caddy.driver()
    ask, writes = driver.api.ask, []

    def lost(method, *args):
        answer = ask(method, *args)
        if method == "PATCH":
            writes.append(answer.status)
            raise Unreachable("connection reset")
        return answer

    monkeypatch.setattr(driver.api, "ask", lost)
    driver.apply(POOL, [Change(driver.members(POOL)[0].name, "disabled")])
    assert writes == [200] and caddy.members()["m1"].state == "disabled"


def test_two_writers_at_once_lose_nothing(caddy):
    writers = [
        Aside(lambda name=name: caddy.balancer().apply(POOL, [Change(name, "disabled")])) for name in ("m1", "m2", "m3")
    ]
    assert [writer.ended().error for writer in writers] == [None] * 3
    assert {name: m.state for name, m in caddy.members().items()} == {
        "m1": "disabled",
        "m2": "disabled",
        "m3": "disabled",
        "m4": "enabled",
    }


def test_without_weights_there_are_none(make_caddy):
    rig = make_caddy(more={"policy": ROUND})
    assert read(rig.entry())["balancers"][0]["capabilities"]["weight_range"] is None
    with pytest.raises(InvalidInput, match="has no weights, or none as it is configured"):
        set_pool(rig.entry(), ["m1"], weight=5)
    before = rig.described()
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert {m.weight for m in rig.members().values()} == {1}
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert rig.described() == before


@pytest.mark.parametrize("policy", [ROUND, None])
def test_the_last_member_leaves_and_returns(make_caddy, apps, policy):
    rig = make_caddy(members={"m1": apps["m1"].port}, more={"policy": policy})
    before = rig.described()
    set_pool(rig.entry(), ["m1"], state="disabled", min_available=0)
    assert rig.members()["m1"].state == "disabled" and rig.described()["upstreams"] == []
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert rig.described() == before


def test_nothing_but_weights_of_zero_is_refused_by_caddy_and_nothing_has_changed(caddy):
    before = caddy.described()
    with pytest.raises(Refused, match=r"at least one upstream with a positive weight.*as they were before"):
        set_pool(caddy.entry(), ["m1", "m2", "m3", "m4"], weight=0, min_available=0)
    assert caddy.described() == before


def test_with_resume_a_restart_changes_nothing(make_caddy):
    rig = make_caddy(more={"resume": True})
    set_pool(rig.entry(), ["m1"], state="disabled")
    until("it is saved", lambda: '"zero_downtime_out"' in saved(rig))
    before = rig.written()
    rig.restart()
    assert rig.written() == before and before["m1"] == ("disabled", 100)


def saved(rig):
    file = rig.directory / "home" / "caddy" / "autosave.json"
    return file.read_text(encoding="utf-8") if file.exists() else ""


def test_members_come_and_go(make_caddy, apps):
    rig = make_caddy(members={name: apps[name].port for name in ("m1", "m2")})
    before = rig.described()
    entry = {**rig.entry(), "names": {**rig.entry()["names"], "m3": address(apps, "m3")}}
    options = {"addresses": {"m3": address(apps, "m3")}, "state": "enabled", "weight": 40}
    assert set_pool(entry, ["m3"], check=True, **options)["changed"] and rig.described() == before
    set_pool(entry, ["m3"], **options)
    assert weights(rig) == [100, 100, 40]
    until("it serves", lambda: Bound(rig.port).get() == "m3")
    assert not set_pool(entry, ["m3"], **options)["changed"]
    set_pool(entry, ["m3"], state="absent")
    assert rig.described() == before
    with pytest.raises(
        InvalidInput, match="knows its upstreams by address.*Give it another one for the tasks with `names`"
    ):
        set_pool(rig.entry(), ["m9"], addresses={"m9": address(apps, "m3")}, state="enabled")


def test_a_member_that_has_left_is_counted_until_its_last_request_ends(caddy, apps):
    held = [Aside(lambda: Bound(caddy.port).get("/hold")) for each in range(3)]
    until("they are under way", lambda: sum(app.holding for app in apps.values()) == 3)
    busy = next(name for name, app in apps.items() if app.holding)
    caddy.balancer().apply(POOL, [Change(busy, "disabled")])
    caddy.balancer().apply(POOL, [Change(name, None, 50) for name in apps])  # and a write after that
    assert caddy.members()[busy].in_flight == apps[busy].holding
    for app in apps.values():
        app.gate.set()
    caddy.wait_until("nothing is in flight", lambda pool: pool[busy].in_flight == 0)
    assert [each.ended().error for each in held] == [None] * 3


def test_two_hundred_members_leave_and_return(make_caddy, apps):
    ports = {"m000": apps["m1"].port, **{f"m{number:03}": 20000 + number for number in range(1, 200)}}
    rig = make_caddy(members=ports, checked=False)
    before = rig.described()
    set_pool(rig.entry(), list(ports), state="disabled", weight=7, min_available=0)
    assert {(m.state, m.weight) for m in rig.members().values()} == {("disabled", 7)}
    set_pool(rig.entry(), list(ports), state="enabled", weight=100)
    assert rig.described() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dynamic_upstreams": {"source": "a", "name": "localhost", "port": "80"}}, "dynamic upstreams"),
        ({"upstreams": [{"dial": "127.0.0.1:9"}, {"dial": "127.0.0.1:9"}]}, "same address `dial`"),
    ],
)
def test_a_handler_that_members_cannot_be_taken_out_of(make_caddy, change, said):
    rig = make_caddy(more={"policy": ROUND})
    patch(rig, {**rig.described(), **change})
    with pytest.raises(InvalidInput, match=f"{said}.*Nothing was touched"):
        rig.members()


@pytest.mark.parametrize(
    "pool", ["app/upstreams", "app/", "../config", "..", ".", "id", "%2e%2e", "app?x", "app#x", "app\0"]
)
def test_what_is_no_pool_leads_nowhere_else(caddy, pool):
    with pytest.raises(InvalidInput, match=r"has no pool .*are: app\. Nothing was touched"):
        read(caddy.entry(), pool=pool)


def test_an_id_of_something_else_is_no_pool(caddy):
    caddy.api.ask(
        "PUT",
        "/config/apps/http/servers/web/routes/0",
        '{"@id": "route", "handle": []}',
        {"Content-Type": "application/json"},
    )
    with pytest.raises(InvalidInput, match=r"has no pool 'route'.*are: app\."):
        read(caddy.entry(), pool="route")


class Garbage:
    """Something that answers every request with the same.

    :param trailer: the header of that name.
    """

    def __init__(self, status, body, etag=None, trailer=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if etag:
                    self.send_header("ETag", etag)
                if trailer:
                    self.send_header("Trailer", trailer)
                self.end_headers()
                self.wfile.write(body)

            do_PATCH = do_GET

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


POOL_OF_ONE = b'{"@id": "app", "handler": "reverse_proxy", "upstreams": [{"dial": "127.0.0.1:1"}]}'


@pytest.mark.parametrize(
    ("status", "body", "etag", "error"),
    [
        (401, b"", None, Refused),
        (403, b'{"error": "host not allowed"}', None, Refused),
        (404, b"404 page not found", None, Unreachable),
        (500, b"", None, Unreachable),
        (200, b"<html>hello</html>", None, Unreachable),
        (200, b"{}", None, InvalidInput),
        (200, b"[" * 100000, None, Unreachable),
        (200, b"\xff\xfe", None, Unreachable),
        (200, b'{"@id": "app", "handler": "reverse_proxy", "upstreams": 5}', '"x"', InvalidInput),
        (200, b'{"@id": "app", "handler": "reverse_proxy", "upstreams": [5]}', '"x"', InvalidInput),
        (200, b'{"@id": "app", "handler": "reverse_proxy", "load_balancing": 7}', '"x"', InvalidInput),
        (200, POOL_OF_ONE, None, InvalidInput),
        (200, POOL_OF_ONE, '"x"', Unreachable),
    ],
)
def test_something_else_answers(caddy, status, body, etag, error):
    stranger = Garbage(status, body, etag)
    with pytest.raises(error, match="Caddy"):
        read(caddy.entry(url=stranger.url, timeout=1))
    stranger.server.shutdown()
    stranger.server.server_close()


def test_it_is_given_up_after_a_few_tries(caddy, monkeypatch):
    asked = []

    def broken(self, *args):
        asked.append(args)
        raise Unreachable("Caddy is not there")

    monkeypatch.setattr(driver_module.HttpApi, "ask", broken)
    with pytest.raises(Unreachable):
        caddy.driver().members(POOL)
    assert len(asked) == driver_module.TRIES


def reload(rig, configuration=None):
    """Load the configuration that it started with, or another one, as `caddy reload` does."""
    body = json.dumps(configuration or rig._configuration())
    answer = rig.api.ask(
        "POST", "/load", body, {"Content-Type": "application/json", "Cache-Control": "must-revalidate"}
    )
    assert answer.status == 200, answer.text


def test_the_version_is_that_of_the_program(caddy):
    said = subprocess.run([caddy.binary, "version"], capture_output=True, text=True, check=True).stdout
    assert said.split()[0].lstrip("v") == caddy.balancer().version()


@pytest.mark.parametrize(
    ("trailer", "is_older"), [("ETag", "this is 2.7 or older"), (None, "sends no ETag, so it is older")]
)
def test_a_version_that_is_too_old_is_named(caddy, trailer, is_older):
    old = Garbage(200, POOL_OF_ONE, trailer=trailer)
    with pytest.raises(InvalidInput, match=f"Caddy 2.8 or later is required; .*{is_older}.*Nothing was touched"):
        read(caddy.entry(url=old.url))
    old.server.shutdown()
    old.server.server_close()


def test_an_api_that_wants_an_origin_gets_its_own(make_caddy):
    rig = make_caddy(more={"admin": {"enforce_origin": True}})
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.members()["m1"].state == "disabled"


def test_a_socket_that_wants_an_origin_gets_it_by_headers(make_caddy):
    admin = {"enforce_origin": True, "origins": ["lb.example.org"]}
    rig = make_caddy(more={"admin": admin, "by_socket": True})
    entry = rig.entry(headers={"Host": "lb.example.org"})
    set_pool(entry, ["m1"], state="disabled")
    assert read(entry)["balancers"][0]["members"][0]["state"] == "disabled"


def test_an_api_that_wants_a_name_gets_it_by_headers(make_caddy):
    rig = make_caddy(more={"admin": {"enforce_origin": True, "origins": ["lb.example.org"]}})
    with pytest.raises(
        Refused, match=r"host not allowed: 127.*its `origins`: use one of them in `url`, or .*headers: {Host"
    ):
        read(rig.entry())
    entry = rig.entry(headers={"Host": "lb.example.org"})
    set_pool(entry, ["m1"], state="disabled")
    assert read(entry)["balancers"][0]["members"][0]["state"] == "disabled"
    with pytest.raises(
        Refused, match=r"`enforce_origin` is on, and http://else is none of its `origins`.*headers: {Origin"
    ):
        read(rig.entry(headers={"Host": "lb.example.org", "Origin": "http://else"}))


def test_an_upstream_that_is_not_listed_has_no_count(caddy, apps):
    set_pool(caddy.entry(), ["m1"], state="disabled")
    assert caddy.members()["m1"].in_flight == 0
    described = caddy.described()
    del described["handle_response"][0]["routes"][0]["handle"][1]  # which keeps it in Caddy's list
    patch(caddy, described)
    assert caddy.members()["m1"].in_flight is None
    caddy.balancer().apply(POOL, [Change("m2", "disabled")])  # any write brings it back
    assert (caddy.members()["m1"].in_flight, caddy.members()["m2"].in_flight) == (0, 0)


def test_a_reload_while_members_must_stay_out_is_noticed(caddy):
    set_pool(caddy.entry(), ["m1"], state="disabled", hold=60)
    reload(caddy)
    caddy.wait_until("m1 is out again", lambda pool: pool["m1"].state == "disabled")
    back = set_pool(caddy.entry(), ["m1"], state="enabled")["balancers"][0]
    assert back["reasserted"] == 1


def test_our_own_writes_are_no_reload_by_others(caddy):
    set_pool(caddy.entry(), ["m1"], state="disabled", hold=60)
    set_pool(caddy.entry(), ["m2"], state="disabled", hold=60)
    seen = caddy.driver().running()
    back = set_pool(caddy.entry(), ["m1", "m2"], state="enabled")["balancers"][0]
    assert back["reasserted"] == 0 and caddy.driver().running() != seen


def test_what_runs_changes_with_each_load_of_a_configuration(caddy):
    driver = caddy.driver()
    seen = [driver.running()]
    assert driver.running() == seen[0]
    patch(caddy, {**caddy.described(), "flush_interval": -1})
    seen.append(driver.running())
    reload(caddy)
    seen.append(driver.running())
    caddy.restart()
    seen.append(driver.running())
    assert len({identity for identity, _seconds in seen}) == 4


def test_an_id_that_another_configuration_does_not_have(caddy):
    driver = caddy.driver()
    driver.members(POOL)
    configuration = json.loads(json.dumps(caddy._configuration()).replace(f'"@id": "{POOL}", ', ""))
    reload(caddy, configuration)
    with pytest.raises(
        NotApplied, match="`@id` 'app' is gone.*another configuration has been loaded.*Load a configuration"
    ):
        driver.members(POOL)
    with pytest.raises(
        InvalidInput,
        match=r"are: none. Without an `@id` there are 2: .*apps/http/servers/web/routes/0/handle/0 \(127.*"
        r"Caddyfile has no `@id`.*Nothing was touched",
    ):
        read(caddy.entry())


def test_handlers_over_the_same_servers_are_found_wherever_they_are(make_caddy, apps):
    rig = make_caddy(other={"m1": apps["m1"].port, "m2": apps["m2"].port})
    # A member that is out of the other pool is a member of it still.
    set_pool(rig.entry(), ["m2"], state="disabled", pool=OTHER_POOL)
    unnamed = {
        "handle": [
            {
                "handler": "subroute",
                "routes": [
                    {
                        "handle": [
                            {"handler": "reverse_proxy", "upstreams": [{"dial": f"tcp/localhost:{apps['m3'].port}"}]},
                        ]
                    }
                ],
            }
        ]
    }
    path = "/config/apps/http/servers/guard/routes/0"
    rig.api.ask("PUT", path, json.dumps(unnamed), {"Content-Type": "application/json"})
    set_pool(rig.entry(), ["m4"], state="disabled")  # our own note is no pool
    found = {other.name: (set(other.members), other.reason) for other in rig.balancer().other_pools(POOL)}
    assert found == {
        OTHER_POOL: ({"m1", "m2"}, "same address"),
        "apps/http/servers/guard/routes/0/handle/0/routes/0/handle/0": (
            {"m3"},
            "same address; give this handler an `@id` to make a pool of it",
        ),
    }


def test_with_the_policy_first_places_decide_and_no_shares_can_be_given(make_caddy):
    rig = make_caddy(more={"policy": {"policy": "first"}})
    assert [member.locality for member in rig.members().values()] == ["place 1", "place 2", "place 3", "place 4"]
    assert {Bound(rig.port).get() for each in range(8)} == {"m1"}
    with pytest.raises(InvalidInput, match=r"localities place 1, place 2.*weights of members give no shares.*Nothing was touched"):
        split_pool(rig.entry(), groups={"canary": {"members": ["m1"], "share": 25}, "rest": {"share": 75}})
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert {Bound(rig.port).get() for each in range(8)} == {"m2"}


def test_a_member_that_another_writer_has_put_back_is_in_traffic(caddy, apps):
    set_pool(caddy.entry(), ["m1"], state="disabled")
    described = caddy.described()
    described["upstreams"].append({"dial": address(apps, "m1")})
    patch(caddy, described)
    assert caddy.members()["m1"].state == "enabled"
    set_pool(caddy.entry(), ["m1"], state="disabled")
    assert caddy.members()["m1"].state == "disabled" and len(caddy.members()) == 4


def test_the_time_of_its_active_health_check(make_caddy):
    rig = make_caddy(interval=0.25, rise=3)
    timing = rig.balancer().timing(POOL)
    assert timing.check == pytest.approx(3 * 0.25 + 2) and timing.leave is None
    assert timing.source == "active health check: interval 250ms, passes 3, timeout 2s"
    assert make_caddy(checked=False).balancer().timing(POOL).check is None
