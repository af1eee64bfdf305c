# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own process: options in, JSON out."""

from __future__ import annotations

import io
import json
import sys

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.common.text.converters import to_bytes

from ansible_collections.zero_downtime.deploy.plugins.doc_fragments import balancers, lease
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import read_pool, set_members, split_traffic
from ansible_collections.zero_downtime.deploy.plugins.modules import pool_info, pool_member, traffic_split

FRAGMENTS = {
    "zero_downtime.deploy." + name: yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"]
    for name, fragment in (("balancers", balancers), ("lease", lease))
}


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a module on options as AnsiballZ does; its result and its exit code."""

    def call(module, check=False, **options):
        args = {
            **options,
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": "/tmp",
            "_ansible_keep_remote_files": False,
        }
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", to_bytes(json.dumps({"ANSIBLE_MODULE_ARGS": args})))
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        with pytest.raises(SystemExit) as end:
            module.main()
        return json.loads(capsys.readouterr().out), end.value.code

    return call


@pytest.fixture
def nowhere(tmp_path):
    return [{"provider": "haproxy", "socket": str(tmp_path / "nothing.sock"), "name": "lb"}]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("module", "options"), [
        (pool_info, {}),
        (pool_member, {"members": ["m1"], "state": "disabled"}),
        (traffic_split, {"groups": {"all": {}}}),
    ],
)
def test_what_a_user_can_act_on_is_a_failed_task_and_no_traceback(run, nowhere, module, options, check):
    result, code = run(module, check, balancers=nowhere, pool="app", **options)
    assert code == 1 and result["failed"] is True and result["changed"] is False
    assert "There is no socket" in result["msg"] and "nothing.sock" in result["msg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one of the following is required: state, weight"),
        ({"state": "gone"}, "value of state must be one of: enabled, drained, disabled, absent, as_before"),
        ({"state": "as_before"}, "state is as_before but all of the following are missing: before"),
        ({"weight": "heavy"}, "weight"),
        ({"state": "disabled", "force": True}, "force"),
        ({"state": "disabled", "balancers": [{"provider": "nginx"}]}, "provider"),
        ({"state": "disabled", "balancers": [{"socket": "/x"}]}, "provider"),
        ({"state": "disabled", "balancers": [{"provider": "haproxy", "sock": "/x"}]}, "sock"),
        ({"state": "disabled", "balancers": [{"provider": "haproxy"}]}, "takes exactly one of `socket`, `address`"),
        ({"state": "disabled", "balancers": []}, "`balancers` is empty"),
    ],
)
def test_options_that_make_no_sense(run, nowhere, options, said):
    result, code = run(pool_member, **{"balancers": nowhere, "pool": "app", "members": ["m1"], **options})
    assert code == 1 and said in result["msg"]


def test_a_header_that_is_no_secret_takes_no_name_out_of_the_result(run, tmp_path):
    headers = {"Host": "lb1", "Authorization": "Bearer very-secret"}
    entry = {"provider": "caddy", "name": "lb1", "socket": str(tmp_path / "very-secret.sock"), "headers": headers}
    result, _code = run(pool_info, balancers=[entry], pool="app")
    assert "very-secret" not in json.dumps(result["invocation"]["module_args"]["balancers"][0]["headers"])
    assert result["invocation"]["module_args"]["balancers"][0]["name"] == "lb1"
    assert result["invocation"]["module_args"]["balancers"][0]["headers"]["Host"] == "lb1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one of the following is required: groups, before"),
        ({"groups": {"all": {}}, "before": {}}, "mutually exclusive: groups|before"),
        ({"groups": {"all": {}}, "leave": "enabled"}, "value of leave must be one of: disabled, drained"),
        ({"groups": "many"}, "groups"),
        ({"groups": {"blue": {"member": ["m1"]}}}, "Group blue has `member`"),
        ({"groups": {"all": {}}, "tolerance": -1}, "`tolerance` is -1"),
        ({"groups": {"all": {}}, "health_timeout": -1}, "`health_timeout` is -1 s"),
        ({"groups": {"all": {}}, "min_available": "many"}, "min_available is a count"),
        ({"groups": {"all": {}}, "balancers": []}, "`balancers` is empty"),
    ],
)
def test_splits_that_make_no_sense(run, nowhere, options, said):
    result, code = run(traffic_split, **{"balancers": nowhere, "pool": "app", **options})
    assert code == 1 and said in result["msg"]


@pytest.mark.parametrize(
    ("module", "spec"),
    [
        (pool_member, set_members.ARGUMENT_SPEC),
        (pool_info, read_pool.ARGUMENT_SPEC),
        (traffic_split, split_traffic.ARGUMENT_SPEC),
    ],
    ids=["pool_member", "pool_info", "traffic_split"],
)
def test_the_documentation_names_the_options_there_are_with_their_defaults(module, spec):
    told = yaml.safe_load(module.DOCUMENTATION)
    documented = dict(told.get("options") or {})
    for name in told["extends_documentation_fragment"]:
        documented.update(FRAGMENTS.get(name, {}))
    assert set(documented) == set(spec)
    for said, real in [(documented, spec), (documented["balancers"]["suboptions"], spec["balancers"]["options"])]:
        assert set(said) == set(real)
        for name, option in real.items():
            for key in ("type", "default", "choices", "elements"):
                assert said[name].get(key) == option.get(key), (name, key)
            assert said[name].get("required", False) == option.get("required", False), name


@pytest.mark.parametrize("module", [pool_member, pool_info, traffic_split], ids=["pool_member", "pool_info", "traffic_split"])
def test_examples_and_return_values_are_yaml(module):
    assert all("name" in task for task in yaml.safe_load(module.EXAMPLES))
    assert {"balancers"} <= set(yaml.safe_load(module.RETURN))
