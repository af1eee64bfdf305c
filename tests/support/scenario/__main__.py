# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' playbooks call.

python3 tests/support/scenario release VERSION [FAULT]   build a release
python3 tests/support/scenario runtime BALANCER COMMAND  a command for a balancer's runtime API, as by hand
python3 tests/support/scenario expect-out MEMBER         fail unless it is out of every balancer, nothing in flight
python3 tests/support/scenario look NAME                 keep what the lab is like now, for the tests
python3 tests/support/scenario load NAME REQUESTS [RATE] start the clients: how many at least, how many a second
python3 tests/support/scenario end-load                  end them, if they run
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if not __package__:
    # Run as a directory: make the package importable by its name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scenario.fleet import in_flight, look, pool, runtime
from scenario.load import Load, end_load
from scenario.places import BALANCERS, RUNS
from scenario.releases import build


def expect_out(member: str) -> None:
    """What must hold whenever a host is touched."""
    for balancer in BALANCERS:
        state, busy = pool(balancer)[member]["state"], in_flight(balancer, member)
        if state != "disabled" or busy:
            sys.exit(f"{member} on {balancer} is {state}, with {busy} requests in flight")


def main(words: list[str]) -> None:
    """See above."""
    command, arguments = words[0], words[1:]
    if command == "release":
        print(build(*arguments))
    elif command == "runtime":
        print(runtime(*arguments))
    elif command == "expect-out":
        expect_out(*arguments)
    elif command == "look":
        RUNS.mkdir(parents=True, exist_ok=True)
        (RUNS / f"{arguments[0]}.json").write_text(json.dumps(look(), indent=2))
    elif command == "load":
        Load(RUNS, arguments[0]).start(int(arguments[1]), *map(float, arguments[2:]))
    elif command == "end-load":
        print("ended" if end_load() else "none ran")
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
