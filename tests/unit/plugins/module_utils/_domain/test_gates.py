# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which gates stand before which point, and what makes no sense."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import gates
from ansible_collections.zero_downtime.deploy.plugins.module_utils._zones import zone

FREEZE = {"freeze": {"from": "1:00", "to": "2:00"}}
URL = {"url": "http://192.0.2.1/"}
APPROVAL = {"approval": "x"}


def read(*entries):
    found, wrong = gates.read(list(entries), zone)
    assert wrong == []
    return found


def wrong(entry):
    found, sentences = gates.read([{"before": "batch", **APPROVAL}, entry], zone)
    assert len(found) == 1 and all(one.endswith(".") for one in sentences)
    return " ".join(sentences)


def faced(entries, *where):
    return [(gate.kind, gate.before, gate.wait) for gate in gates.facing(read(*entries), *where)]


def test_what_makes_no_sense_is_named():
    assert wrong({"before": "batch"}) == "Gate 2 (before batch): it is exactly one of `freeze`, `approval` and `url`, and has none."
    assert "has `freeze` and `url`" in wrong({**FREEZE, **URL})
    assert "`approval` is empty" in wrong({"approval": " "})
    assert "`wait` makes no sense beside `approval`" in wrong({**APPROVAL, "wait": 5.0})
    assert "`number` is 0; it counts batches or steps" in wrong({"before": "batch", "number": 0, **APPROVAL})
    assert "`number` is 1; it counts" in wrong({"before": "switch", "number": 1, **APPROVAL})
    for seconds in (-1.0, float("nan"), float("inf")):
        assert "`wait` is" in wrong({**URL, "wait": seconds})
    assert "`interval` is 0; it is a number of seconds, above 0" in wrong({**URL, "interval": 0.0})
    assert "`headers`, `ca_path` goes with `url` alone" in wrong({**FREEZE, "headers": {}, "ca_path": "/x"})
    both = wrong({**APPROVAL, **URL, "freeze": {"from": "x", "timezone": "y"}})
    assert both.startswith("Gate 2: ") and both.count(";") == 2


def test_in_a_rollout_more_is_asked():
    known = read({"before": "batch", **URL, "wait": 900.0}, {"before": "rollout", **FREEZE}, {**URL})
    said = " ".join(gates.of_a_rollout(known, "wait", 900.0))
    assert "A gate before batch may be waited for during 900 s (`wait`), and the lease is lost after 900 s." in said
    assert "rollout_frozen is wait, and a freeze before rollout has no `wait`" in said
    assert "A gate has no `before`" in said
    assert len(gates.of_a_rollout(known, "halt", 901.0)) == 1


def test_the_quickest_are_looked_at_first():
    entries = [{"before": "batch", **kind} for kind in (URL, APPROVAL, FREEZE)]
    assert [kind for kind, _before, _wait in faced(entries, "batch", 1, "finish")] == ["freeze", "approval", "url"]


def test_a_number_picks_one_batch():
    entries = [{"before": "batch", "number": 2, **APPROVAL}, {"before": "batch", **URL}]
    assert [kind for kind, _before, _wait in faced(entries, "batch", 1, "finish")] == ["url"]
    assert [kind for kind, _before, _wait in faced(entries, "batch", 2, "finish")] == ["approval", "url"]


def test_a_freeze_before_the_rollout_is_looked_at_again_as_chosen():
    entries = [{"before": "rollout", **FREEZE, "wait": 60.0}, {"before": "rollout", **URL}]
    for frozen in gates.FROZEN:
        assert faced(entries, "rollout", None, frozen) == [("freeze", "rollout", 60.0), ("url", "rollout", 0.0)]
    assert faced(entries, "batch", 1, "finish") == []
    assert faced(entries, "batch", 1, "halt") == [("freeze", "rollout", 0.0)]
    assert faced(entries, "batch", 1, "wait") == [("freeze", "rollout", 60.0)]
    assert gates.points(entries, "finish") == ["rollout"]
    assert gates.points(entries, "halt") == gates.points(entries, "wait") == list(gates.POINTS)
    # One that stands there of its own is always looked at.
    own = [{"before": "switch", **FREEZE, "wait": 60.0}]
    assert faced(own, "switch", None, "finish") == faced(own, "switch", None, "halt") == [("freeze", "switch", 60.0)]
    assert faced(own, "promotion", None, "wait") == []


def test_alone_all_are_looked_at():
    assert len(faced([{"before": "batch", "number": 3, **URL}, FREEZE], None, None, "finish")) == 2


entries = st.lists(
    st.one_of(st.sampled_from([FREEZE, URL, APPROVAL])).flatmap(
        lambda kind: st.fixed_dictionaries({"before": st.sampled_from(gates.POINTS)}).map(lambda place: {**place, **kind})
    ),
    max_size=5,
)


@given(entries, st.sampled_from(gates.POINTS), st.sampled_from(gates.FROZEN))
def test_a_point_that_is_left_out_has_nothing_to_look_at(found, point, frozen):
    """What leaves the step out of a playbook, before the gates are read, agrees with what looks at them."""
    assert bool(gates.facing(read(*found), point, 1, frozen)) == (point in gates.points(found, frozen))


@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.one_of(st.text(), st.dictionaries(st.text(), st.text())))))
def test_nonsense_stands_nowhere(found):
    """A rollback reads these, and stumbles over nothing."""
    assert gates.points(found, "wait") == []


def test_an_approval_is_for_one_point_and_number():
    given_ = [{"point": "batch", "number": 2}, {"point": "switch", "number": None}]
    assert gates.approved(given_, "batch", 2) and gates.approved(given_, "switch", None)
    assert not gates.approved(given_, "batch", 3) and not gates.approved(given_, "promotion", None) and not gates.approved([], "batch", 2)
