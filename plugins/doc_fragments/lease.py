# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option that every module which writes for a rollout shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Read by ansible-doc."""

    DOCUMENTATION = r"""
options:
  lease:
    description:
      - What M(zero_downtime.deploy.rollout) returned as RV(zero_downtime.deploy.rollout#module:lease) for C(begin) or C(record).
      - The task writes as long as that lease is good and refuses afterwards. It asks right before each write, so that a controller
        that was stopped or asleep in the middle of the task writes nothing when it wakes.
      - Clocks need not agree. The controller counts by its own clock, from before it asked for the lease, and translates what is left for
        the clock of the host to which it sends a module.
      - M(zero_downtime.deploy.pool_member), M(zero_downtime.deploy.traffic_split) and M(zero_downtime.deploy.release) renew it first
        when less than half of it is left. They fail when somebody else has it.
      - Without it nothing is asked.
    type: dict
"""
