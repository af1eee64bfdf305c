# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of the health checks' tests."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._health.conftest import answer, raw, serve

__all__ = ("answer", "raw", "serve")
