# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of the shop for the scenarios."""

from __future__ import annotations

import subprocess
import sys

from .places import RELEASES, SUPPORT


def build(version: str, fault: str = "") -> str:
    """Build a release, good or broken; return its archive."""
    line = [sys.executable, str(SUPPORT / "app" / "build_release.py"), version, str(RELEASES), "--fault", fault]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return str(RELEASES / f"shop-{version}.tar.gz")
