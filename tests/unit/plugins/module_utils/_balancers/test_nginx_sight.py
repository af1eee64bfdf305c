# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process reads a file that is replaced by rename; this process stands in for NGINX."""

from __future__ import annotations

import os

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import nginx_sight
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.nginx_sight import place


@pytest.fixture
def shop(tmp_path):
    """The file, below a directory as Debian has it."""
    (tmp_path / "available").mkdir()
    (tmp_path / "enabled").mkdir()
    file = tmp_path / "available" / "shop.conf"
    file.write_text("x", encoding="utf-8")
    return file


def seen(file, *paths):
    return place(os.getpid(), str(file), [str(path) for path in paths])


def test_the_same_path(shop):
    assert seen(shop, "/nothing", shop) == (str(shop), "")


@pytest.mark.parametrize("root", [None, ""])
def test_a_link_to_it_and_a_link_to_its_directory(shop, tmp_path, root, monkeypatch):
    if root is not None:
        monkeypatch.setattr(nginx_sight, "_root", lambda pid: root)  # what a user sees who may not look there
    link = tmp_path / "enabled" / "shop"
    link.symlink_to(shop)
    assert seen(shop, link) == (str(link), "")
    (tmp_path / "relative").symlink_to("enabled")
    through = tmp_path / "relative" / ".." / "relative" / "shop"
    assert seen(shop, through) == (str(through), "")


def test_a_link_that_leads_in_circles(shop, tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert seen(shop, tmp_path / "a", shop) == (str(shop), "")


def test_a_copy(shop, tmp_path):
    copy = tmp_path / "enabled" / "shop.conf"
    copy.write_text("x", encoding="utf-8")
    path, problem = seen(shop, copy, *(f"/x{number}" for number in range(9)))
    assert path == "" and f"does not read {shop}. It reads: {copy}, /x0" in problem and "and 2 more" in problem


def test_a_hard_link(shop, tmp_path):
    link = tmp_path / "enabled" / "shop.conf"
    os.link(shop, link)
    path, problem = seen(shop, link)
    assert path == "" and f"the hard link {link}, which stays the old file. Set `file` to that path" in problem
    assert seen(shop, link, shop) == (str(shop), "")


def test_a_file_that_is_mounted_there(shop, monkeypatch):
    monkeypatch.setattr(nginx_sight, "_mounted", lambda pid: {str(shop)})
    path, problem = seen(shop, shop)
    assert (
        path == "" and f"{shop} is a single file that is mounted there" in problem and "Mount its directory" in problem
    )


def test_another_root(shop, tmp_path, monkeypatch):
    """An absolute link leads to a path within that root."""
    root = tmp_path / "root"
    monkeypatch.setattr(nginx_sight, "_root", lambda pid: str(root))
    (root / "etc").mkdir(parents=True)
    (root / "sites").mkdir()
    inside = root / "sites" / "shop.conf"
    inside.write_text("x", encoding="utf-8")
    (root / "etc" / "shop.conf").symlink_to("/sites/shop.conf")
    assert seen(inside, "/etc/shop.conf") == ("/etc/shop.conf", "")
    (root / str(shop)[1:]).parent.mkdir(parents=True)
    (root / str(shop)[1:]).write_text("x", encoding="utf-8")
    path, problem = seen(shop, shop)
    assert path == "" and "in its own root and mounts there is another file at that path" in problem
