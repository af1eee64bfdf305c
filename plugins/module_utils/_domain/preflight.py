# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a run before anything is contacted: its command line, its hosts' names, its variables. Each answer is sentences."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, Sequence

PREFIXES = ("rollout_", "rolling_", "canary_", "blue_green_", "traffic_", "release_", "rollback_")
COMMAND_LINE = "rollout_hosts"
# By tasks of ours earlier in the same run.
LEFT_BEHIND = frozenset({"traffic_drained", "traffic_returned", "traffic_was_split", "release_result"})
# Of these, each host's own value is used; every other variable has one value for the whole rollout.
PER_HOST = ("rollout_member", "rollout_domain", "rollout_health", "blue_green_color", "blue_green_members")
ROLE_OF_EACH_HOST = "release_"  # runs on each host, with its variables
# What a rollout gives the role `traffic`: the inventory's values are for other playbooks.
GIVEN = tuple(f"traffic_{name}" for name in ("balancers", "pool", "members", "before", "groups", "leave", "restart_unit"))
# The first tag of a step that a rollout has; steps that it lacks have `never`.
STEP = "step"
# Lists that may be text: one entry, several with commas, or JSON.
TEXT_WILL_DO = ("rolling_batches", "rolling_first", "rollout_balancers")
RUNS, LEFT_OUT, REFUSED = "runs", "left out", "refused"
SHOWN = 100  # characters of a value


@dataclass(frozen=True)
class Kind:
    """What a role's argument specification says of a variable."""

    type: str = "str"
    elements: str = ""
    default: Any = None


def tags(own: Iterable[str], run: Iterable[str], skip: Iterable[str]) -> str:
    """What becomes of a playbook of ours under ``--tags`` and ``--skip-tags``.

    :param own: tags that its import was given.
    :return: `RUNS`; `LEFT_OUT` where a tag of its own decides so; `REFUSED` where a part of it would run.
    """
    own, run, skip = {*own} - {"always"}, {*run} or {"all"}, {*skip}
    if own & skip:
        return LEFT_OUT
    if skip & {STEP, "all", "tagged", "untagged", "always", "never"}:
        return REFUSED
    if run == {"all"}:
        return RUNS
    # A tag that selects this playbook also selects its steps that are tagged `never`, which this rollout does not have.
    return LEFT_OUT if own and not own & run and "tagged" not in run else REFUSED


def unknown_variables(names: Iterable[str], known: Iterable[str], accepted: Iterable[str]) -> list[str]:
    """Names with one of our prefixes that no role has, each with the nearest one that there is.

    :param accepted: the user's own names that happen to begin like ours.
    """
    known = {*known, COMMAND_LINE}
    strangers = sorted({name for name in names if name.startswith(PREFIXES)} - known - LEFT_BEHIND - {*accepted})
    return [f"{name} is no variable of this collection.{_nearest(name, known)}" for name in strangers]


def _nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, sorted(known), 1, 0.75)
    return f" Is {found[0]} meant?" if found else " If it is your own, name it in rollout_accepted_variables."


def misshapen(values: Mapping[str, Any], kinds: Mapping[str, Kind]) -> list[str]:
    """Variables that are no list or dictionary where one is needed: a survey and ``-e name=value`` give text.

    :param values: those that were set, by name.
    """
    sentences = []
    for name, value in sorted(values.items()):
        kind = kinds.get(name, Kind())
        fits = isinstance(value, Mapping) if kind.type == "dict" else isinstance(value, (list, tuple))
        if kind.type in ("dict", "list") and not fits and value not in ("", None) and name not in (*TEXT_WILL_DO, *GIVEN):
            needed = "dictionary" if kind.type == "dict" else "list of dictionaries" if kind.elements == "dict" else "list"
            # Not what it says: there may be a password in it.
            given = "text" if isinstance(value, str) else "a number" if isinstance(value, (int, float)) else "of another kind"
            sentences.append(f"{name} is {given}, and must be a {needed}: set it in the inventory, or with -e as JSON.")
    return sentences


