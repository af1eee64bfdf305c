# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions on real files and on a real etcd; several owners, several processes, a clock of our own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    Refused,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.keep_journal import (
    ARGUMENT_SPEC,
    KEEP,
    run,
)
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.places import (
    ALEX,
    KIM,
    InEtcd,
    InFiles,
)

PLACES = ("files", "etcd")


def place(name, request):
    """A service whose records stand nowhere else: in files, or in etcd."""
    if name == "etcd":
        return InEtcd(request.getfixturevalue("etcd"))
    return InFiles(request.getfixturevalue("tmp_path") / "state")


@pytest.fixture(params=PLACES)
def shop(request):
    return place(request.param, request)


@pytest.fixture
def in_files(request):
    return place("files", request)


def test_a_whole_rollout(shop):
    begun = shop.begin()
    assert begun["fence"] == 1 and begun["id"] == "20261121T100000Z-2-1" and not begun["resumed"]
    assert begun["taken_over_from"] is None
    recorded = shop.record(begun, before={"lb1": {"web1": 100}}, plan=[["web1"]], event="batch_begun", hosts=["web1"])
    assert recorded["changed"] and "batch_begun: web1" in recorded["diff"]["after"]
    done = shop.finish(begun, summary={"hosts": 1})
    assert done["changed"] and not done["lease"]["held"]
    assert "outcome: succeeded" in done["diff"]["after"]
    known = shop("read")
    assert known["journal"] is None and known["lease"]["fence"] == 1
    assert known["last"]["before"] == {"lb1": {"web1": 100}} and known["last"]["summary"] == {"hosts": 1}
    assert known["history"] == [known["last"]]


def test_files_are_for_their_owner_and_group(in_files):
    in_files.record(in_files.begin(), event="x")
    files = [os.path.join(directory, name) for directory, _names, names in os.walk(in_files.path) for name in names]
    assert len(files) == 3 and {stat.S_IMODE(os.stat(path).st_mode) for path in files} == {0o640}


def test_a_run_with_nothing_to_do_changes_nothing_and_leaves_no_trace(shop):
    begun = shop.begin()
    shop.record(begun, event="done")
    shop.finish(begun)
    before = shop.all()
    second = shop.begin()
    done = shop.finish(second, "nothing_to_do")
    assert not second["changed"] and not done["changed"] and second["fence"] == 2
    after = shop.all()
    assert {name for name in after if after[name] != before.get(name)} - shop.bookkeeping == {"lease"}
    assert not shop.finish(second, "nothing_to_do")["changed"]


def test_nothing_to_do_keeps_what_was_recorded_or_inherited(shop):
    first = shop.begin()
    shop.record(first, before={"a": 1})
    second = shop.begin(ALEX, version="3", take_over=True)
    assert shop.finish(second, "nothing_to_do")["changed"]
    assert shop("read")["last"]["before"] == {"a": 1}


def test_what_could_not_be_read_again_is_not_written(shop):
    begun = shop.begin()
    before = shop.all()
    with pytest.raises(InvalidInput, match=r"details\.step is text, not a whole number\. Nothing was written"):
        shop.record(begun, event="canary_step_passed", details={"step": "1"})
    assert shop.all() == before


def test_reading_what_is_not_there_creates_nothing(shop):
    known = shop("read")
    assert known["lease"]["held"] is False and known["lease"]["fence"] == 0
    assert (known["journal"], known["last"], known["history"]) == (None, None, [])
    with pytest.raises(Refused):
        shop("record", id="20261121T100000Z-2-1", fence=1)
    assert shop.nothing_there()


def test_the_owner_gets_its_running_rollout_again(shop):
    first = shop.begin()
    shop.pass_time(600)
    again = shop.begin()
    assert (again["id"], again["fence"], again["resumed"], again["changed"]) == (first["id"], 1, True, False)
    assert again["lease"]["expires"] == shop("read")["lease"]["expires"] == "2026-11-21T10:25:00Z"


def test_the_owner_may_turn_to_another_version(shop):
    first = shop.begin()
    shop.record(first, before={"a": 1})
    other = shop.begin(version="3")
    assert other["fence"] == 2 and other["changed"] and other["journal"]["before"] == {"a": 1}
    with pytest.raises(Refused):
        shop.record(first, event="late")


