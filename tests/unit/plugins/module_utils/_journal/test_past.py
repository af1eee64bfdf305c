# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the history keeps of journals, made as rollouts make them."""

from __future__ import annotations

import json

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.history import figures
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import journal as journals
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.past import past_of, pasts

NOW = 1763790000.0
FELT = {
    "requests": 600,
    "failed": 2,
    "disturbance": 0.7,
    "first_failure": NOW + 5.0,
    "last_failure": NOW + 5.7,
    "rate": 10.0,
}


def journal(outcome="succeeded", summary=None, events=(("batch_begun", ["app1"]),)):
    found = journals.new("20251122T054000Z-1.4.2-7", "shop", "1.4.2", "rolling", 7, NOW)
    for event, hosts in events:
        found = journals.record(found, NOW + 1, event=event, hosts=hosts)
    found = journals.finish(found, outcome, summary, NOW + 60) if outcome else found
    return json.loads(json.dumps(found))  # as it is on disk


def test_all_that_is_known():
    summary = {"felt": FELT, "decided": NOW + 10.5, "undone": NOW + 30.25, "committed": NOW - 100, "lines": []}
    assert past_of(journal("rolled_back", summary)) == {
        "id": "20251122T054000Z-1.4.2-7", "service": "shop", "version": "1.4.2", "strategy": "rolling", "outcome": "rolled_back",
        "began": NOW, "ended": NOW + 60, "decided": NOW + 10.5, "undone": NOW + 30.25, "committed": NOW - 100, "touched": True,
        "felt": {"requests": 600, "failed": 2, "disturbance": 0.7, "first_failure": NOW + 5.0, "last_failure": NOW + 5.7},
    }  # fmt: skip


def test_a_journal_of_an_older_version_has_no_figures():
    found = past_of(journal())
    assert (found["decided"], found["undone"], found["committed"], found["felt"]) == (None, None, None, None)


@pytest.mark.parametrize(
    "felt", [[], "x", {}, {"requests": 5}, {"requests": True, "failed": 0}, {"requests": float("inf"), "failed": 0}]
)
def test_what_is_no_figure_is_not_known(felt):
    found = past_of(journal(summary={"felt": felt, "decided": "yesterday", "undone": -1}))
    assert (found["decided"], found["undone"], found["felt"]) == (None, None, None)


def test_what_has_not_ended_is_no_history():
    assert past_of(journal(outcome=None)) is None
    assert past_of({**journal(), "finished": "yesterday"}) is None
    assert [one["outcome"] for one in pasts([journal(), journal(None), journal("abandoned")])] == [
        "succeeded",
        "abandoned",
    ]


@pytest.mark.parametrize(
    ("events", "touched"),
    [
        ([], False),
        ([("planned", []), ("paused", []), ("approved", [])], False),
        ([("planned", []), ("batch_begun", ["app1"])], True),
        ([("batch_begun", ["app1", "app2"]), ("batch_refused", ["app1", "app2"])], False),
        ([("batch_begun", ["app1", "app2"]), ("batch_refused", ["app2"])], True),
        ([("batch_begun", ["app1"]), ("batch_begun", ["app1"]), ("batch_refused", ["app1"])], True),
        ([("switching", [])], True),
        ([("to_undo", ["app1"])], True),
        ([("something new", [])], True),
    ],
)
def test_whether_anything_was_touched(events, touched):
    assert past_of(journal("abandoned", events=events))["touched"] is touched
    assert figures(pasts([journal("abandoned", events=events)]), NOW + 100)["deployments"] == touched
