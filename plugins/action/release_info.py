# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second door to `release_info`."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import read_releases
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.door import UseCaseAction


class ActionModule(UseCaseAction):
    """Reads in the controller's process, or ships the module."""

    MODULE = "zero_downtime.deploy.release_info"
    ARGUMENT_SPEC = read_releases.ARGUMENT_SPEC
    USE_CASE = read_releases.run
