# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in batches, phases in rows."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import report_timeline as timeline
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.record import PHASES
from ansible_collections.zero_downtime.deploy.tests.support.records import samples


def phase(host, name, began, ended, batch=1, ok=True):
    return {"host": host, "batch": batch, "phase": name, "began": began, "ended": ended, "ok": ok}


def test_hosts_stand_in_the_order_of_the_plan_and_phases_in_that_of_time():
    phases = [phase("b", "deploy", 20, 30), phase("a", "deploy", 15, 29), phase("b", "drain", 10, 19)]
    (batch,) = timeline.batches([["a", "b"]], phases, {})
    assert [row.host for row in batch.rows] == ["a", "b"]
    assert [segment.phase for segment in batch.rows[1].segments] == ["drain", "deploy"]
    assert (batch.name, batch.began, batch.ended) == ("Batch 1", 10, 30)


def test_who_was_not_reached_is_there_too():
    batches = timeline.batches([["a"], ["b"]], [phase("a", "drain", 0, 5)], {})
    assert [(batch.number, [row.said for row in batch.rows]) for batch in batches] == [
        (1, ["5.0 s"]),
        (2, ["not reached"]),
    ]
    assert batches[1].said == "1 host, not reached" and batches[1].began is None


def test_the_way_back_counts_for_the_row_and_not_for_the_end_of_the_batch():
    (batch,) = timeline.batches([["a"]], [phase("a", "deploy", 0, 10), phase("a", "undo_deploy", 50, 70)], {})
    assert batch.ended == 10 and batch.rows[0].said == "1 min 10 s"


def test_a_failure_is_told_by_its_phase_and_else_by_the_record():
    failed, silent = timeline.batches([["a"], ["b"]], [phase("a", "check", 0, 10, ok=False)], {"b": "lost"})
    assert failed.rows[0].said == "10 s, failed in check" and failed.said.endswith(", 1 failed")
    assert silent.rows[0].said == "failed, not touched"
    assert "Check, failed: 00:00:00 to 00:00:10 UTC, 10 s" == failed.rows[0].segments[0].title


def test_hosts_that_no_plan_knows_come_last():
    batches = timeline.batches([["a"]], [phase("a", "drain", 0, 1), phase("x", "switch", 5, 6, batch=0)], {})
    assert [(batch.name, [row.host for row in batch.rows]) for batch in batches] == [
        ("Batch 1", ["a"]),
        ("In no batch", ["x"]),
    ]


def test_batches_that_were_counted_on_over_several_runs():
    """A plan made anew begins with its own first batch, and phases carry the true number."""
    (batch,) = timeline.batches([["c"]], [phase("c", "drain", 0, 1, batch=3)], {})
    assert batch.number == 3


def test_every_phase_has_words():
    assert set(timeline.SAID) == set(timeline.MEANS) == set(PHASES)


def test_kinds_are_in_the_order_of_a_host_s_way():
    record = samples.rolled_back()
    found = timeline.kinds(timeline.batches(record["plan"], record["phases"], record["failures"]))
    assert found == [
        "drain",
        "deploy",
        "check",
        "return",
        "soak",
        "undo_drain",
        "undo_deploy",
        "undo_check",
        "undo_return",
    ]
