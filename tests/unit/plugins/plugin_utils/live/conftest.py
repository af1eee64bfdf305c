# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the live view share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for directory in (HERE, HERE.parents[3] / "support"):
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))

from told import Told


@pytest.fixture
def told():
    """A rollout to tell of."""
    return Told()
