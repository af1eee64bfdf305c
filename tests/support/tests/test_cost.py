# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the processor time of tests, and its table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).parents[1]
BUSY = """
import subprocess, sys

def test_a_child_that_works():
    subprocess.run([sys.executable, "-c", "import time; [None for _ in iter(lambda: time.process_time() < 0.5, False)]"], check=True)

def test_nothing():
    pass
"""


def test_a_child_counts_for_the_test_that_waited_for_it(tmp_path: Path) -> None:
    tests, costs = tmp_path / "test_busy.py", tmp_path / "costs"
    tests.write_text(BUSY)
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    line = [sys.executable, "-m", "pytest", "-q", "-p", "cost.plugin", "-p", "no:cacheprovider", "--cost", str(costs), str(tests)]
    subprocess.run(line, env=environment, cwd=tmp_path, check=True, capture_output=True)
    child, nothing = (json.loads(row) for row in costs.read_text().splitlines())
    assert child["cpu"] > 0.4 > nothing["cpu"] and child["wall"] > 0
    told = subprocess.run([sys.executable, "-m", "cost", str(costs)], env=environment, check=True, capture_output=True, text=True)
    assert "      2  test_busy.py" in told.stdout
