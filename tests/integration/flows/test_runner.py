# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as AWX starts them: by ansible-runner, from a project, with a survey's text, slices, a button to cancel and one to relaunch."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys

import pytest
import shops

ansible_runner = pytest.importorskip("ansible_runner", reason="ansible-runner is not here. To get it: make venv")

SURVEY = {  # every answer is text
    "rollout_version": "2.0",
    "rolling_batches": "1, 2",
    "rolling_soak": "0.3",
    "rolling_max_failures": "0",
    "traffic_drain_timeout": "30",
    "traffic_accept_errors": "false",
    "rollout_health_deadline": "20",
}


@pytest.fixture
def job(shop, tmp_path):
    """`job(*options, hosts=…, limit=…, cancel=…, **answers)`: a job of the project; its end, as ansible-runner tells it."""
    private = tmp_path / "private"
    for name in ("project", "inventory", "env"):
        (private / name).mkdir(parents=True)
    (private / "project" / "site.yml").write_text("- ansible.builtin.import_playbook: zero_downtime.deploy.rolling\n")
    (private / "project" / "tagged.yml").write_text(
        "- ansible.builtin.import_playbook: zero_downtime.deploy.rolling\n  tags: rollout\n"
    )
    (private / "project" / "undo.yml").write_text("- ansible.builtin.import_playbook: zero_downtime.deploy.rollback\n")
    shutil.copytree(shop.top / "group_vars", private / "inventory" / "group_vars")
    inventory = json.loads((shop.top / "inventory.json").read_text())
    places = {"demo_socket": str(shop.fleet.socket), "demo_run": str(shop.top), "demo_scripts": str(shops.DEMO)}

    answered = {"rollout_hosts": "shop", **places, **SURVEY}
    environment = {
        "PATH": f"{shop.bin}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
        "ANSIBLE_CONFIG": str(shops.DEMO / "ansible.cfg"),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_INJECT_FACT_VARS": "false",
    }

    def write(hosts):
        sliced = json.loads(json.dumps(inventory))
        sliced["shop"]["hosts"] = {name: of for name, of in inventory["shop"]["hosts"].items() if name in hosts}
        sliced["shop"]["vars"] = {"rollout_accepted_pools": shops.QUICK["rollout_accepted_pools"]}
        (private / "inventory" / "hosts.json").write_text(json.dumps(sliced))

    def run(*options, playbook="site.yml", hosts=shops.HOSTS, limit=None, cancel=None, **answers):
        write(hosts)
        return ansible_runner.run(
            private_data_dir=str(private),
            playbook=playbook,
            extravars={**answered, **answers},
            envvars=environment,
            cmdline=" ".join(["--forks", "6", *options]),  # without any, the last job's are taken
            settings={"pexpect_timeout": 0.1},  # how often it asks whether the job is cancelled
            limit=limit,
            cancel_callback=cancel,
            quiet=True,
        )

    run.project, run.write, run.answers, run.environment = private / "project", write, answered, environment
    return run


def said(run):
    """All that a job printed."""
    return run.stdout.read()


def test_a_survey_gives_text_and_a_relaunch_takes_the_hosts_that_failed(shop, job):
    done = job(hosts=["app1", "app2", "app3"])
    assert (done.status, done.rc) == ("successful", 0), said(done)[-3000:]
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"})
    # The first batch of 3.0, which is broken, is app4.
    failed = job(rollout_version="3.0", rolling_batches="1", rolling_first="app4", rollout_health_deadline="4")
    assert failed.status == "failed" and list(failed.stats["failures"]) == ["app4"], failed.stats
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"})
    again = job(limit=",".join(failed.stats["failures"]))
    assert again.status == "successful", said(again)[-3000:]
    shop.assert_as_ever(dict.fromkeys(shops.HOSTS[:4], "2.0"))
    # A later rollback knows of those hosts alone.
    assert job(playbook="undo.yml").status == "successful"
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"})


def test_a_part_of_a_rollout_is_refused_and_a_slice_is_a_rollout(shop, job):
    before = shop.all_of_it()
    refused = job("--tags", "deploy")
    assert refused.status == "failed" and "a rollout is whole or none" in said(refused)
    none = job("--skip-tags", "rollout", playbook="tagged.yml")
    assert none.status == "successful" and shop.all_of_it() == before
    first, second = shops.HOSTS[:2], shops.HOSTS[2:4]
    # A slice has a part of the inventory, and so perhaps not the host of the journal.
    elsewhere = {"rolling_batches": "1", "rollout_journal_host": "localhost"}
    assert job(hosts=first, **elsewhere).status == "successful"
    shop.assert_as_ever(dict.fromkeys(first, "2.0"))
    assert job(hosts=second, **elsewhere).status == "successful"
    shop.assert_as_ever(dict.fromkeys([*first, *second], "2.0"))


@pytest.mark.parametrize("moment", range(10))
def test_a_job_that_is_cancelled_is_gone_on_with_by_the_same_one(shop, job, moment):
    """Cancelled when so many of its tasks have ended, drawn by the number of the moment."""
    hosts = shops.HOSTS[:3]
    most = random.Random(moment).randrange(2, 60)

    def now():
        ended = list((job.project.parent / "artifacts").glob("*/job_events/*.json"))
        return len(ended) > most

    cut = job(hosts=hosts, cancel=now)
    assert cut.status == "canceled", said(cut)[-2000:]
    shutil.rmtree(job.project.parent / "artifacts")
    done = job(hosts=hosts)
    assert done.status == "successful", said(done)[-3000:]
    shop.assert_as_ever(dict.fromkeys(hosts, "2.0"))
    assert shop.lease() is None


def test_another_user_without_a_home_and_with_a_project_that_is_read_only(shop, job):
    """The user has no entry in /etc/passwd and HOME=/, as in a container of AWX; on the disk it is the one who runs the tests."""
    before = {*os.listdir("/")}
    job.write(shops.HOSTS[:1])
    files = [job.project / "site.yml", job.project]
    for path in files:
        path.chmod(0o555 if path.is_dir() else 0o444)
    answers = {**job.answers, "rolling_batches": "1"}
    (job.project.parent / "env" / "extravars").write_text(json.dumps(answers))
    other = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if subprocess.run([*other, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel has no user namespaces for us")
    line = [*other, sys.executable, "-m", "ansible_runner", "run", str(job.project.parent), "--playbook", "site.yml"]
    environment = {**os.environ, **job.environment, "HOME": "/", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=shops.LONGEST)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    shop.assert_as_ever({"app1": "2.0"})
    # The application's server leaves a directory of its own in its home.
    shutil.rmtree("/.gunicorn", ignore_errors=True)
    assert {*os.listdir("/")} <= before
