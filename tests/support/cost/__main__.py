# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m cost FILE``: tables of the processor time of tests, by directory and by file."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path, PurePath
from typing import Callable


def table(tests: list[dict], key: Callable[[PurePath], str]) -> list[str]:
    """Lines of processor seconds, share, seconds, number of tests and name, highest processor time first."""
    groups: dict[str, list[dict]] = defaultdict(list)
    for test in tests:
        groups[key(PurePath(test["test"].partition("::")[0]))].append(test)
    spent = {name: sum(test["cpu"] for test in group) for name, group in groups.items()}
    total = sum(spent.values()) or 1.0
    return [
        f"{spent[name]:>8.0f} {spent[name] / total:>6.1%} {sum(test['wall'] for test in groups[name]):>8.0f} {len(groups[name]):>6}  {name}"
        for name in sorted(spent, key=lambda name: -spent[name])
    ]


def main(file: str) -> None:
    """Print both tables."""
    tests = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
    head = f"{'CPU s':>8} {'share':>6} {'seconds':>8} {'tests':>6}"
    print(f"{head}  directory", *table(tests, lambda path: str(path.parent)), sep="\n")
    print(f"\n{head}  file", *table(tests, str), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1])
