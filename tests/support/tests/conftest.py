# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the support code importable, as its own command lines do."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUPPORT = HERE.parent
sys.path[:0] = [str(HERE), str(SUPPORT), str(SUPPORT / "app"), str(SUPPORT / "lab")]
