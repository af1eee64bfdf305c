# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as text: whole, closed to whatever a record says, small."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as tree
from html.parser import HTMLParser

import pytest
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.report import page
from ansible_collections.zero_downtime.deploy.tests.support.records import samples

SECTIONS = [
    "figures",
    "story",
    "timeline",
    "traffic",
    "errors",
    "latency",
    "members",
    "failures",
    "verdicts",
    "counters",
    "events",
]
# Elements that have no end.
VOID = {"meta", "input", "br", "img", "link"}


class Outline(HTMLParser):
    """What a browser would find: elements with their attributes, texts, and elements that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open, self.wrong = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]


def drawn(record):
    return page.render(record, "shop-1", "9.9.9")


@pytest.fixture(scope="module", params=list(samples.SAMPLES))
def outline(request):
    return Outline(drawn(samples.SAMPLES[request.param]()))


def test_every_section_is_there_and_says_something(outline):
    assert [each["id"] for each in outline.all("section")] == SECTIONS
    assert (outline.wrong, outline.open) == ([], [])


def test_ids_are_unique_and_labels_lead_somewhere(outline):
    ids = [attributes["id"] for _tag, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    meant = {one for _tag, attributes in outline.elements for one in attributes.get("aria-labelledby", "").split()}
    assert meant <= set(ids)


def test_tables_have_captions_and_headers_with_a_scope(outline):
    assert all(header.get("scope") in ("col", "row", "rowgroup") for header in outline.all("th"))
    assert len(outline.all("caption")) == len(outline.all("table"))


def test_every_drawing_is_described_or_hidden(outline):
    for attributes in outline.all("svg"):
        inner = "viewbox" in attributes and "preserveaspectratio" in attributes
        assert (
            inner
            or attributes.get("aria-hidden") == "true"
            or {"role", "aria-label"} <= set(attributes)
            or {"role", "aria-labelledby"} <= set(attributes)
        )


def test_nothing_is_loaded_and_nothing_runs_but_our_own(outline):
    assert len(outline.all("script")) == len(outline.all("style")) == 1
    for tag, attributes in outline.elements:
        assert not {"src", "href", "style", "srcset", "action", "formaction", "data", "poster", "xlink:href"} & set(
            attributes
        ), tag
        assert not [name for name in attributes if name.startswith("on")], tag
    (policy,) = [each["content"] for each in outline.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy


def test_the_policy_names_script_and_style_by_their_hashes():
    text = drawn(samples.nothing())
    policy = Outline(text).all("meta")[1]["content"]
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'" in policy


@pytest.mark.parametrize("part", ["page.css", "page.js"])
def test_style_and_script_cannot_end_early_and_load_nothing(part):
    text = (page.HERE / part).read_text(encoding="utf-8")
    assert "</" not in text and "<!--" not in text
    assert not re.search(r"https?:|@import|url\((?!#)|innerHTML|eval|fetch", text)


def test_who_names_things_badly_does_not_get_in():
    outline = Outline(drawn(samples.hostile()))
    told = "".join(outline.texts)
    # It is all there, as text.
    assert "<script>document.title='broken into'</script>" in told and "\"'><img src=x onerror=" in told
    assert not outline.all("img")
    titles = [attributes.get("title", "") for attributes in outline.all("th")]
    assert "<script>document.title='broken into'</script>" in titles


def test_drawings_are_well_formed():
    """A browser forgives much in HTML; XML does not."""
    for drawing in re.findall(r'<div class="chart.*?</div>', drawn(samples.hostile()), re.DOTALL):
        tree.fromstring(drawing)


def test_it_is_the_same_for_the_same_record():
    assert drawn(samples.rolled_back()) == drawn(samples.rolled_back())


def test_a_thousand_hosts_and_an_hour_are_no_burden():
    record = samples.thousand()
    assert (
        len({phase["host"] for phase in record["phases"]}) == 1000 and len(record["felt"]["series"]["requests"]) == 3600
    )
    text = drawn(record)
    assert len(text.encode()) < 2_500_000
    assert text.count('<details class="batch">') == 10 and "Hosts that failed" in text
    # Every host has its row, and a line in the overview.
    assert all(
        f'title="{host}"' in text for host in ("web0001.eu-central.example.net", "web1000.eu-central.example.net")
    )


def test_many_events_are_cut_in_the_middle():
    record = samples.nothing()
    record["events"] = [
        {"time": 1795320723.0 + at, "event": f"event_{at}", "hosts": [], "details": {}} for at in range(1000)
    ]
    text = drawn(record)
    assert "Event 199<" in text and "Event 200<" not in text and "Event 799<" not in text and "Event 800<" in text
    assert "600 events left out here" in text and "1,000 events" in text


def test_outcome_in_words_and_figures():
    text = drawn(samples.rolled_back())
    assert "<title>shop 1.4.2: rolled back</title>" in text and '<body class="warn">' in text
    assert '37\u202f<span class="unit">%</span>' in text
    assert "zero_downtime.deploy 9.9.9" in text and "shop-1.json" in text


def test_units_are_set_apart_and_numbers_are_not():
    assert page.units("1 min 35 s") == '1\u202f<span class="unit">min</span> 35\u202f<span class="unit">s</span>'
    assert page.units("<b>") == '&lt;\u202f<span class="unit">b</span>&gt;'


def test_no_line_ends_before_a_unit():
    assert (
        page.unbroken("4 of 1,070 s (0.37 %), 2 min 3 s or 5 stones")
        == "4 of 1,070\u00a0s (0.37\u00a0%), 2\u00a0min 3\u00a0s or 5 stones"
    )
    assert "all within 12\u00a0s." in drawn(samples.rolled_back())


def test_what_is_not_known_is_said_and_not_drawn():
    text = drawn(samples.no_probe())
    assert text.count("No probe was running, so ") == 4
    for sentence in ("No judge compared the versions", "The balancers were not asked for their counters"):
        assert sentence in text
    empty = drawn({**samples.nothing(), "lines": [], "events": []})
    for sentence in (
        "No host was to be touched",
        "The journal has no events",
        "The run said nothing at its end",
        "No host failed",
    ):
        assert sentence in empty
