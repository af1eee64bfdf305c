# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's configuration: what the runtime API does not tell, and other backends over the same servers."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused, TimedOut
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, set_pool, until

CHECK = "check inter 100ms fall 2 rise 2"
SHUTS = {"defaults": "default-server on-marked-down shutdown-sessions"}


def driver(rig, **options):
    return open_balancer({"timeout": 5.0, **rig.entry(**options)})


def unread(rig):
    """Options by which nothing is known of the configuration."""
    return {"config": [str(rig.directory / "nothing.cfg")]}


@pytest.mark.parametrize(
    ("more", "options", "first"),
    [
        ({}, {}, False),
        (SHUTS, {}, True),
        ({"extra": "    server more 127.0.0.1:1 on-marked-down shutdown-sessions\n"}, {}, True),
        (SHUTS, {"on_marked_down": "none"}, False),
        ({}, {"on_marked_down": "shutdown_sessions"}, True),
    ],
)
def test_whether_members_are_drained_first(make_haproxy, more, options, first):
    assert driver(make_haproxy(more=more, wait=False), **options).drains_first(POOL) is first


def test_of_a_server_that_is_not_in_the_configuration_it_is_not_known(proxy):
    assert driver(proxy, **unread(proxy)).drains_first(POOL) is None
    proxy.driver().add(POOL, "m5", "127.0.0.1:1")
    assert proxy.driver().drains_first(POOL) is None


def test_a_file_that_was_changed_and_not_loaded_is_not_believed(make_haproxy):
    rig = make_haproxy(more=SHUTS)
    file = rig.directory / "haproxy.cfg"
    until("it has run for a while", lambda: rig.driver().running()[1] >= 2)
    file.write_text(file.read_text().replace(SHUTS["defaults"], ""))
    assert rig.driver().drains_first(POOL) is None and rig.driver().timing(POOL).check is None
    assert driver(rig, config=[str(file)]).drains_first(POOL) is False  # named: the user vouches for it


@pytest.mark.parametrize("known", [True, False])
def test_a_fresh_check_cuts_no_request_of_a_bound_client(make_haproxy, apps, known):
    rig = make_haproxy(more=SHUTS)
    entry = rig.entry(**({} if known else unread(rig)))
    client = bound_to(rig.port, "m1")
    set_pool(entry, ["m1"], state="drained")
    held = Aside(lambda: client.get("/hold"))
    rig.wait_until("the request is under way", lambda pool: pool["m1"].in_flight == 1)
    set_pool(entry, ["m1"], state="enabled")
    apps["m1"].gate.set()
    assert held.ended().result == "m1"


def test_a_fresh_check_cuts_no_request_of_a_server_that_tracks_it(make_haproxy, apps):
    rig = make_haproxy(
        other={"m1": apps["m1"].port},
        more={"other_options": f"track {POOL}/{{name}} on-marked-down shutdown-sessions"},
    )
    assert rig.driver().drains_first(POOL)
    client = bound_to(rig.other_port, "m1")
    set_pool(rig.entry(), ["m1"], state="drained")
    held = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    set_pool(rig.entry(), ["m1"], state="enabled")
    apps["m1"].gate.set()
    assert held.ended().result == "m1"


def test_who_is_idle_gets_a_fresh_check_all_the_same(make_haproxy):
    rig = make_haproxy(more=SHUTS, rise=1000, wait=False)
    members = {m.name: m for m in rig.driver().apply(POOL, [Change("m1", "drained")], distrust=True)}
    assert members["m1"].health == "down"


def test_how_long_a_check_takes_is_told_from_the_configuration(proxy):
    timing = proxy.driver().timing(POOL)
    assert timing.check == pytest.approx(2.2)  # two intervals, and `timeout check`
    assert timing.source == f"inter 0.1s, rise 2 in {proxy.directory / 'haproxy.cfg'}"
    assert driver(proxy, **unread(proxy)).timing(POOL).check is None
    (proxy.directory / "haproxy.d").mkdir()
    (proxy.directory / "haproxy.cfg").rename(proxy.directory / "haproxy.d" / "10.cfg")
    assert driver(proxy, config=[str(proxy.directory / "haproxy.d")]).timing(POOL).check == pytest.approx(2.2)


