# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a scenario: printed, and kept in build/molecule/SCENARIO.json by version of ansible-core."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from .places import OUT, SCENARIO

COUNTED = ("requests", "failed", "cut_by_death", "latency_ms")

_figures: dict[str, dict[str, Any]] = {}


def keep(case: str, report: dict[str, Any], **more: Any) -> None:
    """Keep what the clients saw in a case, and `more`."""
    _figures[case] = {
        "requests": report["requests"],
        "failed": report["failed"],
        "cut_by_death": report["cut_by_death"],
        "latency_ms": report["latency_ms"],
        **more,
    }


def lines() -> list[str]:
    """The figures for a reader, one line a case."""
    return [f"[figures] {SCENARIO} {case}: {_told(figures)}" for case, figures in _figures.items()]


def write() -> None:
    """Write the figures; those of other versions of ansible-core stay."""
    if not _figures:
        return
    path = OUT / f"{SCENARIO}.json"
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    known[version("ansible-core")] = _figures
    path.write_text(json.dumps(known, indent=2) + "\n")


def _told(figures: dict[str, Any]) -> str:
    parts = [f"{figures['requests']} requests, {figures['failed']} failed"]
    if figures["cut_by_death"]:
        parts.append(f"{figures['cut_by_death']} cut by the death itself")
    parts.append(f"p99 {figures['latency_ms']['p99']:.0f} ms")
    parts += [f"{name.replace('_', ' ')} {value}" for name, value in figures.items() if name not in COUNTED]
    return ", ".join(parts)
