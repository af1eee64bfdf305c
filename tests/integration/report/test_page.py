# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as a reader has it: made by a playbook, opened in a real browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml
from ansible_collections.zero_downtime.deploy.tests.support.browser import chromium
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
LARGEST = 5_000_000  # bytes
# What is wider than its window, and texts that reach out of it.
TOO_WIDE = """
(() => {
  const width = document.documentElement.clientWidth;
  const found = [document.documentElement.scrollWidth > width ? `the page: ${document.documentElement.scrollWidth}` : null];
  for (const each of document.querySelectorAll("body *:not(.hidden):not(.hidden *)")) {
    const box = each.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1) && !each.closest(".wide thead"))
      found.push(`${each.tagName} ${each.getAttribute("class")}: ${box.left} to ${box.right}`);
  }
  return found.filter(Boolean).slice(0, 5);
})()
"""
# Texts whose contrast with what is behind them is below what WCAG 2 asks for (AA: 4.5, and 3 for large ones). A cross within a shape
# has the colours of text beside it, the other way round.
TOO_FAINT = """
(() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = each => {
    for (; each; each = each.parentElement) {
      const color = parts(getComputedStyle(each).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const each of document.querySelectorAll("body *")) {
    if (![...each.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    if (each.closest("title, desc, script, style, .inside, [hidden]")) continue;
    const style = getComputedStyle(each), svg = each.namespaceURI.endsWith("svg");
    const [one, other] = [light(parts(svg ? style.fill : style.color)), light(behind(each))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5))
      found.add(`${each.tagName} ${each.getAttribute("class")}: ${ratio.toFixed(2)}`);
  }
  return [...found];
})()
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The reports of all samples, written by a playbook."""
    path = tmp_path_factory.mktemp("reports")
    for name, record in samples.all_samples():
        (path / f"{name}.record").write_text(json.dumps(record), encoding="utf-8")
    task = {
        "name": "Write",
        "zero_downtime.deploy.rollout_report": {
            "record": "{{ lookup('ansible.builtin.file', '" + str(path) + "/' ~ item ~ '.record') | from_json }}",
            "directory": str(path),
            "name": "{{ item }}",
        },
        "loop": list(samples.SAMPLES),
    }
    (path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]), encoding="utf-8"
    )
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(path / "play.yml")]
    env = {**os.environ, "ANSIBLE_HOME": str(path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.fixture(scope="module")
def browser():
    program = chromium.find()
    if not program:
        pytest.skip("Debian's package chromium is not installed")
    with chromium.browser(program) as there:
        yield there


@pytest.fixture(params=list(samples.SAMPLES))
def name(request):
    return request.param


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_can_be_read(browser, directory, name, width, scheme):
    """Whole, quiet, not too wide, not too faint: folded, and with all unfolded."""
    browser.show(width, scheme)
    browser.open((directory / f"{name}.html").as_uri())
    assert (
        browser.run(
            "[...document.querySelectorAll('section')].filter(each => each.offsetHeight > 20).map(each => each.id)"
        )
        == SECTIONS
    )
    assert browser.run(TOO_WIDE) == []
    assert browser.run(TOO_FAINT) == []
    if name != "thousand":  # all its rows at once are nobody's reading, and half a minute of measuring
        browser.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert browser.run(TOO_WIDE) == []
        assert browser.run(TOO_FAINT) == []
    dark = browser.run("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    assert browser.complaints() == []


def test_whatever_a_host_is_called_nothing_of_it_runs(browser, directory):
    browser.show(1280)
    browser.open((directory / "hostile.html").as_uri())
    assert browser.run("document.title").startswith("../../etc/<script>") and "broken into" in browser.run(
        "document.title"
    )
    assert browser.run("[document.images.length, document.scripts.length]") == [0, 1]
    assert browser.complaints() == []


def test_the_policy_stops_what_would_get_in(browser, directory):
    """Even if something were not escaped: a script, a handler and an image that are put there do nothing."""
    browser.show(1280)
    browser.open((directory / "rolling.html").as_uri())
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.got_in = 1\"><p id=put style=\"color: red\">x</p>');"
        "var put = document.createElement('script'); put.textContent = 'window.got_in = 2'; document.body.append(put);"
        "new Promise(done => setTimeout(done, 0))"
    )
    assert browser.run("[typeof window.got_in, document.getElementById('put').style.color]") == ["undefined", ""]
    assert len([said for said in browser.complaints() if "Content Security Policy" in said]) >= 3


def test_a_thousand_hosts_and_an_hour(browser, directory, record_property):
    path = directory / "thousand.html"
    assert path.stat().st_size < LARGEST
    browser.show(1280)
    browser.open((directory / "rolling.html").as_uri())
    loaded = browser.open(path.as_uri())
    record_property("bytes", path.stat().st_size)
    record_property("milliseconds", loaded)
    print(f"1,000 hosts and an hour: {path.stat().st_size:,} bytes, loaded and laid out in {loaded:.0f} ms")
    assert browser.run("document.querySelectorAll('#timeline details tbody tr').length") == 1000


def test_a_host_is_found_by_its_name(browser, directory):
    browser.show(1280)
    browser.open((directory / "thousand.html").as_uri())
    browser.run(
        "var input = document.getElementById('filter'); input.value = ' WEB0348 '; input.dispatchEvent(new Event('input'))"
    )
    assert browser.run("document.getElementById('filtered').textContent") == "1 host"
    shown = (
        "[...document.querySelectorAll('#timeline details tbody tr')].filter(each => each.offsetHeight)"
        ".map(each => each.cells[0].textContent)"
    )
    assert browser.run(shown) == ["web0348.eu-central.example.net"]


def test_the_reader_s_theme_comes_before_the_system_s(browser, directory):
    browser.show(1280, "dark")
    browser.open((directory / "rolling.html").as_uri())
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.run("document.getElementById('theme').textContent") == "Theme: auto"
    dark = browser.run(ground)
    browser.run("document.getElementById('theme').click()")
    assert (browser.run("document.getElementById('theme').textContent"), browser.run(ground)) == (
        "Theme: light",
        "rgb(255, 255, 255)",
    )
    browser.show(1280, "light")
    browser.run("document.getElementById('theme').click()")
    assert (browser.run("document.getElementById('theme').textContent"), browser.run(ground)) == ("Theme: dark", dark)
    browser.run("document.getElementById('theme').click()")
    assert browser.run(ground) == "rgb(255, 255, 255)"


def test_what_is_pointed_at_is_told(browser, directory):
    browser.show(1280)
    browser.open((directory / "rolled_back.html").as_uri())
    browser.run("document.querySelector('tr.failed .ph.broken').scrollIntoView({block: 'center'})")
    # To scroll hides what is told, and is told two frames later.
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    x, y = browser.run(
        "(box => [box.left + box.width / 2, box.top + box.height / 2])"
        "(document.querySelector('tr.failed .ph.broken').getBoundingClientRect())"
    )
    browser.point_at(x, y)
    assert browser.run(
        "[document.getElementById('tip').hidden, document.getElementById('tip').textContent.slice(0, 15)]"
    ) == [False, "Check, failed: "]
    browser.point_at(2, 2)
    assert browser.run("document.getElementById('tip').hidden")
    assert browser.complaints() == []


def test_it_is_whole_without_its_script(browser, directory):
    browser.page("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.show(1280)
        browser.open((directory / "rolled_back.html").as_uri())
        text = browser.run("document.body.innerText")
    finally:
        browser.page("Emulation.setScriptExecutionDisabled", value=False)
    for said in ("Rolled back", "Time to roll back", "40 s, failed in check", "They agree", "Batch begun"):
        assert said in text
    assert "Theme:" not in text


def test_it_can_be_printed(browser, directory):
    browser.show(1280, "dark")
    browser.open((directory / "rolled_back.html").as_uri())
    assert browser.pdf().startswith(b"%PDF")
    browser.page(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    browser.page("Emulation.setEmulatedMedia", media="")
