# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of `pool_persistence`: the controller's door."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import persist_pool
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.balancers import BalancerAction


class ActionModule(BalancerAction):
    """See the module's documentation."""

    MODULE = "zero_downtime.deploy.pool_persistence"
    ARGUMENT_SPEC = persist_pool.ARGUMENT_SPEC
    USE_CASE = persist_pool.run
    SUMMED = persist_pool.summed
