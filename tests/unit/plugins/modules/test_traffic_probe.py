# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own door: the process that is shipped to a host."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest
import yaml

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.probe_traffic import ARGUMENT_SPEC
from ansible_collections.zero_downtime.deploy.plugins.modules import traffic_probe
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.modules.test_health_check import START, documented

SECRETS = {
    "urls": ["http://me:top-secret@127.0.0.1:1/?key=top-secret"],
    "headers": {"Authorization": "Bearer top-secret", "X-Try": "1"},
}


def module(**options):
    args = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
    start = START.replace("health_check", "traffic_probe") % sys.path
    done = subprocess.run([sys.executable, "-c", start], input=args, capture_output=True, check=False)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout), done.stdout.decode()


def test_the_prober_outlives_the_module_and_no_secret_is_shown(tmp_path):
    options = {"name": "shop", "path": str(tmp_path)}
    rc, started, text = module(**options, **SECRETS, rate=50, lifetime=60)
    assert (rc, started["changed"], started["running"]) == (0, True, True)
    assert started["warnings"] and "connection refused" in text and "top-secret" not in text
    rc, stopped, text = module(**options, state="stopped")
    assert (rc, stopped["changed"], stopped["ended"]) == (0, True, "it was told to stop")
    # The value of a header that stands in a number as well leaves that whole.
    assert stopped["felt"]["outcomes"] == {"refused": stopped["felt"]["requests"]} and "top-secret" not in text


def test_a_failure_is_told():
    rc, result, text = module(name="shop", state="started", **{**SECRETS, "urls": ["ftp://me:top-secret@shop/"]})
    assert rc == 1 and "must begin with http://" in result["msg"] and "top-secret" not in text
    rc, result, _text = module(name="shop")
    assert rc == 1 and "urls" in result["msg"]


def test_the_documentation_and_the_options_agree():
    documentation = yaml.safe_load(importlib.reload(traffic_probe).DOCUMENTATION)
    assert documented(documentation["options"]) == documented(ARGUMENT_SPEC)


@pytest.mark.parametrize("text", [traffic_probe.EXAMPLES, traffic_probe.RETURN])
def test_examples_and_return_are_yaml(text):
    assert yaml.safe_load(text)
