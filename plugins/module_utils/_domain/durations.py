# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lengths of time as people write them.  Pure."""

from __future__ import annotations

import re
from typing import Any

from .errors import InvalidInput

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(asked: Any, option: str) -> float:
    """Seconds: a number, or a number with its unit (``90``, ``"90s"``, ``"2m"``, ``"1.5h"``).

    :param option: what is being read, for the message.
    :raises InvalidInput: for anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(asked))
    if not match or isinstance(asked, bool):
        raise InvalidInput(f"{option} is a length of time such as 90 (seconds), '90s', '2m' or '1h', not {asked!r}.")
    return float(match.group(1)) * UNITS[match.group(2)]


def told(length: float) -> str:
    """Seconds as a reader wants them: ``45 s``, ``2 min``, ``1 h 30 min``."""
    if length < 120:
        return f"{length:g} s" if length == int(length) else f"{length:.1f} s"
    hours, minutes = divmod(round(length / 60), 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes))
