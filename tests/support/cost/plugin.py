# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records the processor time of each test: its own, and that of the processes that it started and waited for.

A pytest plugin: ``-p cost.plugin --cost FILE``, with tests/support in PYTHONPATH.  Each test adds a line of JSON to the file.
``python -m cost FILE`` prints tables by directory and by file.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--cost", type=Path, help="append the processor time of each test to this file")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure a test with its fixtures. A session fixture counts for the first test that uses it."""
    file = item.config.getoption("--cost")
    before, began = _spent(), time.monotonic()
    yield
    if file:
        cost = {"test": item.nodeid, "cpu": round(_spent() - before, 3), "wall": round(time.monotonic() - began, 3)}
        with file.open("a", encoding="utf-8") as lines:  # one write, so that lines of several workers do not mix
            lines.write(json.dumps(cost) + "\n")


def _spent() -> float:
    return sum(os.times()[:4])
