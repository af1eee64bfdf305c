# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer that counts: what it counts of a member is what its clients saw."""

from __future__ import annotations

import http.client

import pytest

from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Bound, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import read, until

COUNTS = pytest.mark.needs("counters", "traffic")


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


@COUNTS
def test_a_restart_begins_anew_and_says_so(rig):
    bound_to(rig.port, "m1")
    before = counted(rig)
    rig.restart()
    rig.all_up()
    after = counted(rig)
    assert after["since"] != before["since"] and (after["requests"], after["errors"]) == (0, 0)


def test_nothing_is_counted_unless_it_is_asked_for(rig):
    assert all("counters" not in member for member in read(rig.entry())["balancers"][0]["members"])
