# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
SUPPORT = CHECKOUT / "tests" / "support"
LAB = CHECKOUT / "build" / "lab"
OUT = CHECKOUT / "build" / "molecule"
RELEASES = OUT / "releases"
SCENARIO = os.environ.get("MOLECULE_SCENARIO_NAME", "by_hand")
RUNS = OUT / "runs" / SCENARIO
TOLD = OUT / "told" / SCENARIO

HOSTS = [f"app{number}" for number in range(1, 7)]
BALANCERS = ["lb1", "lb2"]
