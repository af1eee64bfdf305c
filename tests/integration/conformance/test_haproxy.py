# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only HAProxy has."""

from __future__ import annotations


import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    TimedOut,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Asking, Bound, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.impostor import impostor
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    POOL,
    Server,
    persist,
    read,
    set_pool,
    until,
)

CHECK = "check inter 100ms fall 2 rise 2"


def test_over_tcp(proxy):
    assert set_pool(proxy.tcp_entry(), ["m1"], state="disabled")["balancers"][0]["name"] == proxy.api_address
    assert proxy.members()["m1"].state == "disabled"
    set_pool(proxy.tcp_entry(), ["m1"], state="enabled")
    assert proxy.members()["m1"].available


def test_a_frontend_of_the_same_name_does_not_hide_the_pool(proxy):
    assert list(proxy.members()) == ["m1", "m2", "m3", "m4"]


def test_a_pool_whose_name_is_a_number(make_haproxy, apps):
    rig = make_haproxy(
        more={"extra": f"backend 2\n    server n1 127.0.0.1:{apps['m1'].port}\nbackend 3\n    server n2 127.0.0.1:1\n"}
    )
    assert [m["name"] for m in read(rig.entry(), pool="2")["balancers"][0]["members"]] == ["n1"]
    assert [m["name"] for m in read(rig.entry(), pool="3")["balancers"][0]["members"]] == ["n2"]


def test_a_pool_without_members(make_haproxy):
    rig = make_haproxy(more={"extra": "backend empty\n"})
    assert read(rig.entry(), pool="empty")["balancers"][0]["members"] == []


def got(rig, pool=POOL):
    """What users got: requests, errors, and who left."""
    (balancer,) = read(rig.entry(), pool=pool, counters=True)["balancers"]
    return balancer["served"] and tuple(balancer["served"][kind] for kind in ("requests", "errors", "left"))


def test_whom_haproxy_itself_turned_away_has_failed_too(make_haproxy, apps):
    only = {"members": {"m1": apps["m1"].port}, "checked": False, "wait": False}
    rig = make_haproxy(**only, more={"server_options": {"m1": "maxconn 1"}, "extra": "    timeout queue 200ms\n"})
    held = Aside(lambda: Asking(rig.port, keep=False).ask(1, "/hold"))
    until("one is under way", lambda: apps["m1"].holding == 1)
    assert Asking(rig.port, keep=False).ask(3) == 3  # they wait in the queue, and no member ever sees them
    apps["m1"].gate.set()
    assert held.ended().result == 0
    until("they are counted", lambda: got(rig), lambda seen: seen == (4, 3, 0))
    rig.ask("set server app/m1 state maint")
    assert Asking(rig.port, keep=True).ask(3) == 3  # there is no member left
    until("they are counted", lambda: got(rig), lambda seen: seen == (7, 6, 0))
    (balancer,) = read(rig.entry(), counters=True)["balancers"]
    assert balancer["members"][0]["counters"]["errors"] == 0


def test_clients_that_leave_are_told_apart(make_haproxy, apps):
    rig = make_haproxy(checked=False, wait=False, more={"defaults": "option abortonclose"})
    assert Asking(rig.port, keep=False, timeout=0.2).ask(2, "/hold") == 2
    until("they are counted", lambda: got(rig), lambda seen: seen == (2, 0, 2))


def test_connections_are_no_requests(make_haproxy, apps):
    rig = make_haproxy(more={"extra": f"backend raw\n    mode tcp\n    server m1 127.0.0.1:{apps['m1'].port}\n"})
    (balancer,) = read(rig.entry(), pool="raw", counters=True)["balancers"]
    assert balancer["served"] is None and balancer["members"][0]["counters"] is None


def test_what_a_retry_saved_is_counted_where_it_failed(make_haproxy, apps):
    rig = make_haproxy(checked=False, wait=False)
    cookie = bound_to(rig.port, "m1").cookie

    def failed(name):
        (member,) = (m for m in read(rig.entry(), counters=True)["balancers"][0]["members"] if m["name"] == name)
        return member["counters"]["errors"]

    apps["m1"].kill()
    for _each in range(5):
        client = Bound(rig.port)
        client.cookie = cookie
        assert client.get() != "m1"
    assert failed("m1") >= 5 and [failed(name) for name in ("m2", "m3", "m4")] == [0, 0, 0]


