# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of this collection's roles, as their argument specifications have them."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.preflight import Kind

ROLES = Path(__file__).parents[2] / "roles"


def kinds() -> dict[str, Kind]:
    """Every variable of every role, by name."""
    found: dict[str, Kind] = {}
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            for name, option in (entry.get("options") or {}).items():
                found[name] = Kind(option.get("type", "str"), option.get("elements", ""), option.get("default"))
    return found
