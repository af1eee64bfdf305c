# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's defaults and its argument_specs say the same."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.zero_downtime.deploy.tests.unit.test_collection.collection import CHECKOUT, ROLES, load


def options(role: str) -> dict[str, dict[str, Any]]:
    """The options of all of a role's entry points."""
    specs = load(CHECKOUT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    found: dict[str, dict[str, Any]] = {}
    for entry in specs.values():
        for name, about in (entry.get("options") or {}).items():
            # A file of another role's variable may ask for it again; the first that gives a default speaks for the role.
            if name not in found or ("default" in about and "default" not in found[name]):
                found[name] = about
    return found


def defaults(role: str) -> dict[str, Any]:
    """What a role's defaults/main.yml sets."""
    path = CHECKOUT / "roles" / role / "defaults" / "main.yml"
    return (load(path) if path.exists() else None) or {}


def computed(value: Any) -> bool:
    """Whether a default is a template, which argument_specs can only describe in words."""
    return "{{" in str(value)


def test_there_are_roles():
    assert ROLES


@pytest.mark.parametrize("role", ROLES)
def test_a_role_says_what_it_takes(role):
    assert (CHECKOUT / "roles" / role / "meta" / "argument_specs.yml").exists()
    specs = load(CHECKOUT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    assert "main" in specs
    for name, entry in specs.items():
        assert entry.get("short_description"), name
    for name, about in options(role).items():
        assert about.get("description"), name
        assert about.get("type"), name


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_an_option_and_the_other_way_round(role):
    said, set_ = options(role), defaults(role)
    assert sorted(set(set_) - set(said)) == [], "set in defaults/main.yml and no option in argument_specs"
    with_default = {name for name, about in said.items() if "default" in about}
    own = {name for name in with_default if name.startswith(f"{role}_")}
    assert sorted(own - set(set_)) == [], "argument_specs promise a default that defaults/main.yml does not set"


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_equal(role):
    said, set_ = options(role), defaults(role)
    different = {
        name: (said[name].get("default", "none"), value)
        for name, value in set_.items()
        if name in said
        if (said[name]["default"] != value if "default" in said[name] else not computed(value))
    }
    assert different == {}, "(argument_specs, defaults/main.yml)"


@pytest.mark.parametrize("role", ROLES)
def test_what_is_required_has_no_default(role):
    said = options(role)
    assert [name for name in defaults(role) if said.get(name, {}).get("required")] == []
    assert [name for name, about in said.items() if about.get("required") and "default" in about] == []


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_the_role_s_prefix(role):
    assert [name for name in defaults(role) if not name.startswith(f"{role}_")] == []
