# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that would be commands, and files that another user has put where ours are looked for."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import lock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    Refused,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.prometheus import Prometheus
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.archives import Archive
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.files import Ownership
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.install import share
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.layout import Layout
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils.hostile import http, stranger

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be tricked by another user")

SMUGGLED = [
    lambda lb: lb.members("app; disable server app/m2"),
    lambda lb: lb.members("app\ndisable server app/m2"),
    lambda lb: lb.apply("app", [Change("m1; disable server app/m2", "disabled")]),
    lambda lb: lb.apply("app\ndisable", [Change("m1", "disabled")]),
    lambda lb: lb.cut("app", ["m1\ndisable server app/m2"]),
    lambda lb: lb.add("app", "m3; disable server app/m2", "192.0.2.3:80"),
    lambda lb: lb.add("app", "m3", "192.0.2.3;disable server app/m2 x:80"),
    lambda lb: lb.add("app", "m3", "192.0.2.3\ndisable server app/m2:80"),
    lambda lb: lb.remove("app", ["m1; disable server app/m2"]),
]


@pytest.mark.parametrize("ask", SMUGGLED)
def test_no_name_is_a_second_command_of_haproxy(ask):
    heard = []
    with stranger(lambda said: heard.append(said) or b"\n") as address:
        with pytest.raises(InvalidInput, match="Nothing was touched"):
            ask(open_balancer({"provider": "haproxy", "address": address, "timeout": 1}))
    assert heard == []


def test_options_of_a_server_are_no_second_command_either():
    with pytest.raises(InvalidInput, match="another command"):
        open_balancer({"provider": "haproxy", "socket": "/x", "server_options": "check\ndisable server app/m2"})


def test_a_token_with_a_line_break_is_no_second_header_and_is_not_told():
    heard = []
    fixed = {"timeout": 1, "username": None, "password": None, "validate_certs": True, "ca_path": None, "query": "up"}
    with stranger(lambda said: heard.append(said) or http(b"")) as address:
        source = Prometheus({**fixed, "url": f"http://{address}", "token": "hush\r\nX-Evil: 1"}, "samples", 1)
        with pytest.raises(InvalidInput, match="header Authorization") as refusal:
            source.read({"canary": ["m1"], "baseline": ["m2"]}, 0)
    assert heard == [] and "hush" not in refusal.value.message


@pytest.mark.parametrize("status", ["400 No", "200 OK"])
def test_credentials_that_a_balancer_repeats_are_not_told(status):
    entry = {"provider": "nginx_plus", "timeout": 1, "username": "kim", "password": "hush-hush"}
    with stranger(lambda said: http(b"you sent hush-hush: " + said[:150], status)) as address:
        with pytest.raises(DeployError, match="you sent") as refusal:
            open_balancer({**entry, "url": f"http://{address}/"}).members("app")
    assert "hush" not in refusal.value.message and "a2ltOmh1c2gtaHVzaA" not in refusal.value.message


def test_what_a_balancer_calls_itself_is_no_header():
    page = b"<h1>Load Balancer Manager for lb\nX-Evil: \xe2\x82\xac</h1>"
    with stranger(lambda _said: http(page)) as address:
        balancer = open_balancer({"provider": "apache", "url": f"http://{address}/", "timeout": 1})
        for _again in range(2):
            with pytest.raises(DeployError):
                balancer.members("app")


@as_root
@pytest.mark.parametrize("kind", ["file", "pipe", "link"])
def test_a_lock_that_somebody_else_has_put_there_is_not_used(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(
        lock.tempfile, "gettempdir", lambda: str(tmp_path)
    )  # not everybody's, or the kernel refuses by itself
    path = lock.file_of("lb1 app", "lock")
    if kind == "link":
        os.symlink(tmp_path / "elsewhere", path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.close(os.open(path, os.O_CREAT, 0o666))
        os.chown(path, NOBODY, NOBODY)
    with pytest.raises(Refused, match="[Nn]othing was touched"), lock.only_writer("lb1 app", Clock()):
        pass
    assert not (tmp_path / "elsewhere").exists()


@as_root
def test_nothing_is_shared_through_a_link_of_another_user(tmp_path):
    layout, release, victim = Layout(str(tmp_path / "app")), tmp_path / "release", tmp_path / "victim"
    for path in (release / "config" / "local", tmp_path / "app" / "shared" / "config", victim):
        path.mkdir(parents=True)
    (release / "config" / "local" / "cron").write_text("x")
    link = tmp_path / "app" / "shared" / "config" / "local"
    link.symlink_to(victim)
    os.lchown(link, NOBODY, NOBODY)
    with pytest.raises(Refused, match=f"is a link that user {NOBODY} has made.*Nothing was unpacked"):
        share(layout, str(release), "config/local/cron")
    assert not list(victim.iterdir())
    os.lchown(link, 0, 0)  # of root: whoever runs this host wants it there
    share(layout, str(release), "config/local/cron")
    assert (victim / "cron").read_text() == "x"


@as_root
def test_a_tree_is_given_away_from_the_bottom_up(tmp_path, monkeypatch):
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "b" / "file").touch()
    given = []
    real = os.chown
    monkeypatch.setattr(os, "chown", lambda name, *rest, **how: (given.append(name), real(name, *rest, **how)))
    Ownership(str(NOBODY), None).give(str(tmp_path / "tree"))
    assert given == ["file", "b", "a"]
    assert {path.stat().st_uid for path in (tmp_path / "tree", *(tmp_path / "tree").rglob("*"))} == {NOBODY}


def test_a_link_of_a_zip_archive_that_is_as_long_as_a_book(tmp_path):
    link = zipfile.ZipInfo("l")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(link, b"x" * 10_000_000)
    with pytest.raises(Refused, match="a path of 10000000 bytes.*Nothing was unpacked"):
        Archive(str(tmp_path / "z"), 0)


def test_a_file_through_a_link_that_came_first(tmp_path):
    (tmp_path / "outside").mkdir()
    with tarfile.open(tmp_path / "t", "w") as tar:
        for name, kind, target in (("x", tarfile.SYMTYPE, str(tmp_path / "outside")), ("x/file", tarfile.REGTYPE, "")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    with pytest.raises(Refused, match="Nothing was unpacked"):
        Archive(str(tmp_path / "t"), 0)
    assert not list((tmp_path / "outside").iterdir())