def misread_names(hosts: Iterable[str], groups: Iterable[str], found_by: Callable[[str], Sequence[str]]) -> list[str]:
    """Hosts that Ansible does not find by their names, because a play's `hosts` are patterns.

    :param found_by: the hosts that a pattern matches.
    """
    groups = {*groups}
    odd = [name for name in hosts if name in groups or not name.replace("-", "").replace(".", "").replace("_", "").isalnum()]
    lost = [name for name in odd if [*found_by(name)] != [name]]
    if not lost:
        return []
    return [
        f"Ansible reads {', '.join(map(repr, lost))} as a pattern that matches other hosts, or none, because of a blank, a comma, a colon, "
        "a sign of patterns, or a group of that name: give such a host another name in the inventory, and its address as `ansible_host`."
    ]


def controllers_name(name: str) -> list[str]:
    """What is wrong when `localhost` leads to another host of the inventory: what a rollout keeps there would be found nowhere.

    :param name: of the host that Ansible reads as `localhost`.
    """
    if name == "localhost":
        return []
    return [
        f"The inventory has {name} and no localhost, so that Ansible takes the one for the other: add localhost to it, with "
        "`ansible_connection: local`."
    ]


def missing_hosts(wanted: Mapping[str, str], inventory: Iterable[str]) -> list[str]:
    """Hosts that a variable names beside those that are rolled, and that the inventory lacks: Ansible would ask DNS for them.

    :param wanted: what a host is for, and its name.
    """
    known = {*inventory, "localhost", "127.0.0.1", "::1"}
    return [
        f"{what} is {host}, and the inventory has no such host: add it, or correct the name."
        for what, host in wanted.items()
        if host not in known
    ]


def named_hosts(values: Mapping[str, Any]) -> dict[str, str]:
    """Hosts that variables of ours name beside those that are rolled, by what names them."""
    probe, balancers = values.get("rollout_probe"), values.get("rollout_balancers")
    named = {
        "rollout_journal_host": values.get("rollout_journal_host"),
        "`from` of rollout_probe": isinstance(probe, Mapping) and probe.get("from"),
    }
    for entry in balancers if isinstance(balancers, list) else []:
        if isinstance(entry, Mapping):
            named[f"`host` of the balancer {entry.get('name') or entry.get('host')}"] = entry.get("host")
    return {what: str(host) for what, host in named.items() if host}


def differing(values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Variables that must be the same for all hosts of a rollout, and are not.

    :param values: by host, what is set for it, by name.
    """
    sentences = []
    for name in sorted({name for of_host in values.values() for name in of_host if is_shared(name)}):
        first, *others = ((host, of_host.get(name, "not set")) for host, of_host in values.items())
        other = next((pair for pair in others if pair[1] != first[1]), None)
        if other:
            sentences.append(
                f"{name} is {_shown(first[1])} for {first[0]} and {_other(first[1], other[1])} for {other[0]}, and is one for all hosts of "
                "a rollout: give it one value, or roll the hosts in two runs (`--limit`, or another rollout_hosts)."
            )
    return sentences


def is_shared(name: str) -> bool:
    """Whether a variable of ours has one value for all hosts of a rollout."""
    return name.startswith(PREFIXES) and name not in (*PER_HOST, *LEFT_BEHIND, *GIVEN) and not name.startswith(ROLE_OF_EACH_HOST)


def _other(first: Any, value: Any) -> str:
    return _shown(value) if _shown(value) != _shown(first) else "another one"


def _shown(value: Any) -> str:
    """A value in a sentence; of what may hold a password, only the names in it."""
    if isinstance(value, Mapping):
        value = f"a dictionary of {', '.join(map(str, value)) or 'nothing'}"
    elif isinstance(value, (list, tuple)):
        entries = [entry.get("name") or entry.get("host") or "…" if isinstance(entry, Mapping) else entry for entry in value]
        value = f"[{', '.join(map(str, entries))}]"
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
