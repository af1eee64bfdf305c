# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that every module which talks to balancers shares, written from the providers' declarations."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Option, Provider
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import (
    COMMON,
    PROVIDERS,
    documented,
)


def _common(option: Option) -> dict[str, Any]:
    about: dict[str, Any] = {"description": option.sentences, "type": option.type}
    if option.elements:
        about["elements"] = option.elements
    return about if option.default is None else {**about, "default": option.default}


def _own(having: list[tuple[Provider, Option]]) -> dict[str, Any]:
    """One option of one or several providers."""
    first = having[0][1]
    lines = []
    for provider, option in having:
        one, *more = option.sentences
        needed = (
            " Required." if option.required else "" if option.default is None else f" Defaults to V({option.default})."
        )
        lines += [f"For O(balancers[].provider={provider.name}). {one}{needed}", *more]
    about: dict[str, Any] = {"description": lines, "type": first.type}
    for key, value in (("elements", first.elements), ("choices", list(first.choices))):
        if value:
            about[key] = value
    return about


OPTIONS = {
    "balancers": {
        "description": [
            "The balancers in front of the service. All of them are one operation, contacted side by side."
        ],
        "type": "list",
        "elements": "dict",
        "required": True,
        "suboptions": {
            **{name: _common(option) for name, option in COMMON.items()},
            "provider": {
                "description": ["The kind of balancer."]
                + [
                    f"V({provider.name}) is {provider.title}, tried against {provider.verified}."
                    for provider in PROVIDERS.values()
                ],
                "type": "str",
                "required": True,
                "choices": sorted(PROVIDERS),
            },
            **{name: _own(having) for name, having in documented().items()},
        },
    },
    "pool": {
        "description": [
            "The pool, which balancers call backend, upstream, balancer, cluster, service or handler, or a list of several.",
            "A server that is a member of several pools is taken out of all of them as one operation.",
            "Required unless every entry of O(balancers) has its own O(balancers[].pool).",
        ],
        "type": "list",
        "elements": "str",
    },
}


class ModuleDocFragment:
    """Read by ansible-doc."""

    DOCUMENTATION: str


# JSON is YAML. Set here, because checkers take what a class body assigns for YAML written out.
ModuleDocFragment.DOCUMENTATION = json.dumps({"options": OPTIONS})
