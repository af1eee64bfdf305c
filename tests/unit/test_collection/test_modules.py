# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module is registered, documented, tested and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.zero_downtime.deploy.tests.unit.test_collection.collection import (
    ACTIONS,
    CHECKOUT,
    FQCN,
    MODULES,
    PLUGINS,
    constants,
    imports,
    load,
    tasks,
)

UNIT = CHECKOUT / "tests" / "unit" / "plugins"


def test_there_are_modules():
    assert MODULES


def test_the_action_group_names_every_module():
    group = load(CHECKOUT / "meta" / "runtime.yml")["action_groups"]["all"]
    assert sorted(name.removeprefix(FQCN) for name in group) == MODULES


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_plugin_is_a_module_s_second_door(name):
    assert name in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_documented(name):
    said = constants(PLUGINS / "modules" / f"{name}.py")
    documentation = yaml.safe_load(said["DOCUMENTATION"])
    assert documentation["module"] == name
    assert documentation["version_added"]
    assert documentation["author"]
    for attribute in ("check_mode", "diff_mode"):
        assert documentation["attributes"][attribute]["support"] in ("full", "partial", "none"), attribute
    assert documentation["attributes"]["check_mode"]["support"] == "full", "check mode is supported everywhere"
    for option, about in (documentation.get("options") or {}).items():
        assert about.get("description"), option
    assert yaml.safe_load(said["RETURN"])


@pytest.mark.parametrize("name", MODULES)
def test_its_examples_show_it_by_its_full_name(name):
    examples = yaml.safe_load(constants(PLUGINS / "modules" / f"{name}.py")["EXAMPLES"])
    used = {key for task in tasks(examples) for key in task}
    assert FQCN + name in used
    assert not used & set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_a_unit_test(name):
    """Of itself, of its action plugin, or of the use case to which it is a door."""
    candidates = [UNIT / kind / f"test_{name}.py" for kind in ("modules", "action")]
    for imported in imports(PLUGINS / "modules" / f"{name}.py"):
        use_case = re.search(r"\._use_cases\.(\w+)", imported)
        if use_case:
            candidates.append(UNIT / "module_utils" / "_use_cases" / f"test_{use_case.group(1)}.py")
    assert any(path.exists() for path in candidates), (
        f"none of {[str(path.relative_to(CHECKOUT)) for path in candidates]}"
    )


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_run_by_something_real(name):
    """By a role, a playbook, an integration test or a scenario."""

    def names_it(path: Path) -> bool:
        return re.search(rf"\b{re.escape(FQCN + name)}\b", path.read_text(encoding="utf-8")) is not None

    places = [CHECKOUT / place for place in ("roles", "playbooks", "molecule", "tests/integration")]
    files = [path for place in places for suffix in ("yml", "py") for path in place.rglob(f"*.{suffix}")]
    assert any(names_it(path) for path in files)
