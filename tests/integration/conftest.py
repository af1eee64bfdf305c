# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the collection importable, as the unit tests' own conftest does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# Importing it puts the collection's path into place.
_spec = importlib.util.spec_from_file_location(
    "zero_downtime_unit_conftest", Path(__file__).parents[1] / "unit" / "conftest.py"
)
_unit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_unit)
checkout = _unit.checkout
etcd_binary = _unit.etcd_binary
etcd = _unit.etcd
EVERYTHING = _unit.EVERYTHING


# Tests that start Ansible for each variation: `make test` runs the first one of each test and core, for its time; `make test-all`
# runs all of them.
FIRST_VARIATION = ("flows", "conformance/test_doors.py", "conformance/test_fencing.py", "providers/test_strategies.py")


def pytest_configure(config: pytest.Config) -> None:
    """Explain the mark."""
    config.addinivalue_line("markers", "thorough: a test that `make test-all` runs and `make test` does not")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `make test-all` adds, and start the longest tests first, so that no worker ends with one alone."""
    if not EVERYTHING:
        kept, others, seen = [], [], set()
        for item in items:
            key = (item.path, item.originalname, *re.findall(r"core-[0-9.]+", item.name))
            varies = item.path.is_relative_to(HERE) and str(item.path.relative_to(HERE)).startswith(FIRST_VARIATION)
            left_out = item.get_closest_marker("thorough") or (varies and key in seen)
            (others if left_out else kept).append(item)
            seen.add(key)
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = kept
    long = [HERE / name for name in ("providers", "walkthrough")]
    items.sort(key=lambda item: item.path.parent not in long)
