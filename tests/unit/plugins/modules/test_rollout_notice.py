# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both doors of the module: the process that is shipped to a host, and the controller's own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest
import yaml

from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.tell_rollout import ARGUMENT_SPEC
from ansible_collections.zero_downtime.deploy.plugins.modules import rollout_notice

START = """
import sys
sys.path[:] = %r
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
if hasattr(basic, "_ANSIBLE_PROFILE"):
    basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.zero_downtime.deploy.plugins.modules import rollout_notice
rollout_notice.main()
"""
RECORD = {"service": "shop", "version": "1.4.2", "strategy": "rolling", "id": "x", "began": 1763790000.0}


@pytest.fixture
def secretive():
    """Targets that nobody is at, with all the secrets that there can be."""
    with contextlib.closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{nobody.getsockname()[1]}"
        yield {
            "pushgateway": {
                "url": f"http://me:hush-1@{host}",
                "username": "me",
                "password": "hush-2",
                "headers": {"X": "hush-3"},
            },
            "webhooks": [
                {"url": f"http://{host}/services/hush-4", "headers": {"X": "hush-5"}},
                {"url": f"http://{host}/?token=hush-6", "kind": "json"},
            ],
            "grafana": {"url": f"http://{host}", "token": "hush-7", "headers": {"X": "hush-8"}},
        }


def module(**options):
    args = json.dumps({"ANSIBLE_MODULE_ARGS": {"event": "begin", "record": RECORD, **options}}).encode()
    done = subprocess.run([sys.executable, "-c", START % sys.path], input=args, capture_output=True, check=False)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout), done.stdout.decode()


@pytest.mark.parametrize(("on_failure", "code"), [("warn", 0), ("fail", 1)])
def test_whoever_cannot_be_told_is_named_and_no_secret_is(secretive, on_failure, code):
    rc, result, text = module(on_failure=on_failure, **secretive)
    assert rc == code and "hush" not in text
    assert [one["told"] for one in result["targets"]] == [False] * 4
    assert len(result["warnings"]) == 4 if code == 0 else result["msg"].count("was not told") == 4
    # The host is shown, though Ansible takes the URL for a secret.
    assert result["targets"][1]["where"].startswith("http://127.0.0.1:")
    assert result["invocation"]["module_args"]["webhooks"][0]["url"] == result["targets"][1]["where"]


def test_numbers_and_words_are_not_censored_for_looking_like_a_secret(tmp_path):
    path = str(tmp_path / "shop.prom")
    _rc, result, _text = module(textfile=path, grafana={"url": "x", "token": "rolling", "headers": {"X": "1763790000"}})
    assert 'strategy="rolling"' in result["diff"][0]["after"] and " 1763790000\n" in result["diff"][0]["after"]


def play(tmp_path, *arguments, task=None, **options):
    result = tmp_path / "told.json"
    tasks = [
        {
            "zero_downtime.deploy.rollout_notice": {"event": "begin", "record": RECORD, **options},
            "register": "told",
            "name": "Tell",
            **(task or {}),
        },
        {
            "ansible.builtin.copy": {"content": "{{ told | to_json }}", "dest": str(result)},
            "check_mode": False,
            "diff": False,
            "name": "Write",
        },
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    inventory = f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    (tmp_path / "inventory").write_text(inventory)
    command = [
        sys.executable,
        "-m",
        "ansible",
        "playbook",
        "-i",
        tmp_path / "inventory",
        tmp_path / "play.yml",
        *arguments,
    ]
    env = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(result.read_text()), done.stdout + done.stderr


def test_the_controller_s_door_warns_in_words_without_secrets(secretive, tmp_path):
    told, output = play(tmp_path, "-vvv", **secretive)
    assert len(told["warnings"]) == 4 and not told["failed"] and "invocation" not in told  # in process
    assert "hush" not in output and "hush" not in str(told)
    assert " ".join(output.split()).count("was not told: ") >= 4


def test_the_controller_s_door_shows_the_file_s_difference(tmp_path):
    path = tmp_path / "shop.prom"
    told, output = play(tmp_path, "--check", "--diff", textfile=str(path))
    assert told["changed"] and "+zero_downtime_rollout_info" in output and not path.exists()
    told, output = play(tmp_path, textfile=str(path))
    assert told["changed"] and path.exists()
    assert not play(tmp_path, textfile=str(path))[0]["changed"]


def compare(documented, spec):
    assert set(documented) == set(spec)
    for name, options in spec.items():
        assert documented[name]["type"] == options["type"], name
        assert documented[name].get("default") == options.get("default"), name
        assert documented[name].get("choices") == options.get("choices"), name
        assert documented[name].get("required") == options.get("required"), name
        if "options" in options:
            compare(documented[name]["suboptions"], options["options"])


def test_the_documentation_is_the_specification():
    compare(yaml.safe_load(rollout_notice.DOCUMENTATION)["options"], ARGUMENT_SPEC)
