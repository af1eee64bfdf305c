# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view, in which something goes wrong at every call."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.callback import live

DOCUMENTATION = """
name: broken
type: aggregate
short_description: The live view, broken
description: The live view, broken.
"""


class CallbackModule(live.CallbackModule):
    """See above."""

    CALLBACK_NAME = "broken"

    def _show(self, hook, args, kwargs):
        raise RuntimeError(f"broken in {hook}")
