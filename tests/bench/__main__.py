# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what a rolling deployment costs, ours and the usual one. scripts/bench starts it; see docs/performance.md.

Sections: six, sixty (against the usual playbook, in the lab), fleet (10, 100 and 1,000 hosts), tuning (settings), probe
(what the probe costs the clients), queries (other pools, former workers, timing). All by default.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
from importlib.metadata import version

import comparison
import figures
import fleet
import plots
import probing
import queries
import tuning
from places import CHECKOUT, OUT


def main() -> None:
    """Run sections, print and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = ("six", "sixty", "fleet", "tuning", "probe", "queries")
    parser.add_argument("section", nargs="*", help=f"{', '.join(sections)} (all)")
    parser.add_argument("--rounds", type=int, default=3, help="of each comparison (3)")
    parser.add_argument("--publish", action="store_true", help="draw the plots into docs/performance too")
    args = parser.parse_args()
    if unknown := set(args.section).difference(sections):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(sections)}")
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(figures.DEFINITIONS, flush=True)
    for section in args.section or sections:
        told = {"python": platform.python_version(), "ansible-core": version("ansible-core")}
        if section in ("six", "sixty"):
            print(f"\n{section}", flush=True)
            told |= getattr(comparison, section)(args.rounds)
            print("\n".join(figures.lines(section, told)), flush=True)
        elif section == "fleet":
            print("\nfleet", flush=True)
            told["sizes"] = fleet.measure()
        elif section == "probe":
            print("\nprobe", flush=True)
            told |= probing.measure(args.rounds)
            print("\n".join(probing.lines(told)), flush=True)
        elif section == "queries":
            print("\nqueries", flush=True)
            told |= queries.measure(10 * args.rounds)
            print("\n".join(queries.lines(told)), flush=True)
        else:
            print("\ntuning", flush=True)
            told["settings"] = tuning.measure()
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{section}.json").write_text(json.dumps(told, indent=2) + "\n")
        if section == "fleet":
            plots.draw(OUT / "fleet.json", OUT)
            if args.publish:
                plots.draw(OUT / "fleet.json", CHECKOUT / "docs" / "performance")


main()
