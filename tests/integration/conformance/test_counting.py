# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer that counts: what it counts of a member, and of what users got, is what its clients saw."""

from __future__ import annotations

import http.client

import pytest

from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Asking, Bound, Load, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import read, until

COUNTS = pytest.mark.needs("counters", "traffic")

SERVED = pytest.mark.needs("served", "traffic")


def counted(rig, name="m1"):
    (balancer,) = read(rig.entry(), counters=True)["balancers"]
    return {member["name"]: member["counters"] for member in balancer["members"]}[name]


def grown(rig, before, **wanted):
    """How much more there is, once it is as much as is wanted: a balancer may count a moment after it has answered."""

    def more():
        now = counted(rig)
        assert now["since"] == before["since"]
        return {key: now[key] - before[key] for key in wanted}

    return until(f"{wanted} more", more, lambda seen: seen == wanted)


def failures(client, cookie, times):
    failed = 0
    for _each in range(times):
        client.cookie = cookie
        try:
            client.get()
        except (OSError, http.client.HTTPException):
            failed += 1
    return failed


@pytest.mark.each_version
@COUNTS
@pytest.mark.parametrize("fault", ["500", "close", "reset", "cut", "refused"])
def test_what_clients_saw_fail_is_what_is_counted(make_rig, apps, fault):
    rig = make_rig(checked=False, wait=False, forgiving=False)
    client = bound_to(rig.port, "m1")
    cookie, app, before = client.cookie, apps["m1"], counted(rig)
    assert failures(client, cookie, 5) == 0
    grown(rig, before, requests=5, errors=0)
    if fault == "refused":
        app.kill()
        # An answer on a connection that had been kept open is another failure than a new one that is refused.
        before = counted(rig)
    elif fault == "500":
        app.broken = True
    else:
        app.fault = fault
    middle = counted(rig)
    failed = failures(client, cookie, 10)
    assert failed == 10
    counts = rig.counts_cut if fault == "cut" else "all"
    if counts == "some":
        grown(rig, middle, requests=10)
        assert counted(rig)["errors"] - middle["errors"] <= failed
    else:
        grown(rig, middle, requests=10, errors=failed if counts == "all" else 0)
    if fault == "refused":
        app.start()
    app.broken, app.fault = False, ""
    late = counted(rig)
    assert failures(client, cookie, 5) == 0
    grown(rig, late, requests=5, errors=0)


@COUNTS
def test_others_are_counted_by_themselves(make_rig, apps):
    rig = make_rig(checked=False, wait=False, forgiving=False)
    before = counted(rig, "m2")
    bound_to(rig.port, "m1")
    apps["m1"].broken = True
    for _each in range(20):
        client = Bound(rig.port)
        try:
            client.get()
        except http.client.HTTPException:
            pass
    now = counted(rig, "m2")
    assert now["requests"] > before["requests"] and now["errors"] == before["errors"]


@pytest.mark.each_version
@COUNTS
def test_a_restart_begins_anew_and_says_so(rig):
    bound_to(rig.port, "m1")
    before = counted(rig)
    rig.restart()
    rig.all_up()
    after = counted(rig)
    assert after["since"] != before["since"] and (after["requests"], after["errors"]) == (0, 0)


def served(rig):
    (balancer,) = read(rig.entry(), counters=True)["balancers"]
    return balancer["served"]


def more(rig, before):
    """By how much it has grown: requests, and the fewest and the most that failed."""
    now = served(rig)
    assert now["since"] == before["since"]
    one = {key: now[key] - before[key] for key in ("requests", "errors", "broken", "unanswered")}
    least, most = max(one["broken"], one["unanswered"]), one["broken"] + one["unanswered"]
    return one["requests"], one["errors"] + least, one["errors"] + most


def left_out(rig):
    """Of the answers that break off: how many the balancer says that it does not count, `none`, `some` or `all`."""
    (balancer,) = read(rig.entry(), counters=True)["balancers"]
    words = balancer["capabilities"]["uncounted"]
    return "none" if "break off" not in words else "some" if words.startswith("some of") else "all"


@SERVED
@pytest.mark.parametrize("keep", [False, True], ids=["anew", "kept"])
@pytest.mark.parametrize("fault", ["500", "close", "reset", "cut", "hang", "refused"])
def test_what_users_saw_fail_is_what_is_counted(make_rig, apps, fault, keep):
    rig = make_rig(checked=False, wait=False, patience=0.2)
    client, before = Asking(rig.port, keep), served(rig)
    assert client.ask(5) == 0
    until("so much more", lambda: more(rig, before), lambda seen: seen == (5, 0, 0))
    before = served(rig)
    for app in apps.values():
        if fault == "refused":
            app.kill()
        app.broken, app.fault = fault == "500", "" if fault in ("500", "refused") else fault
    assert client.ask(8) == 8
    if fault == "cut" and left_out(rig) == "all":
        assert more(rig, before) == (0, 0, 0)
    elif fault == "cut" and left_out(rig) == "some":
        until("eight more", lambda: more(rig, before), lambda seen: seen[0] == 8 and 0 < seen[1] <= seen[2] <= 8)
    else:
        # Who was not answered may have been counted twice: by how much that can be, the two bounds say.
        # That an answer broke off may be counted a moment after that it was asked for.
        requests, least, most = until("eight more", lambda: more(rig, before), lambda seen: seen[:2] == (8, 8))
        assert most == 8 or (keep and fault in ("close", "reset"))
    for app in apps.values():
        app.broken, app.fault = False, ""
        app.gate.set()
        if fault == "refused":
            app.start()
    before = served(rig)
    assert client.ask(5) == 0
    until("so much more", lambda: more(rig, before), lambda seen: seen == (5, 0, 0))


@SERVED
def test_what_a_retry_saved_is_no_failure_of_users(make_rig, apps):
    rig = make_rig(checked=False, wait=False)
    before = served(rig)
    apps["m1"].kill()
    assert Asking(rig.port, keep=False).ask(12) == 0
    until("so much more", lambda: more(rig, before), lambda seen: seen == (12, 0, 0))


@SERVED
def test_many_users_whose_members_die_and_come_back(make_rig, apps):
    rig = make_rig(checked=False, wait=False, forgiving=False)
    before = served(rig)
    with Load(rig.port) as load:
        for app in apps.values():
            load.everybody_again()
            app.kill()
            load.everybody_again()
            app.start()
        apps["m2"].fault = "cut"
        load.everybody_again()
        apps["m2"].fault = ""
        load.everybody_again()
    failed = len(load.failures)
    assert failed > 10
    if left_out(rig) == "all":
        requests, least, most = more(rig, before)
        missed = load.requests - requests
        assert 0 < missed < failed and least == most == failed - missed
    else:
        fewest = 0 if left_out(rig) == "some" else failed

        def all_of_them(seen):
            requests, least, most = seen
            return requests == load.requests and least <= failed and fewest <= most

        until(f"{load.requests} requests of which {failed} failed", lambda: more(rig, before), all_of_them)


@SERVED
def test_a_restart_begins_what_users_got_anew_and_says_so(rig):
    Asking(rig.port, keep=False).ask(3)
    before = served(rig)
    rig.restart()
    rig.all_up()
    after = served(rig)
    assert after["since"] != before["since"] and after["requests"] == 0


def test_nothing_is_counted_unless_it_is_asked_for(rig):
    (balancer,) = read(rig.entry())["balancers"]
    assert "served" not in balancer and all("counters" not in member for member in balancer["members"])
