# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests cost: seconds of processor time, theirs and that of the processes that they started and waited for.

A pytest plugin: ``-p cost.plugin --cost FILE``, with tests/support in PYTHONPATH.  Each test adds a line of JSON to the file.
``python -m cost FILE`` (the same path) prints a table by directory and file.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare where the lines go."""
    parser.addoption("--cost", type=Path, help="add what each test cost to this file")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note processor time and time around a test with its fixtures; what a session's fixture costs counts for the first test."""
    file = item.config.getoption("--cost")
    before, began = _spent(), time.monotonic()
    yield
    if file:
        cost = {"test": item.nodeid, "cpu": round(_spent() - before, 3), "wall": round(time.monotonic() - began, 3)}
        with file.open("a", encoding="utf-8") as lines:  # a line is short enough to be appended in one piece
            lines.write(json.dumps(cost) + "\n")


def _spent() -> float:
    return sum(os.times()[:4])
