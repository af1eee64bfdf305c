# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.redaction import Redactor, mask_url

BASIC = base64.b64encode(b"me:top-secret").decode()


@pytest.mark.parametrize(
    "header, echoed",
    [
        ("Bearer token-of-ours", "Bearer token-of-ours"),
        ("Bearer token-of-ours", "you sent token-of-ours"),
        (f"Basic {BASIC}", BASIC),
        (f"Basic {BASIC}", "user me:top-secret"),
        (f"Basic {BASIC}", "password top-secret"),
        ("session=abcdef; other=ghijkl", "other is ghijkl"),
    ],
)
def test_an_echo_of_a_header_is_masked(header, echoed):
    shown = Redactor({"Authorization": header}).snippet(echoed)
    assert "***" in shown
    for secret in ("token-of-ours", BASIC, "top-secret", "ghijkl"):
        assert secret not in shown


def test_the_urls_user_and_query_are_masked():
    redactor = Redactor({}, "http://me:top-secret@host/path?token=a%20secret&x")
    assert redactor.text(f"top-secret {BASIC} a%20secret 'a secret'") == "*** *** *** '***'"


def test_a_header_that_names_the_target_is_not_a_secret():
    assert Redactor({"Host": "shop.example.org"}).text("no shop.example.org here") == "no shop.example.org here"


def test_a_version_in_the_query_stays_readable():
    redactor = Redactor({"X-Token": "secret"}, "http://host/?version=1.4.2")
    assert redactor.value("1.4.2") == "1.4.2"
    assert redactor.value("1.4.2-secret") == "1.4.2-***"


@pytest.mark.parametrize(
    "url, shown",
    [
        ("https://host:8443/a", "https://host:8443/a"),
        ("https://me:pw@host:8443/a?token=b#c", "https://***@host:8443/a?***"),
        ("http://[::1", "***"),
    ],
)
def test_mask_url(url, shown):
    assert mask_url(url) == shown


@given(st.text())
def test_a_snippet_is_short_and_printable(text):
    snippet = Redactor().snippet(text)
    assert snippet.isprintable() and len(snippet) <= 85


def test_half_a_secret_at_the_end_of_a_snippet_is_masked_too():
    assert "secr" not in Redactor({"X-Token": "secret-token"}).snippet("x" * 76 + "secret-token")
