# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a paused rollout waits for, which batch is which over several runs, and what a promotion goes on with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import pauses
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import journal as journals

LEASE = {"held": False, "expired": False}


def event(name, *hosts, **details):
    return {"time": "2026-11-21T10:00:00Z", "event": name, "hosts": list(hosts), "details": details}


def journal(*events):
    return {**journals.new("20261121T100000Z-2.0-1", "shop", "2.0", "rolling", 1, 0), "events": list(events)}


PAUSED = event("paused", point="batch", number=2, why="waiting for approval: x", waits_for="approval")
SHUT = event("paused", point="batch", number=2, why="frozen", waits_for="gate")
APPROVED = event("approved", point="batch", number=2, who="kim")
BEGUN = [event("planned", "a", "b"), event("batch_begun", "a")]


def test_what_waits():
    assert pauses.waits(None) is None and pauses.waits(journal()) is None and pauses.waits(journal(*BEGUN)) is None
    waiting = pauses.waits(journal(*BEGUN, PAUSED))
    assert waiting == {
        "id": "20261121T100000Z-2.0-1", "version": "2.0", "strategy": "rolling", "point": "batch", "number": 2,
        "why": "waiting for approval: x", "waits_for": "approval", "since": "2026-11-21T10:00:00Z", "approved_by": None,
    }  # fmt: skip
    assert pauses.waits(journal(*BEGUN, PAUSED, APPROVED))["approved_by"] == "kim"
    assert pauses.waits(journal(*BEGUN, PAUSED, APPROVED, PAUSED))["approved_by"] is None
    # Whatever else happens, it has gone on.
    assert pauses.waits(journal(*BEGUN, PAUSED, APPROVED, event("planned", "b"))) is None
    assert pauses.waits(journal(*BEGUN, PAUSED, event("undoing", "a"))) is None


def test_what_earlier_attempts_have_passed():
    assert pauses.so_far(journal()) == {"approvals": [], "begun": False, "hosts": [], "batches": 0}
    found = pauses.so_far(journal(*BEGUN, PAUSED, APPROVED), [{"point": "switch", "number": None}])
    assert found["approvals"] == [{"point": "batch", "number": 2}, {"point": "switch", "number": None}]
    assert (found["begun"], found["hosts"], found["batches"]) == (True, ["a"], 1)
    # Paused before the rollout: nothing has begun.
    assert not pauses.so_far(journal(event("paused", point="rollout", why="x", waits_for="approval")))["begun"]


def test_batches_are_counted_over_all_attempts():
    before = {"hosts": ["a", "b"], "batches": 1}
    groups = [["b"], ["c"], ["d", "e"]]
    assert [pauses.batch_number(groups, group, before) for group in range(3)] == [0, 2, 3]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=5), st.integers(0, 5), st.integers(1, 3))
def test_a_number_is_never_given_twice(sizes, done, later_size):
    """A rollout that stops after any batch and is cut anew goes on with the next number."""
    hosts = iter(range(100))
    groups = [[f"h{next(hosts)}" for _each in range(size)] for size in sizes]
    done = min(done, len(groups))
    first = pauses.so_far(journal(event("planned")))
    numbers = [pauses.batch_number(groups, group, first) for group in range(done)]
    assert numbers == list(range(1, done + 1))
    events = [event("planned"), *(event("batch_begun", *group) for group in groups[:done]), PAUSED, APPROVED]
    left = [host for group in groups[done:] for host in group]
    again = [left[at : at + later_size] for at in range(0, len(left), later_size)]
    then = pauses.so_far(journal(*events))
    assert [pauses.batch_number(again, group, then) for group in range(len(again))] == [done + 1 + at for at in range(len(again))]


def known(*events, **more):
    unfinished = journal(*events) if events else None
    return {"lease": LEASE, "journal": unfinished, "waits": pauses.waits(unfinished), "last": None, **more}


def promotion(found, version="", strategies=("rolling",)):
    return pauses.promotion("shop", found, version, list(strategies))


def test_a_promotion_approves_what_waits_for_a_person():
    found = promotion(known(*BEGUN, PAUSED))
    approvals = [{"point": "batch", "number": 2}]
    assert found == {"problem": "", "version": "2.0", "strategy": "rolling", "approve": True, "approvals": approvals}
    assert promotion(known(*BEGUN, PAUSED), "2.0")["problem"] == ""


def test_a_promotion_goes_on_with_what_needs_no_approval():
    for events in ((PAUSED, APPROVED), (SHUT,)):
        found = promotion(known(*BEGUN, *events))
        assert (found["problem"], found["approve"], found["approvals"]) == ("", False, [])


def test_a_promotion_of_nothing_says_what_there_is():
    last = {"id": "x-1", "version": "1.0", "outcome": "succeeded"}
    assert "Its last rollout was x-1 to 1.0: succeeded." in promotion(known(last=last))["problem"]
    assert "It has had no rollout yet." in promotion(known())["problem"]
    assert "was cut off: run the same command again" in promotion(known(*BEGUN))["problem"]
    held = {"held": True, "expired": False}
    assert "to 2.0 is under way." in promotion(known(*BEGUN, lease=held))["problem"]
    for cut_off in ({"expired": True}, {"proof": "process 10 no longer runs on desk"}):
        assert "was cut off" in promotion(known(*BEGUN, lease={**held, **cut_off}))["problem"]


def test_a_promotion_of_something_else_is_refused():
    assert "to 2.0, and rollout_version is 3.0" in promotion(known(*BEGUN, PAUSED), "3.0")["problem"]
    assert "by rolling, which cannot be promoted" in promotion(known(*BEGUN, PAUSED), strategies=["canary"])["problem"]
