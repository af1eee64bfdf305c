# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What many sentences are made of."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import sentences


def test_hosts_with_the_same_reason_share_a_clause():
    assert sentences.failures_sentence({"a": "down.", "b": "late", "c": " down"}) == "a, c: down; b: late."
    assert sentences.failures_sentence({}) == ""


def test_a_long_list_is_counted():
    assert sentences.listed([f"h{number}" for number in range(6)]) == "h0, h1, h2, h3, h4, h5"
    assert sentences.listed([f"h{number}" for number in range(40)]) == "h0, h1, h2, h3, h4, h5 and 34 more"
