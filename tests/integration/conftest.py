# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the collection importable, as the unit tests' own conftest does."""

from __future__ import annotations

import importlib.util
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: whoever is done with the short ones takes some of them over, and nobody waits for a last long one."""
    long = [HERE / name for name in ("providers", "walkthrough")]
    items.sort(key=lambda item: item.path.parent not in long)
