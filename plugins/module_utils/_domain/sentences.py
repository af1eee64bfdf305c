# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What many sentences are made of.  Pure."""

from __future__ import annotations

UNTOUCHED = "Nothing was touched."
SHOWN = 6  # hosts named in a sentence before the rest is counted


def listed(hosts: list[str]) -> str:
    """Hosts as a reader wants them: all of a few, and the number of the rest."""
    if len(hosts) <= SHOWN:
        return ", ".join(hosts)
    return f"{', '.join(hosts[:SHOWN])} and {len(hosts) - SHOWN} more"


def failures_sentence(failures: dict[str, str]) -> str:
    """Which hosts failed and why: hosts with the same reason share a clause."""
    by_reason: dict[str, list[str]] = {}
    for host, why in failures.items():
        by_reason.setdefault(str(why).strip().rstrip("."), []).append(host)
    return "; ".join(f"{listed(hosts)}: {why}" for why, hosts in by_reason.items()) + "." if failures else ""


def ended(text: str) -> str:
    """The text as something that more may follow: others' messages, ssh's above all, are of several lines and without a full stop.

    ansible-core 2.19 puts "Task failed:" before them, which says nothing where a failure is told already.
    """
    text = " ".join(text.split()).replace(": Task failed: ", ": ")
    return text if text.endswith((".", ":", "!", "?")) else f"{text}."


def untouched(text: str) -> str:
    """The text with the statement that nothing was touched at its end, and nowhere else: each reason may come with its own."""
    return f"{' '.join(text.replace(UNTOUCHED, '').split())} {UNTOUCHED}"