def tiers(balancer):
    return [member.tier for member in balancer.members(POOL)]


def test_backups_serve_one_after_the_other_or_all_at_once(make_haproxy):
    rig = make_haproxy(standby=("m2", "m3"))
    assert tiers(rig.driver()) == [0, 1, 2, 0]
    rig = make_haproxy(standby=("m2", "m3"), more={"defaults": "option allbackups"})
    assert tiers(rig.driver()) == [0, 1, 1, 0]
    assert tiers(driver(rig, **unread(rig))) == [0, 1, 2, 0]  # where it is not known, no more is promised


def test_the_first_backup_carries_all_of_the_traffic(make_haproxy, apps):
    rig = make_haproxy(standby=("m2", "m3"))
    for name in ("m1", "m4"):
        rig.ask(f"set server {POOL}/{name} state maint")
    client = bound_to(rig.port, "m2")
    assert client.get() == "m2" and apps["m3"].served == 0


def others(balancer, pool=POOL):
    return {other.name: (set(other.members), other.reason) for other in balancer.other_pools(pool)}


def test_other_backends_by_address_in_any_mode_and_by_tracking(make_haproxy, apps):
    ports = {name: app.port for name, app in apps.items()}
    rig = make_haproxy(
        more={
            "server_options": {"m4": "track base/b1"},
            "extra": f"""
backend base
    server b1 127.0.0.1:1 {CHECK}
backend raw
    mode tcp
    server other-name localhost:{ports["m1"]}
backend follows
    server f1 127.0.0.1:2 track {POOL}/m2
backend off
    disabled
    server o1 127.0.0.1:{ports["m1"]}
backend elsewhere
    server e1 127.0.0.1:3
""",
        },
        wait=False,
    )
    assert others(rig.driver()) == {
        "base": ({"m4"}, "m4 tracks base/b1"),
        "raw": ({"m1"}, "same address"),
        "follows": ({"m2"}, f"tracks {POOL}/m2"),
    }


def test_servers_without_an_address_are_not_the_same(make_haproxy):
    slots = "server-template s 2 nowhere.example:80 resolvers none init-addr none"
    rig = make_haproxy(
        more={
            "extra": f"""
resolvers none
    nameserver none 127.0.0.1:9
backend sockets
    server u1 unix@/run/one.sock
    server u2 /run/two.sock
    {slots}
    server any 0.0.0.0:0
backend more
    server u9 /run/two.sock
    {slots}
    server any 0.0.0.0:0
"""
        }
    )
    assert [member.address for member in rig.driver().members("sockets")][:3] == [
        "unix:/run/one.sock",
        "unix:/run/two.sock",
        "-",
    ]
    assert others(rig.driver(), "sockets") == {"more": ({"u2"}, "same address")}
    blind = driver(rig, **unread(rig))
    assert blind.members("sockets")[0].address == "unix:" and others(blind, "sockets") == {}


def test_a_backend_that_is_disabled_is_said_to_be(make_haproxy):
    rig = make_haproxy(more={"extra": "backend off\n    disabled\n    server o1 127.0.0.1:1\n"})
    with pytest.raises(Refused, match=r"pool 'off'.*the word `disabled` in its section"):
        rig.driver().members("off")


def test_requests_through_a_server_that_tracks_a_member_are_in_flight_too(make_haproxy, apps):
    rig = make_haproxy(other={"m1": apps["m1"].port}, more={"other_options": f"track {POOL}/{{name}}"})
    client = bound_to(rig.other_port, "m1")
    held = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    with pytest.raises(TimedOut, match=r"still requests in flight \(m1: 1\).*as they were before"):
        set_pool(rig.entry(), ["m1"], state="disabled", drain_timeout=1)
    apps["m1"].gate.set()
    assert held.ended().result == "m1"
    set_pool(rig.entry(), ["m1"], state="disabled", drain_timeout=20)
