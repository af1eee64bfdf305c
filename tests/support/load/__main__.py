# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 tests/support/load run|report …``, from any directory."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a directory: make the package importable by its name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from load.cli import main

sys.exit(main())
