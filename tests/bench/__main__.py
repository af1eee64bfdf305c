# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what a rolling deployment costs, ours and the usual one. scripts/bench starts it; see docs/performance.md.

Sections: six, sixty (against the usual playbook, in the lab), fleet (10, 100 and 1,000 hosts), tuning (settings). All by default.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version

import comparison
import figures
from places import OUT


def main() -> None:
    """Run sections, print and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = ("six", "sixty")
    parser.add_argument("section", nargs="*", choices=[*sections, []], default=sections)
    parser.add_argument("--rounds", type=int, default=3, help="of each comparison (3)")
    args = parser.parse_args()
    print(figures.DEFINITIONS, flush=True)
    for section in args.section or sections:
        told = {"python": platform.python_version(), "ansible-core": version("ansible-core")}
        if section in ("six", "sixty"):
            print(f"\n{section}", flush=True)
            told |= getattr(comparison, section)(args.rounds)
            print("\n".join(figures.lines(section, told)), flush=True)
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{section}.json").write_text(json.dumps(told, indent=2) + "\n")


main()