def test_members_of_many_kinds(make_haproxy, apps):
    port = apps["m1"].port
    rig = make_haproxy(
        members=dict.fromkeys(["m1", "off", "unchecked", "follows", "hushed"], port),
        wait=False,
        more={
            "server_options": {
                "m1": CHECK,
                "off": f"{CHECK} disabled",
                "unchecked": "",
                "follows": f"track {POOL}/m1",
                "hushed": CHECK,
            }
        },
    )
    rig.ask(f"disable health {POOL}/hushed")
    seen = rig.members()
    assert {name: (m.state, m.health, m.checked) for name, m in seen.items()} == {
        "m1": ("enabled", "up", True),
        "off": ("disabled", "unknown", True),
        "unchecked": ("enabled", "unknown", False),
        "follows": ("enabled", "up", True),
        "hushed": ("enabled", "unknown", False),
    }
    # It was `disabled` by its configuration: admin bit 4 stays when it is brought in.
    set_pool(rig.entry(), ["off"], state="enabled")
    assert rig.members()["off"].available
    # Without checks of its own nothing would ever bring it up again.
    rig.ask(f"set server {POOL}/hushed state maint")
    assert not rig.members()["hushed"].checked
    with pytest.raises(InvalidInput, match="no health check for hushed"):
        set_pool(rig.entry(), ["hushed"], state="enabled")


def test_a_member_that_follows_another_leaves_and_returns_with_it_and_by_itself(make_haproxy, apps):
    rig = make_haproxy(
        members={"m1": apps["m1"].port, "follows": apps["m1"].port, "m2": apps["m2"].port},
        more={"server_options": {"follows": f"track {POOL}/m1"}},
        wait=False,
    )
    rig.wait_until("checked", lambda pool: rig.check_passed(pool["m1"]) and rig.check_passed(pool["m2"]))
    set_pool(rig.entry(), ["follows"], state="disabled")
    set_pool(rig.entry(), ["follows"], state="enabled", health_timeout=10)
    assert rig.members()["follows"].available
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.members()["follows"].state == "disabled"
    with pytest.raises(TimedOut, match=r"follows is disabled \(in maintenance with app/m1, which it tracks"):
        set_pool(rig.entry(), ["follows"], state="enabled", health_timeout=0.5)


def test_an_application_that_drains_itself_is_not_available(make_haproxy, apps):
    rig = make_haproxy(more={"extra": ""}, rise=2)
    rig.stop()
    configuration = rig._configuration
    rig._configuration = lambda: configuration().replace(
        "option httpchk GET /health", "option httpchk GET /health\n    http-check disable-on-404"
    )
    rig.start()
    rig.all_up()
    apps["m1"].health = 404
    pool = rig.wait_until("m1 is not balanced to", lambda pool: pool["m1"].health != "up")
    assert (pool["m1"].state, pool["m1"].health, pool["m1"].available) == ("enabled", "down", False)


def test_a_slow_start_counts_as_starting(make_haproxy, apps):
    rig = make_haproxy(more={"server_options": {"m1": f"{CHECK} slowstart 60s"}})
    set_pool(rig.entry(), ["m1"], state="disabled")
    set_pool(rig.entry(), ["m1"], state="enabled", health="none")
    member = rig.members()["m1"]
    assert (member.health, member.available) == ("starting", True)


def test_a_static_algorithm_has_no_weights_and_nothing_is_begun(make_haproxy):
    rig = make_haproxy(static=True)
    with pytest.raises(InvalidInput, match=r"no weights, or none as it is configured.*Nothing was touched"):
        set_pool(rig.entry(), ["m1"], weight=50)
    set_pool(rig.entry(), ["m1"], state="disabled")
    with pytest.raises(InvalidInput, match=r"`warmup` cannot be done.*Nothing was touched"):
        set_pool(rig.entry(), ["m1"], state="enabled", warmup=[10])
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("disabled", 100)
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert rig.members()["m1"].available


