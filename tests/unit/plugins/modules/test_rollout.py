# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as a process: options from outside, JSON out."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.keep_journal import ARGUMENT_SPEC
from ansible_collections.zero_downtime.deploy.plugins.modules import rollout

KIM = {"name": "kim", "controller": "c1", "pid": 10, "process_started": 5}


def module(**options):
    """Run the module the way the engine does, in a process of its own."""
    given = {"ANSIBLE_MODULE_ARGS": dict(options, _ansible_remote_tmp="/tmp", _ansible_keep_remote_files=False)}
    code = (
        "import sys; sys.argv = ['rollout', %r];"
        "from ansible.module_utils import basic; basic._ANSIBLE_PROFILE = 'legacy';"
        "from ansible_collections.zero_downtime.deploy.plugins.modules.rollout import main; main()"
    ) % json.dumps(given)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout)


def test_begin_and_read(tmp_path):
    path = str(tmp_path / "state")
    begun = module(action="begin", service="shop", path=path, owner=KIM, version="2", strategy="rolling")
    assert begun["fence"] == 1 and begun["changed"] is False
    assert module(action="read", service="shop", path=path)["journal"]["id"] == begun["id"]


def test_a_refusal_is_a_failure_with_the_holder(tmp_path):
    options = dict(action="begin", service="shop", path=str(tmp_path / "s"), version="2", strategy="rolling")
    module(owner=KIM, **options)
    refused = module(owner=dict(KIM, pid=11), **options)
    assert refused["failed"] and refused["holder"]["owner"]["name"] == "kim"


def test_etcd_and_its_secret(etcd, tmp_path):
    where = {"urls": [etcd.url], "prefix": str(tmp_path)}
    begun = module(action="begin", service="shop", etcd=where, owner=KIM, version="2", strategy="rolling")
    assert begun["fence"] == 1 and list(etcd.keys("%s/shop/" % tmp_path)) == ["lease", "rollouts/" + begun["id"], "written"]
    refused = module(action="read", service="shop", etcd=dict(where, username="kim", password="pass-word-of-tests"))
    assert refused["failed"] and "authentication is not enabled" in refused["msg"]
    assert "pass-word-of-tests" not in json.dumps(refused) and refused["invocation"]["module_args"]["etcd"]["username"] == "kim"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"action": "begin"}, "strategy"),
        ({"action": "record"}, "fence"),
        ({"action": "finish", "id": "x", "fence": 1}, "outcome"),
        ({"action": "steal"}, "steal"),
        ({"action": "record", "id": "x", "fence": "many"}, "int"),
        ({"action": "read", "etcd": {"prefix": "/x"}}, "urls"),
    ],
)
def test_wrong_options_fail_before_anything_is_touched(tmp_path, options, words):
    failed = module(service="shop", path=str(tmp_path / "s"), **options)
    assert failed["failed"] and words in failed["msg"]
    assert not (tmp_path / "s").exists()


def documented(spec):
    """What the documentation must say of an argument spec."""
    result = {}
    for name, option in spec.items():
        told = ("type", "required", "default", "choices", "elements")
        result[name] = {key: option[key] for key in told if key in option}
        if "options" in option:
            result[name]["suboptions"] = documented(option["options"])
    return result


def without_words(options):
    result = {}
    for name, option in options.items():
        result[name] = {key: value for key, value in option.items() if key != "description"}
        if "suboptions" in option:
            result[name]["suboptions"] = without_words(option["suboptions"])
    return result


def test_the_documentation_says_what_the_options_are():
    assert without_words(yaml.safe_load(rollout.DOCUMENTATION)["options"]) == documented(ARGUMENT_SPEC)
    assert yaml.safe_load(rollout.EXAMPLES) and yaml.safe_load(rollout.RETURN)
