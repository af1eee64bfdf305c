# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the collection importable, as the unit tests' own conftest does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

# Importing it puts the collection's path into place.
_spec = importlib.util.spec_from_file_location(
    "zero_downtime_unit_conftest", Path(__file__).parents[1] / "unit" / "conftest.py"
)
_unit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_unit)
checkout = _unit.checkout