def test_a_held_lease_is_refused_and_nothing_is_written(shop):
    shop.begin()
    before = shop.all()
    with pytest.raises(Refused, match="held by kim on c1") as refusal:
        shop.begin(ALEX)
    assert refusal.value.facts["holder"]["owner"]["pid"] == 10
    assert shop.all() == before


def test_a_crashed_rollout_is_resumed_after_its_expiry(shop):
    first = shop.begin(ttl=60)
    shop.record(first, before={"a": 1}, event="batch_begun", hosts=["web1"])
    shop.pass_time(59)
    with pytest.raises(Refused):
        shop.begin(ALEX)
    shop.pass_time(1)
    second = shop.begin(ALEX)
    assert second["resumed"] and second["id"] == first["id"] and second["fence"] == 2
    assert second["journal"]["events"][0]["event"] == "batch_begun"
    assert second["taken_over_from"]["owner"]["name"] == "kim" and second["taken_over_from"]["reason"] == "expired"
    before = shop.all()
    for late in (lambda: shop.record(first, event="late"), lambda: shop.finish(first)):
        with pytest.raises(Refused, match="number 2 is held by alex"):
            late()
    assert shop.all() == before


def test_an_expired_lease_that_nobody_took_is_still_its_owners(shop):
    begun = shop.begin(ttl=60)
    shop.pass_time(3600)
    assert shop("read")["lease"]["expired"]
    shop.record(begun)
    known = shop("read")["lease"]
    assert not known["expired"] and known["ttl"] == 60


def test_a_heartbeat_changes_nothing_but_the_lease(shop):
    begun = shop.begin()
    shop.pass_time(100)
    beat = shop.record(begun)
    assert not beat["changed"] and beat["lease"]["renewed"] == "2026-11-21T10:01:40Z"


def test_a_dead_owner_under_its_number(shop):
    first = shop.begin()
    with pytest.raises(Refused):
        shop.begin(ALEX, dead_fence=7)
    second = shop.begin(ALEX, dead_fence=first["fence"])
    assert second["taken_over_from"]["reason"] == "dead"


def test_a_late_finish_after_the_other_one_finished_is_refused(shop):
    first = shop.begin()
    second = shop.begin(ALEX, take_over=True)
    assert second["changed"] and second["taken_over_from"]["reason"] == "take_over"
    shop.finish(second)
    with pytest.raises(Refused):
        shop.finish(first)


def test_finishing_twice(shop):
    begun = shop.begin()
    shop.record(begun, event="x")
    shop.finish(begun)
    before = shop.all()
    assert not shop.finish(begun)["changed"]
    assert shop.all() == before
    with pytest.raises(Refused):
        shop.finish(begun, "abandoned")


def test_finishing_again_lets_go_of_a_lease_that_a_crash_left(shop):
    begun = shop.begin()
    shop.record(begun, event="x")
    lease = shop.all()["lease"]
    shop.finish(begun)
    shop.put("lease", lease)
    assert not shop.finish(begun)["changed"]
    assert not shop("read")["lease"]["held"]


def test_the_number_never_goes_back_even_when_the_lease_is_lost(shop):
    for _time in range(3):
        begun = shop.begin()
        shop.record(begun, event="x")
        shop.finish(begun)
    shop.remove("lease")
    assert shop.begin()["fence"] == 4


def test_old_ones_are_pruned_and_an_unfinished_one_never(shop):
    first = shop.begin()
    shop.record(first, event="x")
    unfinished = shop.all()["rollouts/" + first["id"]]
    shop.finish(first)
    for _time in range(KEEP + 2):
        begun = shop.begin()
        shop.record(begun, event="x")
        shop.finish(begun)
    ids = [journal["id"] for journal in shop("read", history=100)["history"]]
    assert len(ids) == KEEP and first["id"] not in ids and ids[0] == begun["id"]
    # A begin that was cut off can leave an unfinished one behind a finished one.
    shop.put("rollouts/" + first["id"], unfinished)
    assert shop("read")["journal"]["id"] == first["id"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"kind": "zero_downtime.deploy/lease", "format": 1}', b"[]"])
def test_a_damaged_lease_is_named_and_left_alone(shop, content):
    begun = shop.begin()
    shop.put("lease", content)
    before = shop.all()
    for action in (shop.begin, lambda: shop("read"), lambda: shop.record(begun), lambda: shop.finish(begun)):
        with pytest.raises(DeployError, match=r"shop/lease(\.json)? is not what it should be"):
            action()
    assert shop.all() == before


