# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancers that a task names: from what a user writes to drivers."""

from __future__ import annotations

import re
from typing import Any

from .._domain.errors import InvalidInput
from .._options import validated
from .base import Balancer
from .declaration import Option, Provider
from .declarations import DECLARED
from .named import Named

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in DECLARED}

COMMON: dict[str, Option] = {
    "name": Option(
        (
            "What the balancer is called in results, messages and journals.",
            "Defaults to O(balancers[].host), else to its address, URL, socket or file.",
        )
    ),
    "host": Option(
        (
            "The inventory host on which the balancer's socket or files are. The module is run there.",
            "Without it the balancer is talked to from where the task runs.",
        )
    ),
    "pool": Option(
        (
            "The pool on this balancer, or a list of several, where it is another than the task's O(pool).",
            "For several pools with different member names, write one entry for each, with its own O(balancers[].names).",
        ),
        type="list",
        elements="str",
    ),
    "names": Option(
        (
            "What this balancer calls the members, by the names that the tasks use. Members that are not in it keep their names.",
            "For balancers that know members by address alone, and for a service behind balancers of several kinds.",
        ),
        type="dict",
    ),
    "timeout": Option("Seconds for one exchange with the balancer.", type="float", default=5.0),
}
"""What every entry of `balancers` may have."""

# What an entry is called by, best first, when it has no name.
CALLED_BY = ("name", "host", "address", "url", "socket", "file")


def documented() -> dict[str, list[tuple[Provider, Option]]]:
    """The providers' own options by name, each with those that have it."""
    options: dict[str, list[tuple[Provider, Option]]] = {}
    for provider in DECLARED:
        for name, option in provider.options.items():
            options.setdefault(name, []).append((provider, option))
    return options


def _spec(option: Option) -> dict[str, Any]:
    spec: dict[str, Any] = {"type": option.type}
    for key, value in (("elements", option.elements), ("choices", list(option.choices)), ("no_log", option.secret)):
        if value:
            spec[key] = value
    return spec


BALANCER_OPTIONS: dict[str, Any] = {
    **{name: _spec(option) for name, option in COMMON.items()},
    "timeout": {"type": "float", "default": COMMON["timeout"].default},
    "provider": {"type": "str", "required": True, "choices": sorted(PROVIDERS)},
    # Defaults of these are a provider's own, see `open_balancer`.
    **{name: _spec(having[0][1]) for name, having in documented().items()},
}
"""One entry of the option `balancers`, as argument specification."""


POOL_OPTION: dict[str, Any] = {"type": "list", "elements": "str"}
"""The option `pool` of a task, which an entry of `balancers` may have as well."""


def balancer_name(entry: dict[str, Any]) -> str:
    """What a balancer is called in results, messages and the journal."""
    return str(next((entry[key] for key in CALLED_BY if entry.get(key)), "balancer"))


def by_pool(entries: list[dict[str, Any]], pools: list[str] | None) -> list[dict[str, Any]]:
    """Return one entry for each pool on each balancer, every one with a `name` of its own and a `pool` of one.

    A balancer with one pool keeps its name; with several, each is called ``NAME/POOL``.

    :param pools: the task's option `pool`, for entries without their own.
    :raises InvalidInput: an entry has no pool, or two could not be told apart in results and journals.
    """
    if not entries:
        raise InvalidInput("`balancers` is empty: name at least one. Nothing was touched.")
    single = [
        {**entry, "name": balancer_name(entry), "pool": [pool]}
        for entry in entries
        for pool in dict.fromkeys(entry.get("pool") or pools or [""])
    ]
    without = sorted({entry["name"] for entry in single if not entry["pool"][0]})
    if without:
        raise InvalidInput(f"Balancer {', '.join(without)} has no `pool`, and the task has none. Nothing was touched.")
    names = [entry["name"] for entry in single]
    for entry in single:
        if names.count(entry["name"]) > 1:
            entry["name"] = f"{entry['name']}/{entry['pool'][0]}"
    names = [entry["name"] for entry in single]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(
            f"Several balancers are called {', '.join(twice)}: give each a `name` of its own. Nothing was touched."
        )
    return single


def open_balancer(entry: dict[str, Any]) -> Balancer:
    """The driver for one entry of `balancers`.

    :raises InvalidInput: for options that its provider does not have, or lacks.
    """
    name, provider = balancer_name(entry), PROVIDERS[entry["provider"]]
    wrong = _wrong(provider, entry)
    if wrong:
        raise InvalidInput(f"Balancer {name}: {'; '.join(wrong)}. Nothing was touched.")
    options = {option: entry.get(option) for option in provider.options}
    for option, declared in provider.options.items():
        if options[option] is None:
            options[option] = declared.default
    driver: Balancer = provider.driver()(name, provider.capabilities, {**options, "timeout": entry.get("timeout", 5.0)})
    return Named(driver, entry["names"]) if entry.get("names") else driver


def too_old(provider: str, version: str) -> str:
    """Return the sentence that refuses a balancer's version; empty where it is recent enough or not known."""
    declared = PROVIDERS.get(provider)
    found = re.match(r"[0-9]+(\.[0-9]+)*", version.lstrip("v"))
    if declared is None or not declared.minimum or not found:
        return ""

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(".")]

    if numbers(found.group()) >= numbers(declared.minimum):
        return ""
    return f"{declared.title} {declared.minimum} or later is required; this is {version}."


def problems(entries: Any) -> list[str]:
    """What is wrong with the entries of `balancers`, as far as it can be told without asking any of them: sentences."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return ["The balancers are to be a list of dictionaries, each with a `provider`."]
    sentences = []
    for entry in entries:
        params, wrong = validated(BALANCER_OPTIONS, entry)
        wrong = wrong or _wrong(PROVIDERS[entry["provider"]], params)
        if wrong:
            sentences.append(f"Balancer {balancer_name(entry)}: {'; '.join(wrong)}.")
    return sentences


def open_nested(name: str, entry: dict[str, Any]) -> Balancer:
    """The driver for an entry within an entry, whose types nobody has checked yet.

    :param name: of the balancer that it belongs to.
    """
    params, wrong = validated(BALANCER_OPTIONS, entry)
    if wrong or entry.get("host") or entry.get("pool"):
        wrong = wrong or ["it is reached from where the task runs and asked for the same pool, so it has no `host` and no `pool`"]
        raise InvalidInput(f"Balancer {name}: `seen_by`: {'; '.join(wrong)}. Nothing was touched.")
    return open_balancer(params)


def _wrong(provider: Provider, entry: dict[str, Any]) -> list[str]:
    """What does not fit the provider, in parts of a sentence."""
    wrong = []
    given = {option for option, value in entry.items() if value is not None}
    strange = sorted(given.difference(provider.options, COMMON, ["provider"]))
    if strange:
        has = ", ".join(sorted(provider.options)) or "none"
        wrong.append(f"provider {provider.name} has no `{'`, `'.join(strange)}` (its own options are: {has})")
    missing = [option for option, declared in provider.options.items() if declared.required and option not in given]
    if missing:
        wrong.append(f"provider {provider.name} needs `{'`, `'.join(missing)}`")
    for group in provider.one_of:
        if len(given.intersection(group)) != 1:
            wrong.append(f"provider {provider.name} takes exactly one of `{'`, `'.join(group)}`")
    for option in sorted(given.intersection(provider.options)):
        if entry[option] == "":
            wrong.append(f"`{option}` is empty")
    timeout = entry.get("timeout", 5.0)
    if not timeout > 0:
        wrong.append(f"`timeout` is {timeout:g} s and must be more than 0")
    return wrong
