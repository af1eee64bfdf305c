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


def users(since="1", uncounted="", members=(), **lbs):
    """A look at balancers that count users: requests, errors, broken, unanswered, left."""
    kinds = ("requests", "errors", "broken", "unanswered", "left")
    return [
        {
            "name": name,
            "served": {**dict(zip(kinds, served)), "since": since},
            "capabilities": {"uncounted": uncounted},
            "members": [{"name": "a", "counters": {"requests": r, "errors": e, "since": since}} for r, e in members],
        }
        for name, served in lbs.items()
    ]


def told_of(of, balancers):
    return [(one["requests"], one["errors"], one["at_most"], one["exact"]) for one in balancers if one["of"] == of]


def test_what_users_got_is_what_is_compared():
    looks = [users(lb=(90, 5, 1, 0, 0), members=[(100, 9)]), users(lb=(190, 7, 2, 0, 3), members=[(230, 40)])]
    balancers = grown(looks)
    assert told_of("users", balancers) == [(100, 3, 3, True)] and told_of("members", balancers) == [(130, 31, 31, True)]
    told = compared(balancers, felt(50, status=1))
    assert (told["requests"], told["errors"], told["at_most"], told["agrees"]) == (100, 3, 3, True)
    assert told["said"].startswith("The balancers counted that 3 of the 100 requests of users failed, and 3 clients left")


def test_what_may_have_been_counted_twice_is_told_as_from_and_to():
    looks = [users(lb=(10, 0, 0, 0, 0)), users(lb=(20, 1, 2, 0, 0)), users(lb=(30, 1, 2, 3, 0)), users(lb=(40, 1, 4, 4, 0))]
    assert told_of("users", grown(looks)) == [(30, 8, 9, False)]
    members = grown([users(lb=(0, 0, 0, 0, 0), members=[(0, 0)]), users(lb=(9, 0, 2, 1, 0), members=[(9, 4)])])
    assert told_of("members", members) == [(9, 3, 4, False)]
    assert "that 8 to 9 of the 30 requests" in compared(grown(looks), None)["said"]


def test_what_shows_for_a_moment_only_is_not_counted_again():
    looks = [users(lb=(10, 0, 0, 0, 0)), users(lb=(20, 0, 0, 1, 0)), users(lb=(30, 0, 0, 0, 0)), users(lb=(40, 0, 0, 1, 0))]
    assert told_of("users", grown(looks)) == [(30, 1, 1, True)]


def test_a_balancer_that_begins_anew_or_leaves_some_out_is_not_exact():
    anew = grown([users(lb=(10, 0, 0, 0, 0)), users("2", lb=(500, 9, 0, 0, 0)), users("2", lb=(510, 10, 0, 0, 0))])
    assert told_of("users", anew) == [(10, 1, 1, False)] and "lb began to count anew" in compared(anew, None)["said"]
    blind = grown([users(uncounted="those", lb=(10, 0, 0, 0, 0)), users(uncounted="those", lb=(20, 0, 0, 0, 0))])
    assert told_of("users", blind) == [(10, 0, 0, False)] and "(lb leaves out those)" in compared(blind, None)["said"]
    # What it leaves out it cannot contradict.
    assert compared(blind, felt(50, truncated=3))["agrees"] is True and compared(blind, felt(50, status=3))["agrees"] is False


def test_what_the_pool_must_have_made_must_have_been_counted():
    one = grown([users(lb=(0, 0, 0, 0, 0)), users(lb=(100, 1, 1, 1, 0))])
    assert compared(one, felt(50, status=1, closed=2))["agrees"] is True
    assert compared(one, felt(50, refused=9, timeout=9, reset=9))["agrees"] is True
    told = compared(one, felt(50, status=2, closed=2))
    assert told["agrees"] is False and "4 of them in a way that is counted there" in told["said"]


def test_one_that_counts_nothing_is_named():
    nothing = {"name": "lb2", "served": None, "capabilities": {"uncounted": ""}, "members": [{"name": "a", "counters": None}]}
    both = grown([[*users(lb=(0, 0, 0, 0, 0)), nothing], [*users(lb=(100, 0, 0, 0, 0)), nothing]])
    told = compared(both, felt(50, status=4))
    assert told["agrees"] is True and "of users failed by lb (lb2 leaves out everything)" in told["said"]
    assert compared(grown([[nothing]]), None)["said"].startswith("The balancers count nothing (lb2")


def test_without_a_probe_there_is_nothing_to_compare():
    told = compared(grown([look(a=(0, 0)), look(a=(10, 1))]), None)
    assert told["agrees"] is None and told["said"].startswith("The members failed 1 of the 10 requests")
