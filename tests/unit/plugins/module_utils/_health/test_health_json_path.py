# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.json_path import find, parse

DOCUMENT = {"version": "1.4", "a": [{"b": 1}, {"b": None}], "a key": {"x.y": True}, "with'quote": 1}


@pytest.mark.parametrize(
    "path, expected",
    [
        ("$", DOCUMENT),
        ("$.version", "1.4"),
        ("$.a[0].b", 1),
        ("$.a[-1].b", None),
        ("$['a key'][\"x.y\"]", True),
        ('$["with\'quote"]', 1),
    ],
)
def test_finds(path, expected):
    assert find(DOCUMENT, parse(path)) == (True, expected)


@pytest.mark.parametrize("path", ["$.none", "$.a[2]", "$.a[-3]", "$.version.x", "$.version[0]", "$.a.b", "$[0]"])
def test_leads_nowhere(path):
    assert find(DOCUMENT, parse(path)) == (False, None)


@pytest.mark.parametrize("path", ["", "version", ".version", "$version", "$.", "$..a", "$.*", "$[*]", "$.a[b]", "$.a["])
def test_no_path(path):
    with pytest.raises(ValueError, match=r"\$"):
        parse(path)


@given(st.lists(st.one_of(st.integers(0, 9), st.text("abc.-_ [*", min_size=1)), max_size=5))
def test_every_key_can_be_written(steps):
    document = "found"
    for step in reversed(steps):
        document = {step: document} if isinstance(step, str) else [None] * step + [document]
    path = "$" + "".join(f"['{step}']" if isinstance(step, str) else f"[{step}]" for step in steps)
    assert find(document, parse(path)) == (True, "found")
