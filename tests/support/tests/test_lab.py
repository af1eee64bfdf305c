# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the lab that need no hosts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from zdlab import base, files, machine, network
from zdlab.files import Plan
from zdlab.lab import Lab

PLAN = Plan(6, 2, "zd0", "10.203.0.0/24")
LAB = Path(__file__).resolve().parents[1] / "lab" / "lab.py"


def test_names_and_addresses() -> None:
    assert PLAN.names == ["app1", "app2", "app3", "app4", "app5", "app6", "lb1", "lb2"]
    assert [PLAN.address(name) for name in ("controller", "app1", "app6", "lb2")] == [
        "10.203.0.1", "10.203.0.11", "10.203.0.16", "10.203.0.3"]


def test_the_inventory_is_what_ansible_reads() -> None:
    read = yaml.safe_load(files.inventory(PLAN, "/k", "/run/x"))["all"]
    assert read["vars"]["ansible_user"] == "deploy"
    assert list(read["children"]["shop"]["hosts"]) == PLAN.app_names
    assert read["children"]["balancers"]["hosts"]["lb1"] == {"ansible_host": "10.203.0.2"}


@pytest.mark.skipif(not shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no haproxy here")
def test_haproxy_takes_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    # Without the users: only root may become them.
    text = files.haproxy_cfg(PLAN, "lb1").replace("    user haproxy\n    group haproxy\n", "")
    config.write_text(text, encoding="utf-8")
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    told = subprocess.run([haproxy, "-c", "-f", config], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "WARNING" not in told.stderr


@pytest.mark.parametrize(("listed", "mirror", "keyring"), [
    ("bookworm\tmain\thttp://mirror.example/debian/\t/usr/share/keyrings/x.gpg\n", "http://mirror.example/debian",
     "/usr/share/keyrings/x.gpg"),
    ("bookworm\tcontrib\thttp://a/\t\nbookworm-updates\tmain\thttp://b/\t\nbookworm\tmain\thttp://c/\t$(SIGNED_BY)\n",
     "http://c", ""),
    ("trixie\tmain\thttp://mirror.example/debian/\t\n", "", ""),
    ("", "", ""),
])
def test_the_mirror_is_the_machines_own(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: str, mirror: str, keyring: str) -> None:
    told, command = tmp_path / "told", tmp_path / "apt-get"
    told.write_text(listed, encoding="utf-8")
    command.write_text(f"#!/bin/sh\ncat {told}\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("ZD_LAB_MIRROR", raising=False)
    assert base.mirror_and_keyring("bookworm") == (mirror, keyring)


def test_a_recycled_process_id_is_not_taken_for_ours() -> None:
    assert machine.process_started(os.getpid()) > 0
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
        assert machine.process_started(ended.pid) == 0


def test_what_is_missing_is_said_at_once(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "ZD_LAB_DIR": str(tmp_path / "lab")}
    code = ("import sys; sys.path.insert(0, sys.argv[1]); from zdlab import machine; machine.SBIN = ''\n"
            "try: machine.check_machine()\nexcept machine.LabError as error: print(error)")
    told = subprocess.run([sys.executable, "-c", code, str(LAB.parent)], env=environment, capture_output=True,
                          text=True, check=True).stdout
    assert "apt-get install debootstrap iproute2 mount openssh-client systemd-container" in told


def test_a_command_on_a_lab_that_is_down(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("root is asked for first")
    told = subprocess.run([sys.executable, str(LAB), "inventory"], env=os.environ | {"ZD_LAB_DIR": str(tmp_path)},
                          capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "the lab is down: `lab.py up` first" in told.stderr


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[tuple[Lab, Plan]]:
    """A lab whose hosts are gone, though nobody has taken it down: its bridge is still there."""
    if os.geteuid() != 0 or not shutil.which("ip", path=f"{os.environ['PATH']}:{machine.SBIN}"):
        pytest.skip("root and iproute2 are needed to make a bridge")
    plan = Plan(1, 1, f"zd{os.getpid()}", "10.203.255.0/24")
    lab = Lab(tmp_path / "killed")
    lab.directory.mkdir()
    (lab.directory / "lab.json").write_text(json.dumps({"plan": asdict(plan), "release": "none", "inotify": 0}))
    network.bridge_up(plan, lab.directory)
    yield lab, plan
    network.bridge_down(plan)


def come_after(plan: Plan, directory: Path) -> None:
    """What another lab does with the bridge before it comes up."""
    Lab(directory)._bury_dead(plan)
    network.check_free(plan)


@pytest.mark.parametrize("directory_is_there", [True, False])
def test_a_lab_that_was_killed_is_cleared_away_by_the_next(
        killed: tuple[Lab, Plan], tmp_path: Path, directory_is_there: bool) -> None:
    lab, plan = killed
    if not directory_is_there:
        shutil.rmtree(lab.directory)
    assert not directory_is_there or lab.status()["up"] is False
    come_after(plan, tmp_path / "next")
    assert not lab.state


def test_a_lab_with_a_host_is_left_alone(killed: tuple[Lab, Plan], tmp_path: Path) -> None:
    lab, plan = killed
    # This very process stands for the host's.
    host = {"pid": os.getpid(), "started": machine.process_started(os.getpid())}
    (lab.directory / "run").mkdir()
    (lab.directory / "run" / "app1.json").write_text(json.dumps(host))
    with pytest.raises(machine.LabError, match=f"the lab in {lab.directory} is up on {plan.bridge}"):
        come_after(plan, tmp_path / "next")
    assert lab.state and network.bridge_exists(plan)


def test_a_lab_with_a_host_is_left_alone_though_its_directory_is_gone(
        killed: tuple[Lab, Plan], tmp_path: Path) -> None:
    lab, plan = killed
    shutil.rmtree(lab.directory)
    machine.run("ip", "link", "add", f"{plan.bridge}h", "type", "veth")
    machine.run("ip", "link", "set", f"{plan.bridge}h", "master", plan.bridge)
    try:
        with pytest.raises(machine.LabError, match=f"the lab in {lab.directory} is up on {plan.bridge}"):
            come_after(plan, tmp_path / "next")
    finally:
        machine.run("ip", "link", "delete", f"{plan.bridge}h")


def test_what_runs_in_the_cgroup_of_a_host_ends_with_it() -> None:
    if os.geteuid() != 0 or not machine.cgroup_roots():
        pytest.skip("root and cgroups are needed")
    name = f"zd{os.getpid()}-left"
    places = [root / name for root in machine.cgroup_roots()]
    with subprocess.Popen(["sleep", "60"]) as left:
        for place in places:
            place.mkdir()
            (place / "cgroup.procs").write_text(str(left.pid))
        machine.remove_cgroup(name)
        assert left.wait(5) == -signal.SIGKILL
    assert not [place for place in places if place.exists()]


def test_a_bridge_of_nobodys_is_left_alone(killed: tuple[Lab, Plan], tmp_path: Path) -> None:
    lab, plan = killed
    machine.run("ip", "link", "set", plan.bridge, "alias", "")
    with pytest.raises(machine.LabError, match="is not this lab's"):
        come_after(plan, tmp_path / "next")
