# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold after 2.0.0 was asked about, rolled out, and rolled out once more, with clients all the time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scenario import figures
from scenario.fleet import journal, lease_is_free, left_behind, look, pools, versions
from scenario.load import Load
from scenario.places import HOSTS, RUNS, TOLD
from scenario.runs import told

AT_LEAST = 20_000
RETURN = "Bring back into traffic, once every balancer sees it healthy"


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    """The lab before."""
    return dict(json.loads((RUNS / "before.json").read_text()))


@pytest.fixture(scope="module")
def after() -> dict[str, Any]:
    """The lab now."""
    return look()


@pytest.fixture(scope="module")
def runs() -> list[list[dict[str, Any]]]:
    """What was done by: the question, the rollout, the same again."""
    return told(TOLD, "converge")


def changes(run: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The tasks that changed something, with their hosts."""
    return [(task["host"], task["task"]) for task in run if task["changed"]]


def test_not_one_request_failed() -> None:
    """From before the question to after the second run."""
    report = Load(RUNS, "all").stop()
    figures.keep("1.0.0 to 2.0.0", report)
    assert report["failed"] == 0, report["failures"]
    assert report["cut_by_death"] == 0
    assert report["requests"] >= AT_LEAST
    assert set(report["by_version"]) == {"1.0.0", "2.0.0"}


def test_every_host_runs_the_release(after: dict[str, Any]) -> None:
    """The one in maintenance too."""
    assert versions(after) == dict.fromkeys(HOSTS, "2.0.0")
    assert {host["current"] for host in after["hosts"].values()} == {"2.0.0"}


def test_members_are_as_before(before: dict[str, Any], after: dict[str, Any]) -> None:
    """States and weights, also those that somebody had set by hand."""
    assert pools(after) == pools(before)
    assert pools(after)["lb1"]["app2"] == {"state": "enabled", "weight": 40, "status": "UP"}
    assert [pools(after)[name]["app5"]["state"] for name in ("lb1", "lb2")] == ["disabled", "disabled"]


def test_the_question_wrote_nothing(before: dict[str, Any]) -> None:
    """Neither on hosts nor on balancers, nor in the journal; no process was restarted."""
    asked = json.loads((RUNS / "asked.json").read_text())
    assert asked == before


def test_the_question_was_answered_truly(runs: list[list[dict[str, Any]]]) -> None:
    """All that was said to change did change, and nothing else.

    A question takes nobody out, so it finds nobody to bring back: what it drains is understood to return.
    """
    asked, rollout, _again = runs
    returns = [change for change in changes(rollout) if change[1].endswith(f" : {RETURN}")]
    assert sorted(changes(asked) + returns) == sorted(changes(rollout))


def test_the_answer_names_what_would_change(runs: list[list[dict[str, Any]]]) -> None:
    """The diff shows releases and members before and after."""
    shown = "\n".join(json.dumps(task["diff"]) for task in runs[0] if task["diff"])
    assert shown.count("2.0.0") >= len(HOSTS)
    for host in HOSTS:
        assert f"shop/{host}: disabled" in shown


def test_the_second_run_changed_nothing(runs: list[list[dict[str, Any]]]) -> None:
    """Molecule has read the recap; here each task."""
    assert changes(runs[2]) == []


def test_lease_and_journal(after: dict[str, Any]) -> None:
    """The rollout is written down as a success, and the service is free for the next one."""
    assert lease_is_free(after)
    assert (journal(after)["version"], journal(after)["outcome"]) == ("2.0.0", "succeeded")
    assert len(after["balancers"]["lb1"]["journals"]) == 1


def test_nothing_is_left_behind(before: dict[str, Any], after: dict[str, Any]) -> None:
    """No temporary files, no half-made releases, no balancer restarted."""
    assert left_behind(after) == {}
    assert {tuple(host["releases"]) for host in after["hosts"].values()} == {("1.0.0", "2.0.0")}
    for name in after["balancers"]:
        assert after["balancers"][name]["haproxy"] == before["balancers"][name]["haproxy"]