def test_a_static_algorithm_of_which_nothing_is_known_says_so_at_the_write(make_haproxy):
    rig = make_haproxy(static=True)
    with pytest.raises(Refused, match=r"static LB algorithm.*as they were before \(m1\)"):
        set_pool(rig.entry(config=[str(rig.directory / "nothing.cfg")]), ["m1"], weight=50)


def test_a_hash_that_is_consistent_has_weights(make_haproxy):
    rig = make_haproxy(static=True, more={"defaults": "hash-type consistent"})
    set_pool(rig.entry(), ["m1"], weight=50)
    assert rig.members()["m1"].weight == 50


STATE_FILE = "server-state-file {path}", "load-server-state-from-file global"


def keeping(make_haproxy):
    """A balancer with a server state file, and its entry."""
    rig = make_haproxy()
    path = rig.directory / "server-state"
    configuration = rig._configuration
    in_global, in_defaults = STATE_FILE
    rig._configuration = lambda: (
        configuration()
        .replace("global\n", f"global\n    {in_global.format(path=path)}\n")
        .replace("defaults\n", f"defaults\n    {in_defaults}\n")
    )
    rig.restart()
    rig.all_up()
    return rig, rig.entry(state_file=str(path)), path


def test_with_a_state_file_a_restart_changes_nothing(make_haproxy):
    rig, entry, path = keeping(make_haproxy)
    set_pool(entry, ["m1"], state="disabled")
    set_pool(entry, ["m2"], state="drained", weight=30)
    before = rig.written()
    assert before["m1"] == ("disabled", 100) and before["m2"] == ("drained", 30)
    rig.restart()
    assert rig.written() == before
    set_pool(entry, ["m1", "m2"], state="enabled", weight=100)
    rig.restart()
    assert set(rig.written().values()) == {("enabled", 100)}
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_was_set_by_hand_is_kept_on_request(make_haproxy):
    rig, entry, path = keeping(make_haproxy)
    rig.ask(f"set server {POOL}/m3 state maint")
    assert persist(entry, check=True)["changed"] and not path.exists()
    assert persist(entry)["changed"] and not persist(entry)["changed"]
    rig.restart()
    assert rig.members()["m3"].state == "disabled"


def test_without_one_nothing_can_be_kept(proxy):
    with pytest.raises(Refused, match="cannot keep states and weights beyond a restart as it is configured here"):
        persist(proxy.entry())


def test_members_come_and_go(make_haproxy, apps):
    rig = make_haproxy(members={name: apps[name].port for name in ("m1", "m2")})
    options = {"addresses": {"m3": f"127.0.0.1:{apps['m3'].port}"}, "state": "enabled", "weight": 40}
    entry = rig.entry(server_options="check inter 100ms rise 2 fall 2")
    promised = set_pool(entry, ["m3"], check=True, **options)
    done = set_pool(entry, ["m3"], **options)
    assert promised["diff"] == done["diff"] and done["changed"]
    assert rig.members()["m3"].available and rig.members()["m3"].weight == 40
    until("it serves", lambda: Bound(rig.port).get() == "m3")
    assert not set_pool(entry, ["m3"], **options)["changed"]
    set_pool(entry, ["m3"], state="absent")
    assert list(rig.members()) == ["m1", "m2"]
    assert not set_pool(entry, ["m3"], state="absent")["changed"]


def test_a_new_member_that_is_not_well_is_gone_again(make_haproxy, apps):
    rig = make_haproxy(members={name: apps[name].port for name in ("m1", "m2")})
    apps["m3"].broken = True
    with pytest.raises(TimedOut, match=r"m3 is down.*as they were before \(m3\)"):
        set_pool(
            rig.entry(server_options="check inter 100ms"),
            ["m3"],
            state="enabled",
            addresses={"m3": f"127.0.0.1:{apps['m3'].port}"},
            health_timeout=1,
        )
    assert list(rig.members()) == ["m1", "m2"] and apps["m3"].served == 0


