# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are. Importing it makes the demo's and the tests' own tools importable."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
SUPPORT = CHECKOUT / "tests" / "support"
DEMO = CHECKOUT / "examples" / "demo"
OUT = CHECKOUT / "build" / "faults"

for _directory in (DEMO, SUPPORT, SUPPORT / "app"):
    if str(_directory) not in sys.path:
        sys.path.insert(0, str(_directory))
