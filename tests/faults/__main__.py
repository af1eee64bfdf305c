# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault campaign: whatever breaks, at every step, under load; and afterwards the same command or `rollback` puts it right.

scripts/faults starts it. It prints a line for each case and a table, and writes build/faults/*.json.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import time
from pathlib import Path

if not __package__:
    # Run as a directory: make the package importable by its name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from faults import places
from faults.campaign import Campaign
from faults.cases import STRATEGIES, Case, catalogue, choose, parse
from faults.table import line, table


def part(text: str) -> tuple[int, int]:
    """`2/3` as two numbers.

    :raises ValueError: it is no such thing.
    """
    one, of_all = map(int, text.split("/"))
    if not 1 <= one <= of_all:
        raise ValueError(text)
    return one, of_all


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="decides on everything that is chance (one of its own)")
    parser.add_argument("--cases", default="40", help="how many, or `all` (40)")
    parser.add_argument("--part", type=part, default=(1, 1), metavar="K/N", help="the K-th of N parts of them: several at once")
    parser.add_argument("--strategy", action="append", choices=STRATEGIES, help="of this strategy only; may be given again")
    parser.add_argument("--fault", action="append", help="of faults whose name begins so; may be given again")
    parser.add_argument("--case", action="append", help="this one, by its name; may be given again")
    args = parser.parse_args()
    if args.cases != "all" and not args.cases.isdigit():
        parser.error(f"--cases is a number or `all`, not {args.cases!r}")
    try:
        args.named = [parse(name) for name in args.case or ()]
    except ValueError as error:
        parser.error(str(error))
    return args


def chosen(campaign: Campaign, args: argparse.Namespace, seed: int) -> list[Case]:
    """The cases that the command line asks for."""
    if args.named:
        return args.named
    steps = {strategy: len(campaign.steps(strategy)) for strategy in args.strategy or STRATEGIES}
    cases = catalogue(steps, seed)
    if args.fault:
        cases = [case for case in cases if case.fault.startswith(tuple(args.fault))]
    one, of_all = args.part
    return choose(cases, seed, None if args.cases == "all" else int(args.cases))[one - 1 :: of_all]


def main() -> int:
    """Exit code 0: everything was as it must be."""
    args = arguments()
    seed = random.randrange(10**6) if args.seed is None else args.seed
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background deaf to it
    work = places.OUT / time.strftime("%Y%m%d-%H%M%S")
    work.mkdir(parents=True)
    told = []
    campaign = Campaign(work)
    print(f"Seed {seed}. Logs are in {work}.", flush=True)
    try:
        campaign.begin()
        cases = chosen(campaign, args, seed)
        print(f"{len(cases)} cases.", flush=True)
        for case in cases:
            told.append(campaign.run(case))
            print(line(told[-1]), flush=True)
    except KeyboardInterrupt:
        print("Interrupted; what was started is ended.", flush=True)
    finally:
        campaign.close()
        shutil.rmtree(work / "ground", ignore_errors=True)
        record = {"seed": seed, "cases": told}
        (places.OUT / f"{work.name}.json").write_text(json.dumps(record, indent=2) + "\n")
    if told:
        print(f"\n{table(told)}\nSeed {seed}; {places.OUT / work.name}.json")
    return any(case["violations"] for case in told) or not told


if __name__ == "__main__":
    sys.exit(main())
