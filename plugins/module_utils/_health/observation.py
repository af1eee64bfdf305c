# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one attempt at one target saw, before anybody judges it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict

HTTP = "http"
TCP = "tcp"
COMMAND = "command"


@dataclass(frozen=True)
class Observation:
    """One complete answer, or why there was none.

    :param kind: :data:`HTTP`, :data:`TCP` or :data:`COMMAND`.
    :param took: seconds.
    :param failure: why there was no complete answer, as a sentence; the rest is empty then.
    :param status: the HTTP status.
    :param rc: the command's exit code.
    :param headers: the answer's headers, names in lower case, repeated ones joined by ``", "``.
    :param text: the body, or what the command wrote to its standard output; no more than ``KEPT`` bytes of it.
    :param cut: whether `text` is only the beginning.
    :param aside: what the command wrote to its standard error.
    """

    kind: str
    took: float
    failure: str | None = None
    status: int | None = None
    rc: int | None = None
    headers: Dict[str, str] = field(default_factory=dict)
    text: str = ""
    cut: bool = False
    aside: str = ""


# Bytes of an answer that are kept. What follows is read (a truncated answer must be noticed) and dropped.
KEPT = 1024 * 1024


def seconds(value: float) -> str:
    """A duration for people: ``12 ms``, ``1.5 s``."""
    if value < 0.001:
        return "<1 ms"
    if value < 0.9995:
        return "%d ms" % round(value * 1000)
    return "%.3g s" % value if value < 100 else "%d s" % round(value)
