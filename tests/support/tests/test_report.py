# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the samples say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from load.cli import main
from load.report import attribute, percentile, split, summarize


def sample(start: float, end: float, why: str = "", **more: object) -> dict:
    made = {"start": start, "end": end, "kind": "keepalive", "outcome": "failed" if why else "ok", "status": 200,
            "version": "1", "member": "app1"}
    return made | ({"why": why} if why else {}) | more


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_percentile_of_little() -> None:
    assert (percentile([], 0.5), percentile([7], 0.99)) == (0.0, 7)


def test_no_samples() -> None:
    assert summarize([])["requests"] == 0


def test_latency_leaves_failed_and_slow_ones_out() -> None:
    summary = summarize([sample(0, 0.01), sample(0, 9, "timeout"), sample(0, 2, kind="slow")])
    assert summary["latency_ms"]["max"] == 10.0
    assert summary["by_kind"]["slow"]["latency_ms"]["max"] == 2000.0


def test_first_fifty_failures_by_time() -> None:
    summary = summarize([sample(60 - n, 61 - n, "closed") for n in range(60)])
    assert len(summary["failures"]) == 50
    assert (summary["first_failure"], summary["last_failure"]) == (1, 60)
    assert summary["failures"][0]["start"] == 1


def test_split_by_a_window() -> None:
    parts = split([sample(0, 1), sample(4, 6), sample(7, 8), sample(9, 12), sample(10.5, 11)], 5, 10)
    assert {name: part["requests"] for name, part in parts.items()} == {"before": 1, "during": 3, "after": 1}


DEATH = [{"at": 100.0, "member": "app3"}]


@pytest.mark.parametrize(("failure", "cut"), [
    (sample(99, 100.02, "closed", member=""), 1),
    (sample(99, 100.02, "truncated", member="app3"), 1),
    (sample(99, 100.02, "status", status=502, member=""), 1),
    (sample(100.05, 100.06, "closed", member=""), 1),  # begun while the dead one's sockets were still open
    (sample(100.2, 100.3, "closed", member=""), 0),  # begun too late
    (sample(98, 99.9, "closed", member=""), 0),  # over before it
    (sample(99, 100.02, "truncated", member="app1"), 0),  # another member's answer
    (sample(99, 100.02, "status", status=503, member=""), 0),  # no member to be had: not the death's doing
    (sample(99, 100.02, "status", status=500, member="app3"), 0),
    (sample(99, 109, "timeout", member=""), 0),
    (sample(99, 100.02, "refused", member=""), 0),
    (sample(99, 100.02, "wrong_digest", member="app3"), 0),
])
def test_what_a_death_cuts_and_what_not(failure: dict, cut: int) -> None:
    told = attribute([sample(99, 101), failure], DEATH)
    assert (told["cut_by_death"], told["failed"]) == (cut, 1 - cut)


def test_report_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, deaths = tmp_path / "samples.jsonl", tmp_path / "deaths.json"
    lines = [sample(90, 90.5), sample(99, 100.02, "closed", member="")]
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert main(["report", "--samples", str(samples), "--window", "95", "110"]) == 1
    assert json.loads(capsys.readouterr().out)["window"]["during"]["failed"] == 1
    deaths.write_text(json.dumps(DEATH), encoding="utf-8")
    assert main(["report", "--samples", str(samples), "--deaths", str(deaths)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["failed"], told["cut_by_death"]) == (0, 1)
