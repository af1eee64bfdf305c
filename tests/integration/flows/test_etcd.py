# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lease and journal in etcd: a controller that is gone leaves nothing that the next one lacks."""

from __future__ import annotations

import gzip
import json
import shutil
import signal

import pytest
import yaml
from ansible_collections.zero_downtime.deploy.tests.support.etcd.server import EtcdServer
from shops import CORES, RAMP

PREFIX, PASSWORD = "/tests/zero_downtime", "pass-word-of-tests"
DONE = dict.fromkeys(("app1", "app2", "app3"), "2.0")


class Kept:
    """An etcd that asks for a password, and what stands in it."""

    def __init__(self, binary, directory):
        self.server = EtcdServer(binary, directory)
        self.server.protect(PREFIX + "/", "deploy", PASSWORD)
        self.options = {"urls": [self.server.url], "prefix": PREFIX, "username": "deploy", "password": PASSWORD}

    def _token(self):
        return self.server.ask("auth/authenticate", {"name": "root", "password": "root"})["token"]

    def lease(self):
        return json.loads(self.server.keys(PREFIX + "/shop/", self._token())["lease"])

    def journals(self):
        found = self.server.keys(PREFIX + "/shop/rollouts/", self._token())
        return sorted((json.loads(gzip.decompress(value)) for value in found.values()), key=lambda journal: journal["fence"])

    def pretend(self, **owner):
        """Whoever holds the lease is somebody else."""
        lease = self.lease()
        lease["owner"].update(owner)
        self.server.put(PREFIX + "/shop/lease", json.dumps(lease).encode(), self._token())

    def pass_time(self, seconds):
        self.server.pass_time(self.lease()["etcd_lease"], seconds, self._token())


@pytest.fixture
def kept(etcd_binary, tmp_path):
    (tmp_path / "etcd").mkdir()
    kept = Kept(etcd_binary, tmp_path / "etcd")
    try:
        yield kept
    finally:
        kept.server.stop()


@pytest.fixture
def inventory(shop, kept, tmp_path):
    """What a user of the collection writes to have journals in etcd, and nothing about a journal's host."""
    given = yaml.safe_load((shop.top / "group_vars" / "shop.yml").read_text())
    del given["rollout_journal_host"]
    given.update(rollout_journal_path=str(tmp_path / "journal"), rollout_etcd=kept.options)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "shop.yml").write_text(yaml.safe_dump(given))
    shutil.copy(shop.top / "inventory.json", tmp_path / "inventory.json")
    return tmp_path / "inventory.json"


@pytest.fixture
def controller(tmp_path):
    """Directories of another controller each time; those of the one before are gone."""
    known = []

    def another():
        for home in known:
            shutil.rmtree(home)
        known[:] = [tmp_path / f"controller-{len(list(tmp_path.glob('run-*')))}"]
        known[0].mkdir()
        return known[0]

    return another


def test_the_next_controller_goes_on_and_another_one_undoes_it(shop, kept, inventory, controller, hold, tmp_path):
    shop.ask("set server shop/app2 weight 30")
    rolling = shop.start_rolling("2.0", "-vvv", inventory=inventory, home=controller(), rollout_hooks=hold(), **RAMP)
    hold.until(rolling)
    rolling.send(signal.SIGKILL)
    hold.let_go()
    kept.pretend(controller="another-pod", boot_id=None)

    refused = shop.roll("2.0", inventory=inventory, home=controller(), **RAMP)
    refused.assert_bad("The lease of service shop is held by", "on another-pod", "for rollout")
    kept.pass_time(900)
    there = shop.roll("2.0", "-vvv", inventory=inventory, home=controller(), **RAMP).assert_good()
    assert "2 hosts are on it" in there.output and "Left alone, because already there: app1." in there.output
    shop.assert_as_ever(DONE, app2=("enabled", 30))
    (journal,) = kept.journals()
    assert (journal["outcome"], len(journal["attempts"]), kept.lease()["owner"]) == ("succeeded", 2, None)
    assert shop.roll("2.0", inventory=inventory, home=controller()).assert_good().changed == 0

    status = shop.play("zero_downtime.deploy.status", rollout_hosts="shop", inventory=inventory, home=controller()).assert_good()
    assert "Lease: free" in status.output and "succeeded" in status.output
    back = shop.roll_back("-vvv", inventory=inventory, home=controller()).assert_good()
    assert "3 hosts are back on 1.0" in back.output
    shop.assert_as_ever("1.0", app2=("enabled", 30))
    assert [journal["outcome"] for journal in kept.journals()] == ["succeeded", "rolled_back"]

    assert not (tmp_path / "journal").exists() and not shop.journal.exists()
    for run in (rolling, refused, there, back):
        assert PASSWORD not in run.output and "Traceback" not in run.output


@pytest.mark.thorough
@CORES
def test_without_etcd_no_later_batch_begins_and_the_same_command_finishes(shop, kept, inventory, hold, core):
    given = {"inventory": inventory, "rolling_batches": [1]}
    rolling = shop.start_rolling("2.0", rollout_hooks=hold(), **given)
    hold.until(rolling)
    kept.server.stop()
    hold.let_go()
    rolling.wait()
    assert rolling.code != 0 and f"etcd at {kept.server.url}: connection refused" in rolling.output
    assert "Traceback" not in rolling.output
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0"})
    shop.roll("2.0", **given).assert_bad("etcd at", "connection refused", "Nothing was changed.")
    kept.server.start()
    shop.roll("2.0", **given).assert_good()
    shop.assert_as_ever(DONE)
    assert [journal["outcome"] for journal in kept.journals()] == ["succeeded"] and kept.lease()["owner"] is None