def test_two_hundred_members_are_few_connections(make_haproxy, apps, monkeypatch):
    names = [f"application-server-with-a-rather-long-name-{number:03}" for number in range(200)]
    rig = make_haproxy(members=dict.fromkeys(names, apps["m1"].port), checked=False, wait=False)
    lines = []
    exchange = haproxy.RuntimeApi._exchange
    monkeypatch.setattr(
        haproxy.RuntimeApi, "_exchange", lambda self, line: (lines.append(line), exchange(self, line))[1]
    )
    result = set_pool(rig.entry(), names, state="disabled", weight=10, min_available=0)
    assert len(result["balancers"][0]["members"]) == 200
    writes = [line for line in lines if "set server" in line]
    assert len(writes) <= 10 and len(lines) <= 20 and max(map(len, lines)) < 16384
    set_pool(rig.entry(), names, state="enabled", weight=100, health="none")
    assert {(m.state, m.weight) for m in rig.members().values()} == {("enabled", 100)}


def test_a_member_that_its_configuration_lost_while_we_wait_is_told(proxy, apps):
    client = bound_to(proxy.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    proxy.wait_until("the request is under way", lambda pool: pool["m1"].in_flight == 1)
    leaving = Aside(lambda: set_pool(proxy.entry(), ["m1"], state="disabled"))
    proxy.wait_until("m1 is written", lambda pool: pool["m1"].state == "disabled")
    proxy.freeze()  # so that no poll falls between the old configuration and the new
    old, proxy.server = proxy.server, Server(proxy.directory / "second.log")
    proxy.settings.members.pop("m1")
    (proxy.directory / "admin.sock").unlink()
    proxy.start()
    old.stop()
    apps["m1"].gate.set()
    slow.ended()
    error = leaving.ended().error
    assert isinstance(error, (NotApplied, Unreachable)), error


def test_a_member_gone_from_the_pool_is_told(proxy, monkeypatch):
    members = haproxy.HAProxy.members
    applied = []
    apply = haproxy.HAProxy.apply
    monkeypatch.setattr(haproxy.HAProxy, "apply", lambda *arguments: (apply(*arguments), applied.append(1))[0])
    monkeypatch.setattr(haproxy.HAProxy, "members", lambda self, pool: members(self, pool)[1 if applied else 0 :])
    with pytest.raises(NotApplied, match=r"no longer has m1"):
        set_pool(proxy.entry(), ["m1"], state="disabled")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\n",
        b"hello\n\n",
        b"HTTP/1.0 400 Bad request\r\n\r\nno\n\n",
        b"1\n\n",
        b"1\nfoo\nbar\n\n",
        b"\xff\x00\xfe\n\n",
        b"1\n# be_id be_name srv_id",
    ],
)
def test_what_is_not_haproxy_is_said_not_to_be(reply):
    with impostor(lambda asked: reply) as address, pytest.raises(Unreachable):
        read({"provider": "haproxy", "address": address})


def test_one_that_drips_is_given_up_too():
    with impostor(lambda asked: b"x" * 100, drip=0.02) as address, pytest.raises(Unreachable, match=r"did not answer within 0\.2 s"):
        read({"provider": "haproxy", "address": address, "timeout": 0.2})


def test_an_answer_cut_short_is_no_answer(proxy, monkeypatch):
    exchange = haproxy.RuntimeApi._exchange
    monkeypatch.setattr(haproxy.RuntimeApi, "_exchange", lambda self, line: exchange(self, line)[:-40])
    with pytest.raises(Unreachable, match="closed the connection after"):
        proxy.members()


def test_a_write_that_has_no_effect_is_found_by_reading_back(proxy, monkeypatch):
    monkeypatch.setattr(haproxy.HAProxy, "_write", lambda self, commands: None)
    with pytest.raises(NotApplied, match=r"m1 was to be disabled, weight 5 and, read back, is enabled, weight 100"):
        proxy.driver().apply(POOL, [Change("m1", "disabled", 5)])


def test_a_refused_command_is_named(proxy):
    with pytest.raises(Refused, match=r"'No such server\.' to `set server app/m9 state maint`"):
        proxy.driver().apply(POOL, [Change("m9", "disabled")])


def test_its_version(proxy):
    assert until("a version", proxy.driver().version)[:3] in proxy.ask("show info")[0]
