# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bench makes of its measurements."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

import figures


def run(wall: float, deploy: float, cpu: float = 1.0, failed: int = 0) -> dict:
    return {"wall": wall, "deploy": deploy, "cpu": cpu, "memory": 60, "requests": 100, "failed": failed}


SIDES = {
    "floor": [run(7, 6), run(9, 8)],
    "usual": [run(20, 7, cpu=10), run(22, 9, cpu=10)],
    "ours": [run(14, 9, cpu=5), run(16, 9, cpu=5, failed=1)],
}


def test_the_floor_is_ansible_and_the_deploy_tasks_as_they_took_and_the_balancers_check() -> None:
    told = figures.compared(SIDES, 4, 0.5)
    assert told["floor_parts"] == {"ansible": 1, "deploy": 9, "balancer_check": 0.5}
    assert told["floor"] == 1 + 9 + 4 * 0.5


def test_shares_are_wall_time_less_the_floor_of_the_same_run_and_ratios_are_of_medians() -> None:
    told = figures.compared(SIDES, 4, 0.5)
    assert (told["sides"]["usual"]["share"], told["sides"]["ours"]["share"]) == (10, 3)
    assert told["sides"]["ours"]["share_of_a_batch"] == 0.75
    assert told["ratios"] == {"ours / usual": {"share": 0.3, "wall": 0.71, "cpu": 0.5, "memory": 1.0}}


def test_a_failed_request_is_never_averaged_away() -> None:
    told = figures.compared(SIDES, 4, 0.5)
    assert (told["sides"]["ours"]["requests"], told["sides"]["ours"]["failed"]) == (200, 1)
    (line,) = [line for line in figures.lines("six", told) if line.strip().startswith("ours ") and "/" not in line]
    assert line.split()[6:8] == ["200", "1"]


@pytest.mark.parametrize("word", ["floor", "share", "cpu", "memory"])
def test_every_word_is_defined(word: str) -> None:
    assert f"\n{word} " in f"\n{figures.DEFINITIONS}"
