# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancers' counters over a rollout, and the probe beside them."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.counted import compared, grown, looked


def look(since="1", **members):
    counted = [
        {"name": name, "counters": {"requests": r, "errors": e, "since": since}} for name, (r, e) in members.items()
    ]
    return [{"name": "lb", "members": [*counted, {"name": "idle", "counters": None}]}]


def felt(requests, **outcomes):
    return {"requests": requests, "failed": sum(outcomes.values()), "outcomes": outcomes}


def counts(balancers):
    return [(one["requests"], one["errors"], one["restarted"], one["exact"]) for one in balancers]


def test_what_was_counted_before_is_not_this_rollouts():
    assert counts(grown([look(a=(100, 7)), look(a=(160, 8), b=(5, 1))])) == [(65, 2, False, True)]


def test_a_restart_is_noticed_and_costs_only_what_no_look_has_seen():
    looks = [look(a=(100, 7)), look(a=(150, 9)), look("2", a=(10, 1)), look("2", a=(30, 2))]
    assert counts(grown(looks)) == [(70, 3, True, False)]


def test_looks_one_by_one_come_to_the_same():
    looks = [look(a=(100, 7)), look(a=(150, 9)), look("2", a=(10, 1)), look("2", a=(30, 2), b=(5, 0))]
    known = {}
    for one in looks:
        known = looked(known, one)
    assert counts(known["balancers"]) == counts(grown(looks)) == [(75, 3, True, False)]


def test_failures_that_only_a_member_can_make_must_have_been_counted():
    one = grown([look(a=(0, 0)), look(a=(100, 1))])
    assert compared(one, felt(50, ok=0, truncated=2))["agrees"] is False
    assert compared(one, felt(50, truncated=1))["agrees"] is True
    # Whom the balancer itself turned away, no member has failed.
    assert compared(one, felt(50, refused=20, status=2))["agrees"] is True


def test_after_a_restart_nobody_can_say_that_too_few_were_counted():
    one = grown([look(a=(0, 0)), look("2", a=(0, 0))])
    told = compared(one, felt(50, truncated=2))
    assert told["agrees"] is True and "lb began to count anew" in told["said"]


def test_a_probe_that_sees_nothing_of_many_errors_asks_somebody_else():
    one = grown([look(a=(0, 0)), look(a=(1000, 100))])
    assert compared(one, felt(100))["agrees"] is False
    assert compared(one, felt(10))["agrees"] is True


def test_without_a_probe_there_is_nothing_to_compare():
    told = compared(grown([look(a=(0, 0)), look(a=(10, 1))]), None)
    assert told["agrees"] is None and told["said"].startswith("The members failed 1 of the 10 requests")