def test_a_lease_with_unusable_times_or_of_another_service_is_named(shop):
    shop.begin()
    data = json.loads(shop.all()["lease"])
    for wrong in ({"expires": "tomorrow"}, {"expires": None}, {"service": "other"}, {"ttl": None}):
        shop.put("lease", json.dumps(dict(data, **wrong)).encode())
        with pytest.raises(DeployError, match="Nothing was changed"):
            shop.begin(ALEX)


def test_a_damaged_journal_is_named_and_left_alone(shop):
    begun = shop.begin()
    name = "rollouts/" + begun["id"]
    shop.put(name, b"{}")
    with pytest.raises(DeployError, match="is not what it should be"):
        shop.record(begun, event="x")
    shop.remove(name)
    with pytest.raises(DeployError, match="is gone"):
        shop.record(begun, event="x")


def test_other_peoples_records_are_left_alone(shop):
    shop.begin()
    for name in ("notes.txt", "notes.json", "x.tmp"):
        shop.put("rollouts/" + name, b"mine")
    again = shop.begin(ALEX, take_over=True)
    shop.finish(again)
    assert list(shop.all().values()).count(b"mine") == 3


@pytest.mark.parametrize("service", ["", "..", "a/b", ".hidden", "-x", "a\n", "x" * 101, "a b"])
def test_unsafe_names(shop, service):
    with pytest.raises(InvalidInput, match="name of a service"):
        run({"etcd": None, **shop.given, "action": "read", "service": service}, False, shop.clock)


@pytest.mark.parametrize(
    "options", [{"ttl": 0}, {"version": " "}, {"strategy": ""}], ids=lambda options: list(options)[0]
)
def test_senseless_options(shop, options):
    with pytest.raises(InvalidInput):
        shop.begin(**options)
    assert shop.nothing_there()


def test_without_an_owner_nothing_begins(shop):
    with pytest.raises(InvalidInput, match="owner is missing"):
        shop.begin(None)


def test_a_foreign_id_leads_nowhere_else(shop):
    begun = shop.begin()
    for wrong in ("../lease", "x"):
        with pytest.raises(DeployError):
            shop("record", id=wrong, fence=begun["fence"], event="x")
        with pytest.raises(DeployError):
            shop("finish", id=wrong, fence=begun["fence"], outcome="nothing_to_do")


def test_check_mode_says_what_would_be_and_writes_nothing(shop):
    begun = shop.begin(check_mode=True)
    assert begun["fence"] == 1
    assert shop.record(begun, check_mode=True, event="batch_begun")["changed"]
    assert shop.finish(begun, check_mode=True)["changed"]
    assert not shop.finish(begun, "nothing_to_do", check_mode=True)["changed"]
    assert shop.nothing_there()

    first = shop.begin()
    shop.record(first, event="x")
    before = shop.all()
    with pytest.raises(Refused):
        shop.begin(ALEX, check_mode=True)
    taken = shop.begin(ALEX, take_over=True, check_mode=True)
    assert taken["resumed"] and taken["fence"] == 2 and taken["id"] == first["id"]
    assert shop.record(taken, check_mode=True, event="y")["changed"]
    assert shop.finish(taken, check_mode=True)["changed"]
    assert shop.finish(first, check_mode=True)["changed"]
    with pytest.raises(Refused):
        shop("record", id=first["id"], fence=9, event="x", check_mode=True)
    assert shop.all() == before


