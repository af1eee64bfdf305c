# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let a host fail, or pass, its balancer's health check."""

from __future__ import annotations

from typing import Any

from .._balancers.switch import IN, OUT, set_switch
from .._clock import Clock
from .fence import LEASE_OPTION, Fence

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": [IN, OUT]},
    "file": {"type": "path"},
    "take_out": {"type": "list", "elements": "str"},
    "bring_back": {"type": "list", "elements": "str"},
    "is_out": {"type": "list", "elements": "str"},
    "url": {"type": "str"},
    "timeout": {"type": "float", "default": 5.0},
    **LEASE_OPTION,
}
CONSTRAINTS: dict[str, Any] = {
    "required_one_of": [("file", "take_out", "url")],
    "mutually_exclusive": [("file", "take_out", "url")],
    "required_together": [("take_out", "bring_back", "is_out")],
}


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """See :func:`set_switch`."""
    if params["state"] is not None and not check_mode:
        Fence(params.get("lease"), clock).check("The switch of this member")
    return set_switch(params, check_mode)
