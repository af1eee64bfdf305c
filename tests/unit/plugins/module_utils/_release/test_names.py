# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users may call things."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.names import (
    parse_checksum,
    valid_shared,
    valid_version,
)


@pytest.mark.parametrize(
    "version", ["1.4.2", "v1", "2024-01-31T10_00", "1.0.0-rc.1+build5", "1~beta", "_", "a" * 200]
)
def test_a_version_names_a_directory(version):
    assert valid_version(version) == version


@pytest.mark.parametrize("version", ["", "a/b", "..", ".", ".hidden", "-rf", "a b", "a\n", "1\0", "a" * 201, "é", "a:b"])
def test_what_cannot_name_a_directory_is_refused(version):
    with pytest.raises(InvalidInput, match="cannot name a directory"):
        valid_version(version)


def test_a_checksum_is_read():
    assert str(parse_checksum(" SHA256:" + "AB" * 32)) == "sha256:" + "ab" * 32


@pytest.mark.parametrize("text", ["ab" * 32, "sha256:abc", "md4:" + "0" * 32, "sha256:" + "zz" * 32, "sha256:", ""])
def test_what_is_no_checksum_is_refused(text):
    with pytest.raises(InvalidInput, match="is none"):
        parse_checksum(text)


def test_shared_paths_are_made_plain():
    assert valid_shared(["log/", "./a//b", "log"]) == ["log", "a/b"]


@pytest.mark.parametrize("paths", [["/etc"], ["../x"], ["a/../../x"], [""], ["."], ["a", "a/b"], ["a/b", "a"]])
def test_shared_paths_outside_or_inside_another_are_refused(paths):
    with pytest.raises(InvalidInput, match="shared path"):
        valid_shared(paths)
