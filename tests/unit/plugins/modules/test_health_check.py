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

from ansible_collections.zero_downtime.deploy.plugins.modules import health_check
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.check_health import ARGUMENT_SPEC

# What the module builds itself from differs between the versions of Ansible; its front door does not.
START = """
import sys
sys.path[:] = %r
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
if hasattr(basic, "_ANSIBLE_PROFILE"):
    basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.zero_downtime.deploy.plugins.modules import health_check
health_check.main()
"""


def module(**options):
    args = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
    done = subprocess.run([sys.executable, "-c", START % sys.path], input=args, capture_output=True, check=False)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout), done.stdout.decode()


def test_healthy():
    target = {"name": "a", "command": ["echo", "v1"], "version_pattern": "v(.)"}
    rc, result, _text = module(targets=[target], interval=0.01)
    assert (rc, result["healthy"], result["targets"][0]["version"]) == (0, ["a"], "1")
    assert "warnings" not in result


def test_a_failure_holds_the_result_and_no_secret():
    rc, result, text = module(
        targets=[
            {
                "name": "app1",
                "url": "http://me:top-secret@127.0.0.1:1/?key=top-secret",
                "headers": {"Authorization": "Bearer top-secret", "X-Try": "1", "Host": "app1"},
            }
        ],
        interval=0.01,
        deadline=0.1,
    )
    assert (rc, result["failed"], result["unhealthy"]) == (1, True, ["app1"])
    # The value of a header that stands in a name or a number as well leaves these whole.
    assert result["targets"][0]["name"] == "app1" and isinstance(result["targets"][0]["attempts"], int)
    assert "1 of 1 targets did not prove healthy" in result["msg"]
    assert "top-secret" not in text


def documented(options):
    return {
        name: {
            "type": option["type"],
            "elements": option.get("elements"),
            "default": option.get("default"),
            "choices": option.get("choices"),
            "required": option.get("required", False),
            "options": documented(option.get("suboptions") or option.get("options") or {}),
        }
        for name, option in options.items()
    }


def test_the_documentation_and_the_options_agree():
    documentation = yaml.safe_load(importlib.reload(health_check).DOCUMENTATION)
    assert documented(documentation["options"]) == documented(ARGUMENT_SPEC)


@pytest.mark.parametrize("text", [health_check.EXAMPLES, health_check.RETURN])
def test_examples_and_return_are_yaml(text):
    assert yaml.safe_load(text)
