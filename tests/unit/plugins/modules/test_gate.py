# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own door: the process that is shipped to a host."""

from __future__ import annotations

import json
import subprocess
import sys

import yaml

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.pass_gates import ARGUMENT_SPEC
from ansible_collections.zero_downtime.deploy.plugins.modules import gate

START = """
import sys
sys.path[:] = %r
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
if hasattr(basic, "_ANSIBLE_PROFILE"):
    basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.zero_downtime.deploy.plugins.modules import gate
gate.main()
"""


def module(**options):
    args = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
    done = subprocess.run([sys.executable, "-c", START % sys.path], input=args, capture_output=True, check=False)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout), done.stdout.decode()


def test_open():
    rc, result, _text = module(gates=[{"freeze": {"dates": ["1970-01-01"]}}])
    assert (rc, result["state"], result["changed"]) == (0, "open", False)


def test_a_closed_one_holds_the_result_and_no_secret():
    headers = {"Authorization": "Bearer top-secret", "X-Try": "1"}
    rc, result, text = module(gates=[{"url": "http://me:top-secret@127.0.0.1:1/?key=top-secret", "headers": headers}])
    assert (rc, result["failed"], result["state"]) == (1, True, "closed")
    assert result["why"].startswith("http://***@127.0.0.1:1/?*** does not answer 2xx: ")
    assert "top-secret" not in text


def test_what_is_not_understood_is_refused():
    rc, result, _text = module(gates=[{"before": "bach", "approval": "x"}])
    assert rc == 1 and "bach" in result["msg"] and "Traceback" not in result["msg"]


def compare(documented, spec):
    assert set(documented) == set(spec)
    for name, options in spec.items():
        assert documented[name]["type"] == options["type"], name
        assert documented[name].get("default") == options.get("default"), name
        assert documented[name].get("choices") == options.get("choices"), name
        if "options" in options:
            compare(documented[name]["suboptions"], options["options"])


def test_the_documentation_is_the_specification():
    compare(yaml.safe_load(gate.DOCUMENTATION)["options"], ARGUMENT_SPEC)
