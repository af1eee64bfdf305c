# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the collection's modules behave."""

from __future__ import annotations


class ModuleDocFragment:
    """Read by ansible-doc."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and tell what it would do without doing it.
  diff_mode:
    description: Tells what it changed, or would change, when run with C(--diff).
"""
