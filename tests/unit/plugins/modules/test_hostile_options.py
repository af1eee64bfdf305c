# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that nobody would give: every module ends in a result or in words, and touches nothing outside of the place it is given."""

from __future__ import annotations

import copy
import importlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils import _doors
from ansible_collections.zero_downtime.deploy.plugins.module_utils._options import validated
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils.hostile import briefly

# It runs on the controller alone: its module says so, and nothing else.
REPORT = "ansible_collections.zero_downtime.deploy.plugins.plugin_utils.report.write"
PACKAGE = "ansible_collections.zero_downtime.deploy.plugins.modules."
# All but one, which is an action plugin and no more.
MODULES = sorted({path.stem for path in Path(__file__).parents[4].joinpath("plugins", "modules").glob("[a-z]*.py")} - {"rollout_preflight"})

NAMES = [
    "", " ", "m1", "a b", "a\nb", "m1;touch PWNED", "$(touch PWNED)", "`touch PWNED`", "|touch PWNED", "'", '"', "{{ 1 }}",
    # as templates, and out of their place
    "{{ lookup('pipe', 'touch PWNED') }}", "a\0b", "\ud800", "../../x", "..", "/", "-rf", "é\u2028", "\x1b[2J", "x" * 5000, "%s%n",
    "%00", "\\",
    "http://127.0.0.1:9/", "http://127.0.0.1:9/\r\nX: y", "http://a\0b/", "http://" + "a" * 70 + "/", "http://[::1",
    "https://é.invalid:99999/",
    "127.0.0.1:9", "127.0.0.1;x:80", "$.version", "$[", "(", "(?P<a>", "1:1:", "9" * 5000, "50%", "-1%", "1e999",
    "now", "2026-99-99T00:00:00Z",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 255, 70000, 2**31, 10**18, -(10**18), 10**400]
FLOATS = [0.0, -1.0, 0.01, 1e18, 1e308, float("inf"), float("-inf"), float("nan")]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(FLOATS) | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
# A wait that is asked for is no hang: nobody is to wait for long here.
WAITS = {"timeout": 0.02, "interval": 0.01, "delay": 0.0, "lifetime": 0.1, "duration": 0.05}
"""Options of time that are given as they are, or the test would take as long as it says."""


def value_of(draw, name, spec, folder):
    kind, options = spec.get("type", "str"), spec.get("options")
    if name in WAITS or name.endswith(("_timeout", "_wait", "_step", "hold", "notice", "interval")):
        return draw(st.sampled_from([WAITS.get(name, 0.02), WAITS.get(name, 0.02), WAITS.get(name, 0.02), -1, 0]))
    if kind == "path" or name in ("file", "socket", "pid_file", "state_file", "dest"):
        return str(
            folder
            / draw(st.sampled_from(["there", "not-there", "not/there.yml", "empty.yml", "state", "x.prom", "a\0b"]))
        )
    if draw(st.integers(0, 24)) == 0:
        return draw(ANYTHING)
    if spec.get("choices"):
        return draw(st.sampled_from(spec["choices"]))
    if kind == "list":
        element = {**spec, "type": spec.get("elements", "str")}
        return [value_of(draw, name, element, folder) for _each in range(draw(st.integers(0, 2)))]
    if kind == "dict" and options:
        return entry_of(draw, options, folder)
    simple = {
        "bool": st.booleans(),
        "int": st.sampled_from(NUMBERS),
        "float": st.sampled_from(FLOATS),
        "str": st.sampled_from(NAMES),
    }
    return draw(simple.get(kind, ANYTHING))


def entry_of(draw, options, folder):
    given = {}
    for name, spec in sorted(options.items()):
        if spec.get("required") or spec.get("type") == "path" or draw(st.integers(0, 2)) == 0:
            given[name] = value_of(draw, name, spec, folder)
    if "provider" in given and isinstance(given["provider"], str):
        given = fitting(draw, given, options, folder)
    return given


def fitting(draw, given, options, folder):
    """Options that its provider has, most of the time: else no driver is ever reached."""
    registry = importlib.import_module(PACKAGE.replace("modules.", "module_utils._balancers.registry"))
    provider = registry.PROVIDERS.get(given["provider"])
    if provider is None or draw(st.integers(0, 9)) == 0:
        return given
    fits = {
        name: value
        for name, value in given.items()
        if name in ("provider", "name", "names", "timeout", *provider.options)
    }
    for name, option in provider.options.items():
        if option.required:
            fits[name] = value_of(draw, name, options[name], folder)
    for group in provider.one_of:
        chosen = draw(st.sampled_from(group))
        fits = {name: value for name, value in fits.items() if name not in group}
        fits[chosen] = value_of(draw, chosen, options[chosen], folder)
    return {**fits, "timeout": 0.02}


def attempt(call):
    """For whoever hunts: the one place through which all of it goes."""
    return call()


@pytest.mark.parametrize("name", MODULES)
def test_hostile_options_end_in_words(name, tmp_path, monkeypatch):
    module = importlib.import_module(PACKAGE + name if name != "rollout_report" else REPORT)
    folder, outside = tmp_path / "place", tmp_path / "outside"
    for made in (folder, outside):
        made.mkdir()
    monkeypatch.chdir(outside)  # where a relative path would lead

    @briefly
    @given(st.data())
    def try_it(data):
        (folder / "there").touch()
        (folder / "empty.yml").write_text("{}")
        args = entry_of(data.draw, copy.deepcopy(module.ARGUMENT_SPEC), folder)
        params, wrong = validated(module.ARGUMENT_SPEC, args, getattr(module, "CONSTRAINTS", {}))
        if wrong:
            return
        before = threading.active_count()
        result = attempt(lambda: _doors.outcome(module.run, params, data.draw(st.booleans())))
        if result.get("failed"):
            assert len(result["msg"].split()) >= 4
            assert "Traceback" not in result["msg"]
        assert not os.listdir(outside), "something was written outside of its place"
        assert threading.active_count() <= before + 40

    try_it()
