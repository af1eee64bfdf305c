# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what each provider can do, from the declarations: ``providers.py [--write|--check]`` for the README."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Provider
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declarations import DECLARED

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- providers: written by scripts/providers.py -->", "<!-- providers: end -->"
COLUMNS = {
    "sticky_drain": "`drained`",
    "in_flight": "in flight",
    "weight_range": "weights",
    "health_readback": "health",
    "fresh_health": "fresh check",
    "cut": "cut",
    "membership": "add, remove",
    "survives_reload": "survives restart",
    "clean_writes": "clean",
    "counters": "counters",
    "served": "what users got",
    "finds_pools": "other pools",
}


def table() -> str:
    """Markdown: a row for each provider, remarks numbered below."""
    notes: list[str] = []
    rows = [["Provider", *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1)]
    rows += [[f"`{provider.name}`", *(_cell(provider, name, notes) for name in COLUMNS)] for provider in DECLARED]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    numbered = [f"{number}. {note[0].upper()}{note[1:]}." for number, note in enumerate(notes, 1)]
    tried = [f"- `{provider.name}` ({provider.title}): {provider.verified}." for provider in DECLARED]
    return "\n".join([*lines, "", *numbered, "", "Tried against:", "", *tried])


def _cell(provider: Provider, name: str, notes: list[str]) -> str:
    value = getattr(provider.capabilities, name)
    said = "{} to {}".format(*value) if isinstance(value, tuple) else "yes" if value else "no"
    remark = provider.remarks.get(name)
    if not remark:
        return said
    if remark not in notes:
        notes.append(remark)
    return f"{said} <sup>{notes.index(remark) + 1}</sup>"


def main() -> int:
    """See the top of this file; exit code 1 when the README is not up to date."""
    strange = {remark for provider in DECLARED for remark in provider.remarks} - {*COLUMNS}
    strange &= {field.name for field in dataclasses.fields(DECLARED[0].capabilities)}
    assert not strange, f"remarks that no column shows: {strange}"
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _old, after = rest.split(END)
    new = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    if "--write" in sys.argv:
        README.write_text(new, encoding="utf-8")
    elif "--check" in sys.argv:
        if new != text:
            print("The table of providers in README.md is not that of the declarations: scripts/providers.py --write")
            return 1
    else:
        print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
