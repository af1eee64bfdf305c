# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time zones by name, from the system's database or the package tzdata."""

from __future__ import annotations

from datetime import timezone, tzinfo


def zone(name: str) -> tzinfo:
    """The time zone of that name.

    :raises ValueError: there is none, or this Python cannot know; the message is a clause.
    """
    if name == "UTC":
        return timezone.utc
    try:
        from zoneinfo import ZoneInfo  # novm: where it is missing, this says so
    except ImportError:
        raise ValueError("`timezone` %s needs Python 3.9 or later where the task runs; UTC does not" % name) from None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            "`timezone` is '%s', which is not in the time zone database here (names are such as Europe/Berlin, and the "
            "database is the system's tzdata or the Python package of that name)" % name
        ) from None
