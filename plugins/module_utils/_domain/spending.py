# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sure a look must be before it may raise an alarm.  Pure.

Who tests the same growing data again and again finds a difference in the end, whether there is one or not.  So the
chance of a false alarm is a budget for the whole watch, and a function says how much of it may be gone by which
fraction of the watch (alpha spending: Lan and DeMets, Discrete sequential boundaries for clinical trials, Biometrika
70, 1983, 659-663; in calendar time: the same, Statistics in Medicine 8, 1989, 1191-1198).

The function here spends a tenth of the budget evenly over the watch (Kim and DeMets, Biometrika 74, 1987, 149-154, with
exponent 1), so that a bad release is found within seconds, and keeps the rest for the last look, so that a small change is
found by all the data.  A look's test is made at the level of what the look spends: by the union bound the whole watch
then raises a false alarm at most as often as the budget says, however the looks depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT = 0.9  # the part of a budget that the last look alone may spend


def spent_by(fraction: float, budget: float) -> float:
    """How much of `budget` may be gone when `fraction` of the watch is over: 0 at 0, all of it at 1."""
    return budget if fraction >= 1 else budget * (1 - KEPT) * max(0.0, fraction)


@dataclass
class Budget:
    """The chance of a false alarm that one metric has for one watch.

    :param total: a probability.
    :param spent: what looks have spent of it.
    """

    total: float
    spent: float = 0.0

    def spend(self, fraction: float) -> float:
        """The level at which a look at `fraction` of the watch may test.

        What a look could not spend, since it had no data, the next one may.
        """
        due = max(self.spent, spent_by(fraction, self.total))
        level, self.spent = due - self.spent, due
        return level
