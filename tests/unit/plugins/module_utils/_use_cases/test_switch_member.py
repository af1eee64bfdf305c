# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch on a member's own host."""

from __future__ import annotations

import http.server
import os
import sys
import threading

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import switch_member


def switch(check=False, **options):
    validated = ArgumentSpecValidator(switch_member.ARGUMENT_SPEC, **switch_member.CONSTRAINTS).validate(options)
    assert not validated.error_messages, validated.error_messages
    return switch_member.run(validated.validated_parameters, check, Clock())


@pytest.fixture
def by_file(tmp_path):
    return {"file": str(tmp_path / "out")}


@pytest.fixture
def by_programs(tmp_path):
    flag = tmp_path / "flag"
    python = [sys.executable, "-c"]
    return {
        "take_out": [*python, f"open({str(flag)!r}, 'w')"],
        "bring_back": [*python, f"import os; os.unlink({str(flag)!r})"],
        "is_out": [*python, f"import os, sys; sys.exit(not os.path.exists({str(flag)!r}))"],
    }


@pytest.fixture
def by_url():
    state = {"out": False}

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status):
            self.send_response(status)
            self.end_headers()

        def do_GET(self):
            self.answer({"/broken": 500}.get(self.path) or (200 if state["out"] else 404))

        def do_PUT(self):
            state["out"] = True
            self.answer(204)

        def do_DELETE(self):
            state["out"] = False
            self.answer(204)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield {"url": f"http://127.0.0.1:{server.server_address[1]}/drain?by=us"}
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("how", ["by_file", "by_programs", "by_url"])
def test_out_and_in_with_check_mode_before_and_nothing_the_second_time(how, request):
    how = request.getfixturevalue(how)
    assert switch(**how) == {"changed": False, "state": "in", "diff": {"before": "in\n", "after": "in\n"}}
    for state, before in (("out", "in"), ("in", "out")):
        promised = switch(check=True, state=state, **how)
        assert switch(**how)["state"] == before
        done = switch(state=state, **how)
        assert promised == done == {"changed": True, "state": state, "diff": {"before": f"{before}\n", "after": f"{state}\n"}}
        assert switch(state=state, **how)["changed"] is False and switch(**how)["state"] == state


def test_everybody_can_see_the_file_whatever_the_umask(by_file):
    before = os.umask(0o077)
    try:
        switch(state="out", **by_file)
    finally:
        os.umask(before)
    assert os.stat(by_file["file"]).st_mode & 0o777 == 0o644


def test_a_link_is_not_written_through(tmp_path, by_file):
    os.symlink(tmp_path / "elsewhere", by_file["file"])
    with pytest.raises(NotApplied):
        switch(state="out", **by_file)
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(Refused, match="cannot be made: No such file or directory.*its directory is there"):
        switch(state="out", file=str(tmp_path / "nowhere" / "out"))


@pytest.mark.parametrize("path", ["relative", "~"])
def test_what_can_be_no_switch(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match="Nothing was touched"):
        switch(state="out", file=path)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"is_out": [sys.executable, "-c", "import sys; sys.exit('no idea')"]}, None, ""),
        ({"is_out": [sys.executable, "-c", "import sys; print('odd', file=sys.stderr); sys.exit(3)"]}, Unreachable, "with 3; .* said: odd"),
        ({"take_out": [sys.executable, "-c", "import sys; print('no'); sys.exit(4)"]}, Refused, "ended with 4. It said: no"),
        ({"take_out": [sys.executable, "-c", ""]}, NotApplied, "was to be out and, read back, is in still"),
        ({"is_out": ["/nonexistent"]}, InvalidInput, "There is no program /nonexistent"),
        ({"is_out": ["sleep", "60"], "timeout": 0.2}, Unreachable, "did not end within 0.2 s"),
    ],
)
def test_programs_that_do_not_do_it(by_programs, change, error, said):
    if error is None:  # it ends with 1, which means in: nothing is wrong with it
        assert switch(**{**by_programs, **change})["state"] == "in"
        return
    with pytest.raises(error, match=said):
        switch(state="out", **{**by_programs, **change})


def test_an_answer_that_means_nothing(by_url):
    with pytest.raises(Unreachable, match="answered 500 to GET; 200 means out and 404 means in"):
        switch(state="out", url=by_url["url"].replace("/drain?by=us", "/broken"))
