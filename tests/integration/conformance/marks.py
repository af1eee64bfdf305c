# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the suite are marked and varied with."""

from __future__ import annotations

import pytest

# The states of a member that is out, for tests of each.
OUT = [pytest.param("drained", marks=pytest.mark.needs("sticky_drain")), "disabled"]
