# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which releases are on a host, which one runs, and what a crashed run left."""

from __future__ import annotations

import os
from typing import Any, Dict

from .._clock import Clock
from .._domain.errors import InvalidInput, Refused
from .._release.decide import settle
from .._release.layout import Layout

ARGUMENT_SPEC: Dict[str, Any] = {"path": {"type": "path", "required": True}}


def run(params: Dict[str, Any], check_mode: bool, clock: Clock) -> Dict[str, Any]:
    """Read the layout at the option ``path``; a path that is not there holds nothing.

    :returns: ``path``, ``exists``, ``current``, ``previous``, ``releases`` (oldest first), ``incomplete``,
        ``interrupted``.
    :raises Refused: when it is something else than a release layout, or may not be read.
    """
    if not os.path.isabs(params["path"]):
        raise InvalidInput("The path {0!r} is not absolute.".format(params["path"]))
    layout = Layout(params["path"])
    try:
        found = layout.read()
        state = settle(found)
        return {
            "changed": False,
            "path": layout.path,
            "exists": state.exists,
            "current": state.current,
            "previous": state.previous,
            "releases": [_described(layout, version) for version in state.releases],
            "incomplete": sorted(
                [os.path.join(layout.path, name) for name in state.leftovers]
                + [layout.release(version) for version in state.unknown]
            ),
            "interrupted": found.interrupted is not None,
        }
    except OSError as error:
        raise Refused(
            "{0}: {1}. Nothing was touched. Run the task as a user who may read it (become).".format(
                error.filename or layout.path, error.strerror or error
            )
        )


def _described(layout: Layout, version: str) -> Dict[str, Any]:
    record = layout.record(version) or {}
    source = record.get("source") or {}
    sha256 = (record.get("checksums") or {}).get("sha256")
    return {
        "version": version,
        "path": layout.release(version),
        "checksum": "sha256:{0}".format(sha256) if sha256 else None,
        "source_kind": source.get("kind"),
        "source_name": source.get("name"),
        "unpacked_at": record.get("unpacked_at"),
    }
