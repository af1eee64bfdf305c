# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts that come to gates: closed ones, ones that open, and ones that wait for a person."""

from __future__ import annotations

import datetime
import http.server
import json
import signal
import threading

import pytest
import yaml
from shops import CORES, HOSTS, RAMP, fails

HALFWAY = {"app1": "2.0"}
DONE = {"app1": "2.0", "app2": "2.0", "app3": "2.0"}
ASKED = [{"before": "batch", "number": 2, "approval": "the product owner has looked at it"}]
ALWAYS = {"from": "00:00", "timezone": "Europe/Berlin"}
NEVER = {"dates": ["1970-01-01"]}


def events(shop):
    return [event["event"] for event in shop.journals()[-1]["events"]]


def freeze_of_today(**more):
    """From yesterday to tomorrow, as the calendar of a time zone has it."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    first, last = (today + datetime.timedelta(days=days) for days in (-1, 1))
    return {"before": "rollout", "freeze": {"dates": [f"{first}/{last}"], "timezone": "Europe/Berlin"}, **more}


@pytest.fixture
def office():
    """A server that is asked whether a rollout may go on: `office.answers` are its statuses in turn, the last for ever."""

    class Office(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answers = self.server.answers
            status = answers.pop(0) if len(answers) > 1 else answers[0]
            self.server.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.end_headers()
            if status != 204:
                self.wfile.write(b"ask again later" if status != 200 else b"yes")

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Office) as server:
        server.answers, server.asked = [200], []
        server.url = f"http://127.0.0.1:{server.server_address[1]}/may-i"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def changing(tmp_path, hooks, shop):
    """Gates that are others once the first batch is done: `changing(before, after)` returns what a rollout is given."""

    def given(before, after):
        (tmp_path / "gates.json").write_text(json.dumps(before))
        (tmp_path / "later.json").write_text(json.dumps(after))
        move = {"name": "Time goes by", "ansible.builtin.command": f"cp {tmp_path / 'later.json'} {tmp_path / 'gates.json'}"}
        gates = "{{ lookup('ansible.builtin.file', '%s') | from_json }}" % (tmp_path / "gates.json")
        return {"rollout_gates": gates, "rollout_hooks": hooks(after_enable=[{**move, "delegate_to": "localhost"}])}

    return given


def test_a_freeze_keeps_it_from_beginning(shop, core):
    before = shop.all_of_it()
    run = shop.roll("2.0", rollout_gates=[freeze_of_today()])
    run.assert_bad("The rollout of shop to 2.0 may not begin now: frozen until ", "(Europe/Berlin)", "Nothing was touched.")
    after = shop.all_of_it()
    assert {**after, "files": ""} == {**before, "files": ""}
    assert (shop.journals(), shop.lease()) == ([], None)
    shop.roll("2.0", "--check", rollout_gates=[freeze_of_today()]).assert_bad("frozen until")
    # What has nothing to do is not kept from saying so.
    idle = shop.roll("1.0", rollout_gates=[freeze_of_today()]).assert_good()
    assert "nothing to do" in idle.output


def test_an_approval_between_two_batches(shop, hooks, notes, tmp_path_factory):
    given = {**RAMP, "rollout_gates": ASKED, "rollout_hooks": hooks(after_rollout=[notes.task("after")])}
    shop.ask("set server shop/app2 weight 30")
    foretold = shop.roll("2.0", "--check", **given).assert_good()
    assert "would pause before batch 2: waiting for approval: the product owner has looked at it." in foretold.output
    first = shop.roll("2.0", **given).assert_good()
    for words in (
        "Rollout of shop to 2.0 has paused before batch 2: waiting for approval: the product owner has looked at it.",
        "1 host is on 2.0, healthy and in traffic as before; still to come: app2, app3. Nothing was undone.",
        "To approve it and go on, run the playbook promote; to undo it, the playbook rollback.",
    ):
        assert words in first.output
    shop.assert_as_ever(HALFWAY, app2=("enabled", 30))
    assert (shop.lease(), shop.journals()[0]["outcome"]) == (None, None)
    assert events(shop) == ["planned", "batch_begun", "paused"] and notes.read() == []

    status = shop.play("zero_downtime.deploy.status", rollout_hosts="shop").assert_good()
    assert "Paused: " in status.output and "to 2.0, rolling, before batch 2 since " in status.output
    assert "Lease: free" in status.output

    # The same command does not help itself to it.
    again = shop.roll("2.0", **given).assert_good()
    assert "has paused before batch 2: waiting for approval" in again.output
    shop.assert_as_ever(HALFWAY, app2=("enabled", 30))

    foretold = shop.promote("--check", **given).assert_good()
    assert "would deploy to app2; app3. Check mode: nothing was written." in foretold.output
    assert events(shop)[-1] == "paused"

    elsewhere = tmp_path_factory.mktemp("another_controller")
    rest = shop.promote(home=elsewhere, **given).assert_good()
    assert "2 hosts are on it, healthy and in traffic as before." in rest.output
    shop.assert_as_ever(DONE, app2=("enabled", 30))
    (journal,) = shop.journals()
    assert (journal["outcome"], len(journal["attempts"]), shop.lease()) == ("succeeded", 3, None)
    (approved,) = [event for event in journal["events"] if event["event"] == "approved"]
    assert (approved["details"]["point"], approved["details"]["number"]) == ("batch", 2) and approved["details"]["who"]
    assert [line.split()[0] for line in notes.read()] == ["after"] * 3

    once_more = shop.promote(**given)
    once_more.assert_bad("Nothing of service shop waits to be promoted.", "2.0: succeeded. Nothing was touched.")


@pytest.mark.thorough
def test_each_batch_is_approved_by_itself(shop):
    given = {"rolling_batches": [1], "rollout_gates": [{"before": "batch", "approval": "it is time"}]}
    assert "Nothing was touched." in shop.roll("2.0", **given).assert_good().output
    shop.assert_as_ever()
    for number, host in enumerate(("app1", "app2"), 1):
        run = shop.promote(**given).assert_good()
        assert f"has paused before batch {number + 1}" in run.output
        assert shop.versions()[host] == "2.0"
    shop.promote(**given).assert_good()
    shop.assert_as_ever(DONE)


@pytest.mark.thorough
def test_an_approval_before_anything_is_touched(shop, hooks, notes):
    given = {"rollout_gates": [{"before": "rollout", "approval": "the board agrees"}]}
    given["rollout_hooks"] = hooks(before_rollout=[notes.task("before")])
    run = shop.roll("2.0", **given).assert_good()
    assert "has paused before the rollout: waiting for approval: the board agrees." in run.output
    assert "Nothing was touched." in run.output
    shop.assert_as_ever()
    assert notes.read() == [] and events(shop) == ["paused"]
    # Approved, it still does not begin in a freeze, and the approval is not lost.
    frozen = {**given, "rollout_gates": [*given["rollout_gates"], freeze_of_today()]}
    shop.promote(**frozen).assert_bad("may not begin now: frozen until")
    assert events(shop) == ["paused", "approved", "paused"] and shop.lease() is None
    shop.roll("2.0", **given).assert_good()
    shop.assert_as_ever(DONE)
    assert len(notes.read()) == 3


@pytest.mark.thorough
def test_a_paused_rollout_is_rolled_back(shop):
    shop.ask("set server shop/app1 weight 30")
    shop.roll("2.0", rollout_gates=ASKED, **RAMP).assert_good()
    shop.assert_as_ever(HALFWAY, app1=("enabled", 30))
    run = shop.roll_back(rollout_gates=ASKED).assert_good()
    assert "1 host is back on 1.0, states and weights as before." in run.output
    shop.assert_as_ever(app1=("enabled", 30))
    assert (shop.journals()[-1]["outcome"], shop.lease()) == ("rolled_back", None)
    shop.promote(hosts="shop").assert_bad("Nothing of service shop waits to be promoted.", "rolled_back")


@pytest.mark.thorough
def test_another_version_needs_its_own_approval(shop):
    shop.roll("2.0", rollout_gates=ASKED, **RAMP).assert_good()
    wrong = shop.promote(rollout_version="2.1", rollout_gates=ASKED)
    wrong.assert_bad("What waits is the rollout of shop to 2.0, and rollout_version is 2.1.", "Nothing was touched.")
    assert events(shop)[-1] == "paused"
    other = shop.roll("2.1", rollout_gates=ASKED, **RAMP).assert_good()
    assert "Rollout of shop to 2.1 has paused before batch 2" in other.output
    assert [journal["outcome"] for journal in shop.journals()] == ["superseded", None]


def test_a_url_that_says_no_and_then_yes(shop, office, core):
    may_i = {"before": "rollout", "url": f"{office.url}?key=secret", "headers": {"Authorization": "Bearer top-secret"}}
    office.answers = [503]
    run = shop.roll("2.0", rollout_gates=[may_i])
    run.assert_bad("may not begin now: ", "does not answer 2xx: HTTP 503, and its body begins 'ask again later'")
    assert "secret" not in run.output
    assert office.asked == [("/may-i?key=secret", "Bearer top-secret")]
    shop.assert_as_ever()
    office.answers = [503, 302, 204]
    shop.roll("2.0", rollout_gates=[{**may_i, "wait": 60, "interval": 0.05}]).assert_good()
    shop.assert_as_ever(DONE)
    assert len(office.asked) == 4


@pytest.mark.thorough
def test_a_url_that_says_no_in_the_middle_halts_it(shop, office):
    office.answers = [200, 503]
    given = {**RAMP, "rollout_gates": [{"before": "batch", "url": office.url, "wait": 0.2, "interval": 0.05}]}
    run = shop.roll("2.0", **given).assert_bad(
        "Rollout of shop to 2.0 HALTED before batch 2: ", "does not answer 2xx within 0.2 s: HTTP 503",
        "To go on, once the way is open, run the playbook promote; to undo it, the playbook rollback.",
    )  # fmt: skip
    assert "approve" not in run.last_words
    shop.assert_as_ever(HALFWAY)
    assert shop.lease() is None
    office.answers = [200]
    shop.promote(**given).assert_good()
    shop.assert_as_ever(DONE)


@pytest.mark.thorough
@pytest.mark.parametrize("frozen", ["finish", "wait"])
def test_a_freeze_that_begins_between_two_batches(shop, changing, frozen):
    thawed = {"before": "rollout", "freeze": NEVER, "wait": 1}
    given = {**RAMP, "rollout_frozen": frozen, **changing([thawed], [freeze_of_today(wait=1)])}
    run = shop.roll("2.0", **given)
    if frozen == "finish":
        run.assert_good()
        shop.assert_as_ever(DONE)
        return
    run.assert_bad("Rollout of shop to 2.0 HALTED before batch 2: frozen until ")
    assert ("later than the 1 s that it may be waited for" in run.last_words) == (frozen == "wait")
    shop.assert_as_ever(HALFWAY)
    # Still frozen; and then not any more.
    shop.roll("2.0", **given).assert_bad("HALTED before batch 2: frozen until ")
    shop.assert_as_ever(HALFWAY)
    shop.roll("2.0", **{**given, "rollout_gates": [thawed]}).assert_good()
    shop.assert_as_ever(DONE)


@pytest.mark.thorough
def test_what_an_attempt_before_had_begun_is_finished_in_a_freeze(shop, hooks, hold):
    """Hosts that a killed controller left out of traffic are not left there because a freeze has begun since."""
    run = shop.start_rolling("2.0", rollout_hooks=hold(), **RAMP)
    hold.until(run)
    run.send(signal.SIGKILL)
    hold.let_go()
    shop.assert_as_ever(HALFWAY, app2=("disabled", 100), app3=("disabled", 100))
    frozen = {"rollout_gates": [freeze_of_today()], "rollout_frozen": "halt", "rolling_batches": [2]}
    shop.roll("2.0", hosts="app1:app2:app3:app4", **frozen).assert_bad("HALTED before batch 3: frozen until ", "still to come: app4")
    shop.assert_as_ever({**DONE, "app4": "1.0"})
    shop.promote(hosts="app1:app2:app3:app4", rollout_gates=[]).assert_good()
    shop.assert_as_ever({**DONE, "app4": "2.0"})


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"before": "rollout", "freeze": {"from": "1:00", "timezone": "Mars/Olympus"}}, "`timezone` is 'Mars/Olympus'"),
        ({"before": "batch", "url": "http://127.0.0.1:1", "wait": 900}, "Make rollout_lease_ttl longer than that."),
    ],
)
def test_a_gate_that_makes_no_sense_is_named_before_anything_is_contacted(shop, gate, words):
    shop.roll("2.0", rollout_gates=[gate]).assert_bad(words, "Nothing was touched.")
    assert not shop.journal.exists()
    # The way back is open all the same.
    if "timezone" in words:
        shop.roll_back(rollout_gates=[gate]).assert_good()


@pytest.mark.thorough
def test_all_mistakes_are_named_at_once(shop):
    gates = [{"before": "rollout", "freeze": {"days": ["fri"], "from": "25:00"}}, {"before": "batch", "url": "x", "approval": "y"}]
    run = shop.roll("2.0", rollout_gates=gates, rollout_frozen="stop").assert_bad("rollout_frozen")
    run = shop.roll("2.0", rollout_gates=gates)
    run.assert_bad("Gate 1 (before rollout): `from` is '25:00'", "Gate 2 (before batch): it is exactly one of")


@pytest.mark.thorough
def test_a_rollout_that_was_cut_off_is_not_promoted(shop, hold):
    run = shop.start_rolling("2.0", rollout_hooks=hold(), **RAMP)
    hold.until(run)
    shop.promote().assert_bad("Rollout ", "to 2.0 is under way.")
    run.send(signal.SIGKILL)
    # Whatever of it is still waiting ends.
    hold.let_go()
    promoted = shop.promote()
    promoted.assert_bad("Nothing of service shop waits to be promoted.")


@pytest.mark.thorough
@CORES
def test_the_playbook_of_another_strategy_than_the_promoted_one_reaches_nobody(shop, tmp_path, core):
    """Not even where that one has left a plan, which is what this run has before it comes to the second playbook."""
    mine = {"ansible.builtin.import_playbook": "zero_downtime.deploy.rolling", "vars": {"rollout_version": "2.0"}}
    other = {**mine, "vars": {"rollout_version": "2.1", "__rollout_promoted": "{{ 'canary' == 'rolling' }}"}}
    (tmp_path / "both.yml").write_text(yaml.safe_dump([mine, other]))
    run = shop.play(str(tmp_path / "both.yml"), rollout_hosts="app1").assert_good()
    shop.assert_as_ever({"app1": "2.0"})
    assert run.output.count("PLAY [Plan the rollout]") == 2 and run.output.count("TASK [Take the lease of the service]") == 1
    assert len(shop.journals()) == 1


@pytest.mark.thorough
def test_a_gate_in_a_playbook_of_its_own(shop, office, tmp_path):
    gate = {"zero_downtime.deploy.gate": {"gates": [{"url": office.url}, {"freeze": NEVER}]}, "delegate_to": "localhost", "run_once": True}
    (tmp_path / "site.yml").write_text(yaml.safe_dump([{"hosts": "app1:app2", "gather_facts": False, "tasks": [gate]}]))
    shop.play(str(tmp_path / "site.yml")).assert_good()
    assert len(office.asked) == 1
    office.answers = [500]
    shop.play(str(tmp_path / "site.yml")).assert_bad("The way is not open: ", "does not answer 2xx", "or give it more time (wait).")
    gate["zero_downtime.deploy.gate"]["gates"] = [{"url": office.url}, {"freeze": ALWAYS}]
    (tmp_path / "site.yml").write_text(yaml.safe_dump([{"hosts": "app1:app2", "gather_facts": False, "tasks": [gate]}]))
    run = shop.play(str(tmp_path / "site.yml"))
    run.assert_bad("The way is not open: frozen with no end in sight.", "leave no time between them")
    # The freeze was looked at first.
    assert len(office.asked) == 2


@pytest.mark.thorough
def test_a_hook_that_fails_closes_the_way(shop, hooks):
    run = shop.roll("2.0", rollout_hooks=hooks(before_rollout=[fails("app2")]), rollout_gates=ASKED, **RAMP)
    run.assert_bad("app2: hook before_rollout")
    shop.assert_as_ever(dict.fromkeys(HOSTS, "1.0"))