def test_check_mode_tells_that_the_directory_cannot_be_made(in_files):
    with open(in_files.path, "w", encoding="utf-8") as stream:
        stream.write("a file in its place")
    for check_mode in (True, False):
        with pytest.raises(DeployError, match="Not a directory|Cannot make the directory"):
            in_files.begin(check_mode=check_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_missing_permission_is_told_in_check_mode_too(in_files):
    os.mkdir(in_files.path, 0o500)
    for check_mode in (True, False):
        with pytest.raises(DeployError, match="become: true"):
            in_files.begin(check_mode=check_mode)


WAITS = {"point": "batch", "number": 2, "why": "waiting for approval: x", "waits_for": "approval"}


def paused(shop, **options):
    begun = shop.begin()
    shop.record(begun, event="planned", before={"a": 1})
    return begun, shop("pause", id=begun["id"], fence=begun["fence"], **{**WAITS, **options})


def test_a_pause_lets_the_lease_go_and_leaves_the_journal_unfinished(shop):
    begun, done = paused(shop)
    assert done["changed"] and not done["lease"]["held"] and "paused" in done["diff"]["after"]
    known = shop("read")
    assert known["journal"]["outcome"] is None and known["journal"]["events"][-1]["details"] == WAITS
    waits = known["waits"]
    assert (waits["id"], waits["point"], waits["number"], waits["approved_by"]) == (begun["id"], "batch", 2, None)
    with pytest.raises(Refused):
        shop.record(begun, event="late")


def test_somebody_else_approves_and_goes_on(shop):
    begun, _done = paused(shop)
    approved = shop("approve", owner=ALEX)
    assert approved["changed"] and approved["waits"]["approved_by"] == "alex on c2 (process 11)"
    again = shop.begin(ALEX)
    assert again["resumed"] and again["id"] == begun["id"] and again["journal"]["before"] == {"a": 1}
    assert again["journal"]["events"][-1]["details"] == {"point": "batch", "number": 2, "who": "alex on c2 (process 11)"}
    shop.record(again, event="batch_begun")
    assert shop("read")["waits"] is None


def test_an_approval_of_what_does_not_wait_is_refused(shop):
    def refused(words, **options):
        before = shop.all()
        with pytest.raises(Refused, match=words):
            shop("approve", owner=ALEX, **options)
        assert shop.all() == before

    refused("no rollout has paused")
    assert shop.nothing_there()
    begun, _done = paused(shop)
    refused("paused before batch 2, not before batch 3", point="batch", number=3)
    refused("paused before batch 2, not before the switch", point="switch")
    shop("approve", owner=ALEX, point="batch", number=2)
    refused("alex on c2 .* has approved that already")
    again = shop.begin(ALEX)
    refused("its lease is held by alex on c2")
    shop.record(again, event="planned")
    shop.pass_time(1000)
    # Nobody holds it any more, and what was cut off waits for nothing.
    refused("no rollout has paused")
    shop.finish(again)
    refused("no rollout has paused")
    begun, _done = paused(shop, waits_for="gate", why="frozen")
    refused("waits for no person: frozen")


def test_an_approval_needs_somebody(shop):
    paused(shop)
    with pytest.raises(InvalidInput, match="who approves the rollout"):
        shop("approve")


def test_another_version_takes_the_place_of_a_paused_one_and_its_approval_is_void(shop):
    paused(shop)
    shop("approve", owner=ALEX)
    other = shop.begin(ALEX, version="3")
    assert not other["resumed"] and other["journal"]["events"] == [] and other["journal"]["before"] == {"a": 1}
    assert shop("read")["waits"] is None


def test_who_lost_the_lease_cannot_pause(shop):
    begun = shop.begin()
    shop.begin(ALEX, take_over=True)
    before = shop.all()
    with pytest.raises(Refused, match="number 2 is held by alex"):
        shop("pause", id=begun["id"], fence=begun["fence"], **WAITS)
    assert shop.all() == before


def test_check_mode_pauses_and_approves_nothing(shop):
    begun = shop.begin(check_mode=True)
    assert shop("pause", id=begun["id"], fence=begun["fence"], check_mode=True, **WAITS)["changed"]
    assert shop.nothing_there()
    paused(shop)
    before = shop.all()
    assert shop("approve", owner=ALEX, check_mode=True)["waits"]["approved_by"]
    assert shop.all() == before


# Begins whenever it is told to, says how that went, and finishes what it has begun when it is told so.
BEGINNER = """
import json, sys
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.keep_journal import ARGUMENT_SPEC, run
given, number = json.loads(sys.argv[1]), sys.argv[2]
params = {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
owner = {"name": number, "controller": "c1", "pid": int(number), "process_started": 1}
params.update(given, service="shop", version="2", strategy="rolling", owner=owner)
print("ready", flush=True)
for line in sys.stdin:
    if line == "begin\\n":
        try:
            begun = run(dict(params, action="begin"), False, Clock())
            print("won", begun["fence"], flush=True)
        except Refused as error:
            assert error.message.startswith("The lease of service shop is held by %s on c1" % error.facts["holder"]["owner"]["name"])
            print("lost", error.facts["holder"]["owner"]["name"], flush=True)
    else:
        run(dict(params, action="finish", id=begun["id"], fence=begun["fence"], outcome="abandoned"), False, Clock())
        print("finished", flush=True)
"""
ROUNDS = 30


def test_of_several_processes_at_once_exactly_one_wins_each_time(shop):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    validated = ArgumentSpecValidator(ARGUMENT_SPEC).validate({**shop.given, "action": "read", "service": "shop"})
    given = json.dumps({name: validated.validated_parameters[name] for name in ("path", "etcd")})
    numbers = [str(number) for number in range(1, 5)]
    beginners = {
        number: subprocess.Popen(
            [sys.executable, "-c", BEGINNER, given, number], env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for number in numbers
    }
    try:
        assert all(beginner.stdout.readline() == "ready\n" for beginner in beginners.values())
        for fence in range(1, ROUNDS + 1):
            for beginner in beginners.values():
                beginner.stdin.write("begin\n")
            said = {number: beginner.stdout.readline().split() for number, beginner in beginners.items()}
            (winner,) = (number for number in numbers if said[number] == ["won", str(fence)])
            assert {number for number in numbers if said[number] == ["lost", winner]} == {*numbers} - {winner}, said
            beginners[winner].stdin.write("finish\n")
            assert beginners[winner].stdout.readline() == "finished\n"
    finally:
        for beginner in beginners.values():
            beginner.kill()
            beginner.communicate()


class Owners(RuleBasedStateMachine):
    """Two owners, interleaved in any way, with time passing: what must always hold."""

    def __init__(self, shop):
        super().__init__()
        self.shop = shop
        self.owners = {"kim": KIM, "alex": ALEX}
        self.begun = {}
        self.holder = None
        self.fence = 0
        self.first_seen = {}

    who = st.sampled_from(["kim", "alex"])

    @rule(who=who, version=st.sampled_from(["2", "3"]), take_over=st.booleans())
    def begin(self, who, version, take_over):
        expired = self.shop("read")["lease"]["expired"]
        may = self.holder in (None, who) or expired or take_over
        try:
            begun = self.shop.begin(self.owners[who], version=version, take_over=take_over)
        except Refused as refusal:
            assert not may
            assert refusal.facts["holder"]["owner"]["name"] == self.holder
            return
        assert may
        again = self.holder == who and begun["fence"] == self.fence
        assert begun["fence"] == self.fence + (0 if again else 1)
        if self.holder is None and not begun["resumed"] and not begun["journal"]["supersedes"]:
            self.first_seen = {}
        self.begun[who], self.holder, self.fence = begun, who, begun["fence"]

    @precondition(lambda self: self.begun)
    @rule(who=who, key=st.sampled_from("ab"), value=st.integers())
    def record(self, who, key, value):
        if who not in self.begun:
            return
        try:
            self.shop.record(self.begun[who], before={key: value}, event="e")
        except Refused:
            assert who != self.holder
            return
        assert who == self.holder, "a late owner has written"
        self.first_seen.setdefault(key, value)

    @precondition(lambda self: self.begun)
    @rule(who=who)
    def finish(self, who):
        if who not in self.begun:
            return
        try:
            result = self.shop.finish(self.begun[who])
        except Refused:
            assert who != self.holder
            return
        assert who == self.holder or not result["changed"]
        if who == self.holder:
            self.holder = None

    @rule(seconds=st.sampled_from([1, 500, 900]))
    def pass_time(self, seconds):
        self.shop.pass_time(seconds)

    @invariant()
    def one_holder_and_the_first_observation(self):
        known = self.shop("read")
        owner = known["lease"]["owner"]
        assert (owner["name"] if owner else None) == self.holder
        assert known["lease"]["fence"] == self.fence
        if known["journal"]:
            assert known["journal"]["before"] == self.first_seen
        assert len([name for name in self.shop.all() if name.endswith(".tmp")]) == 0


@pytest.mark.parametrize(("name", "examples"), [("files", 40), ("etcd", 15)])
def test_owners_in_any_order(request, tmp_path_factory, name, examples):
    def owners():
        if name == "etcd":
            return Owners(InEtcd(request.getfixturevalue("etcd")))
        return Owners(InFiles(tmp_path_factory.mktemp("owners")))

    run_state_machine_as_test(owners, settings=settings(max_examples=examples, stateful_step_count=20, deadline=None))
