# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the events of a journal are called that say more than that a phase was reached."""

from __future__ import annotations

PLANNED = "planned"
PAUSED, APPROVED = "paused", "approved"
STEP_BEGUN, STEP_PASSED, PROMOTED = "canary_step_begun", "canary_step_passed", "canary_promoted"
SWITCH_BEGUN, SWITCHING, SWITCHED_BACK = "switch_begun", "switching", "switched_back"
TO_UNDO = "to_undo"  # the first word of a rollback's journal: the batches of the rollout that it undoes
