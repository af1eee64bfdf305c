# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest's side of the scenarios: fixtures, and the figures at the end. Loaded with ``-p scenario.fixtures``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import figures
from .load import Load, end_load
from .places import RUNS


@pytest.fixture
def clients(request: pytest.FixtureRequest) -> Iterator[Load]:
    """Clients that can be started; ended with the test in any case."""
    yield Load(RUNS, request.node.name.replace("[", "-").rstrip("]"))
    end_load()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the figures and keep them."""
    for line in figures.lines():
        terminalreporter.write_line(line)
    figures.write()
