# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module says of itself is what it takes."""

from __future__ import annotations

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.zero_downtime.deploy.plugins.action import canary_analysis as action
from ansible_collections.zero_downtime.deploy.plugins.modules import canary_analysis
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.analyse_canary import ARGUMENT_SPEC


def facts(options):
    return {
        name: {
            "type": option["type"],
            "elements": option.get("elements"),
            "default": option.get("default"),
            "choices": option.get("choices"),
            "required": option.get("required", False),
            "options": facts(option.get("suboptions") or option.get("options") or {}),
        }
        for name, option in options.items()
        if name not in ("balancers", "pool")  # a fragment documents those
    }


def test_the_documentation_and_the_options_agree():
    documented = yaml.safe_load(canary_analysis.DOCUMENTATION)["options"]
    assert facts(documented) == facts(ARGUMENT_SPEC)
    for name in ("balancers", "pool"):
        assert documented[name]["required"] is ARGUMENT_SPEC[name].get("required", False) is False


@pytest.mark.parametrize("number", range(3))
def test_the_examples_are_options(number):
    task = yaml.safe_load(canary_analysis.EXAMPLES)[number]
    result = ArgumentSpecValidator(ARGUMENT_SPEC).validate(task["zero_downtime.deploy.canary_analysis"])
    assert not result.error_messages


@pytest.mark.parametrize(
    ("sources", "needs"),
    [
        ([{"balancers": True}], False),
        ([{"prometheus": {"url": "http://prometheus:9090"}}], False),
        ([{"balancers": True}, {"command": ["/usr/local/bin/figures"]}], True),
        ([{"file": "/var/log/figures.jsonl"}], True),
        ([None], False),
    ],
)
def test_privileges_matter_to_commands_and_files(sources, needs):
    door = object.__new__(action.ActionModule)
    assert door.needs_privilege({"metrics": [{"source": source} for source in sources]}) is needs
