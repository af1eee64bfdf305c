# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Apache's balancer-manager shows, in the design's words, and what is posted to it: without an Apache."""

from __future__ import annotations

import html
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import apache_page
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import Answer, HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change

COLUMNS = ("Worker URL", "Route", "RouteRedir", "Factor", "Set", "Status", "Elected", "Busy", "Load", "To", "From")
CHECK = ("HC Method", "HC Interval", "Passes", "Fails", "HC uri", "HC Expr")


def row(url="http://192.0.2.1:80", route="m1", factor="100.00", status="Init Ok ", checked=True, lbset="0"):
    """A line of the page."""
    link = f"/balancer-manager?b=app&amp;w={quote(url, safe=':/')}&amp;nonce=n1"
    check = (
        ("GET", "1000ms", "2 (0)", "2 (1)", "/health", "") if checked else ("NONE", "30000ms", "1 (0)", "1 (0)", "", "")
    )
    cells = (html.escape(route), "", factor, lbset, status, "7", "3", "0", "  0 ", " 12K", *check)
    return f'<tr>\n<td><a href="{link}">{url}</a></td>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"


def page(*rows, columns=COLUMNS + CHECK, version="Apache/2.4.71 (Debian)", name="lb.test", form=""):
    """A page with one balancer."""
    titles = "".join(f"<th>{column}</th>" for column in columns)
    return f"""<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">
<html><head><title>Balancer Manager</title></head>
<body><h1>Load Balancer Manager for {name}</h1>
<dl><dt>Server Version: {version}</dt>
<dt>Balancer changes will NOT be persisted on restart.</dt></dl>
<hr />
<h3>LoadBalancer Status for <a href="/balancer-manager?b=app&amp;nonce=n1">balancer://app</a> [p1_app]</h3>
<table><tr><th>MaxMembers</th><th>StickySession</th></tr>
<tr><td>13 [3 Used]</td><td> (None) </td></tr></table>
<table><tr>{titles}</tr>
{"".join(rows)}</table>
<hr />
{form}</body></html>"""


def members(*rows, **more):
    return [worker.member() for worker in apache_page.Page(page(*rows, **more)).pools["app"].named.values()]


@pytest.mark.parametrize(
    ("status", "state", "health"),
    [
        ("Init Ok ", "enabled", "up"),
        ("Init Ign Ok ", "enabled", "up"),
        ("Init Stby Ok ", "enabled", "up"),
        ("Init Drn Ok ", "drained", "up"),
        ("Init Drn HcFl ", "drained", "down"),
        ("Init Drn Dis ", "disabled", "up"),
        ("Init Dis ", "disabled", "up"),
        ("Init Dis HcFl ", "disabled", "down"),
        ("Init Stop ", "disabled", "unknown"),
        ("Init Stop Err ", "disabled", "down"),
        ("Init Shut ", "disabled", "up"),
        ("Init Err ", "enabled", "down"),
        ("Init HcFl Err ", "enabled", "down"),
        ("", "enabled", "up"),
    ],
)
def test_states_and_health(status, state, health):
    (member,) = members(row(status=status))
    assert (member.state, member.health) == (state, health)


def test_what_a_row_holds():
    (member,) = members(row(factor="7.00"))
    assert (member.name, member.address, member.weight, member.in_flight) == ("m1", "192.0.2.1:80", 7, None)
    assert (member.requests, member.tier) == (7, 0)
    assert member.last_check == "Init Ok (GET /health every 1000ms, passes 2 (0), fails 2 (1))"


def test_a_member_without_a_check():
    for more in ({}, {"columns": COLUMNS}):
        (member,) = members(row(checked=False), **more)
        assert (member.checked, member.health, member.available) == (False, "unknown", True)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://app1:8080", "app1:8080"),
        ("http://app1", "app1:80"),
        ("https://app1/shop", "app1:443"),
        ("ajp://app1", "app1:8009"),
        ("http://[2001:db8::1]:8080", "[2001:db8::1]:8080"),
        ("unix:/run/app.sock|http://localhost", "unix:/run/app.sock|http://localhost"),
        ("fcgi://app1", "fcgi://app1"),
    ],
)
def test_addresses(url, address):
    assert members(row(url))[0].address == address


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("http://app1:8080", "h2c://APP1:8080/shop"),
        ("http://app1", "http://app1:80"),
        ("https://app1:443/a", "wss://app1/b"),
        ("http://localhost:8080", "http://127.0.0.1:8080"),
        ("http://[2001:db8::1]:8080", "http://[2001:DB8:0::1]:8080"),
        ("unix:/run/app.sock|http://localhost/a", "unix:/run/app.sock|http://shop/b"),
        ("fcgi://app1", "fcgi://app1"),
    ],
)
def test_the_same_server_in_two_urls(url, other):
    one, two = (apache_page.Worker("", {"Worker URL": each}) for each in (url, other))
    assert one.server == two.server


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("http://app1:8080", "http://app1:8081"),
        ("http://app1", "https://app1"),
        ("http://app1", "http://app2"),
        ("unix:/run/a.sock|http://localhost", "unix:/run/b.sock|http://localhost"),
        ("unix:/run/a.sock|http://localhost", "http://localhost"),
    ],
)
def test_two_servers(url, other):
    one, two = (apache_page.Worker("", {"Worker URL": each}) for each in (url, other))
    assert one.server != two.server


def test_tiers_are_places_in_line_that_members_have():
    rows = [
        ("m1", "4", "Init Ok "),
        ("m2", "4", "Init Stby Ok "),
        ("m3", "7", "Init Spar Dis "),
        ("m4", "4", "Init HcFl "),
    ]
    seen = members(*(row(f"http://{name}", name, status=status, lbset=lbset) for name, lbset, status in rows))
    assert {member.name: member.tier for member in seen} == {"m1": 0, "m2": 1, "m3": 2, "m4": 0}


def test_checks_that_have_passed_are_told_of_who_is_down_by_its_check():
    for status, checked, progress in (
        ("Init HcFl ", True, (1, 3)),
        ("Init Drn HcFl ", True, (1, 3)),
        ("Init Ok ", True, None),
        ("Init Err ", True, None),
        ("Init Err ", False, None),
    ):
        (member,) = members(row(status=status, checked=checked).replace("2 (0)", "3 (1)"))
        assert member.check_progress == progress


@pytest.mark.parametrize(
    ("nonce", "persists", "by_state"),
    [
        ("408ae0a1-0ddf-d913-a2e2-4c71dffc5885", False, False),
        ("408ae0a1-0ddf-d913-a2e2-4c71dffc5885", True, True),
        ("deploy-2f6c", False, True),
    ],
)
def test_states_and_weights_are_in_the_mark_where_a_restart_keeps_the_nonce(nonce, persists, by_state):
    def mark(*rows):
        return apache_page.Pool("app", nonce, apache_page.Page(page(*rows)).pools["app"].workers).mark(persists)

    before = mark(row(), row("http://192.0.2.2:80", "m2"))
    assert mark(row(status="Init HcFl "), row("http://192.0.2.2:80", "m2", status="Init Err ")) == before
    for changed in (row(status="Init Dis Ok "), row(status="Init Drn Ok "), row(factor="5.00")):
        assert (mark(changed, row("http://192.0.2.2:80", "m2")) != before) is by_state


def test_the_slowest_check_of_a_pool_is_told(monkeypatch):
    slow = row("http://192.0.2.2:80", "m2").replace("1000ms", "30000ms").replace("2 (0)", "3 (0)")
    server = Server(monkeypatch, row(), slow, row("http://192.0.2.3:80", "m3", checked=False))
    balancer = driver()
    timing = balancer.timing("app")
    assert (timing.check, timing.source) == (pytest.approx(90.3), "hcinterval=30000ms, hcpasses=3 of m2")
    assert balancer.other_pools("app") == [] and balancer.version() == "2.4.71"
    assert len(server.referers) == 1  # one look tells all of that


def test_names_are_routes_else_addresses_else_urls():
    seen = members(
        row("http://a:1", "one"),
        row("http://b:1", ""),
        row("http://c:1", "same"),
        row("http://d:1", "same"),
        row("http://e:1/x", ""),
        row("http://e:1/y", ""),
        row("http://f:1", "b:1"),
    )
    assert [m.name for m in seen] == ["one", "http://b:1", "c:1", "d:1", "http://e:1/x", "http://e:1/y", "f:1"]


@pytest.mark.parametrize(
    ("passes", "fresh"), [(("2 (0)", "3 (1)"), True), (("2 (0)", "1 (0)"), False), (("1 (0)", "1 (0)"), False)]
)
def test_fresh_health_takes_two_passes_of_all_who_are_checked(monkeypatch, passes, fresh):
    rows = [row(f"http://192.0.2.{n}:80", f"m{n}").replace("2 (0)", each) for n, each in enumerate(passes)]
    Server(monkeypatch, *rows, row("http://192.0.2.9:80", "m9", checked=False))
    balancer = driver()
    balancer.members("app")
    assert balancer.capabilities.fresh_health is fresh
    assert driver().capabilities.fresh_health is True


def test_the_version():
    assert apache_page.Page(page()).version == "2.4.71"
    assert apache_page.Page(page(version="Apache")).version == ""  # ServerTokens Prod


class Server:
    """Plays the balancer-manager: what it is asked, and what it answers."""

    def __init__(self, monkeypatch, *rows, name="lb.test"):
        self.rows, self.name = rows, name
        self.posts, self.referers, self.status, self.headers = [], [], 200, {}
        monkeypatch.setattr(HttpApi, "ask", self.ask)

    def ask(self, method, path, body=None, headers=None):
        self.referers.append(headers["Referer"])
        if method == "POST":
            fields = {key: values[0] for key, values in parse_qs(body).items()}
            self.posts.append({key: value for key, value in fields.items() if key.startswith("w_")})
            assert (fields["b"], fields["nonce"]) == ("app", "n1")
            return Answer(self.status, {}, page(*self.rows, name=self.name, form=form(self.posts[-1])))
        return Answer(self.status, self.headers, page(*self.rows, name=self.name))


def form(fields):
    """As it follows the page in the answer to a POST."""
    lines = [f"<input name='w_lf' id='w_lf' type=text value='{float(fields.get('w_lf', 1)):.2f}'>"]
    for flag in "INDHRCS":
        name = f"w_status_{flag}"
        for value in "10":
            checked = " checked" if fields.get(name, "0") == value else ""
            lines.append(f"<input name='{name}' id='{name}{value}' value='{value}' type=radio{checked}>")
    return "<h3>Edit worker settings for http://192.0.2.1:80</h3>" + "\n".join(lines)


def driver(**options):
    return open_balancer({"provider": "apache", "url": "http://lb/balancer-manager", **options})


NOW_OUT = {"enabled": "Init Ok ", "drained": "Init Drn Ok ", "disabled": "Init Drn Dis "}


@pytest.mark.parametrize("now", NOW_OUT)
@pytest.mark.parametrize("wanted", NOW_OUT)
@pytest.mark.parametrize("distrust", [False, True])
def test_flags_never_let_a_request_through_in_between(monkeypatch, now, wanted, distrust):
    """Replay what is posted as Apache does: fields in its order, each taking effect at once."""
    if distrust and wanted != "drained":
        return
    server = Server(monkeypatch, row(status=NOW_OUT[now]), row("http://192.0.2.2:80", "m2"))
    try:
        driver().apply("app", [Change("m1", wanted)], distrust)
    except NotApplied:
        assert now != wanted  # nothing changes on this server
    flags = {"N": now != "enabled", "D": now == "disabled", "S": False, "C": False}

    def lets_in():
        if flags["D"] or flags["S"] or flags["C"]:
            return set()
        return {"bound"} if flags["N"] else {"bound", "new"}

    allowed = {"enabled": {"bound", "new"}, "drained": {"bound"}, "disabled": set()}
    before, after = allowed[now], set() if distrust else allowed[wanted]
    for post in server.posts:
        for flag in "NDSC":
            if f"w_status_{flag}" in post:
                flags[flag] = post[f"w_status_{flag}"] == "1"
                assert lets_in() <= before | after
    assert lets_in() == after


def test_what_is_so_already_is_not_posted(monkeypatch):
    server = Server(monkeypatch, row(status="Init Drn Ok ", factor="7.50"), row("http://192.0.2.2:80", "m2"))
    driver().apply("app", [Change("m1", "drained", 7)])
    assert server.posts == []
    driver().apply("app", [Change("m1", "drained", 7)], distrust=True)
    assert server.posts == [{"w_status_C": "1"}]


def test_nothing_is_posted_when_one_of_several_cannot_be(monkeypatch):
    server = Server(monkeypatch, row(), row("http://192.0.2.2:80", "m2", checked=False, factor="2.50"))
    for changes, distrust in (
        ([Change("m1", "disabled"), Change("m9", "disabled")], False),
        ([Change("m1", "drained"), Change("m2", "drained")], True),
        ([Change("m1", "disabled"), Change("m2", None, 50)], False),
    ):
        with pytest.raises((NotApplied, Refused)):
            driver().apply("app", changes, distrust)
    assert server.posts == []


def test_an_only_member_has_no_weight(monkeypatch):
    server = Server(monkeypatch, row())
    with pytest.raises(Refused, match="alone in its pool"):
        driver().apply("app", [Change("m1", "disabled", 50)])
    assert server.posts == []


@pytest.mark.parametrize(
    ("name", "referer"), [("lb.test", "http://lb.test/"), ("::1", "http://[::1]/"), ("192.0.2.9", "http://192.0.2.9/")]
)
def test_the_referer_is_what_apache_calls_itself(monkeypatch, name, referer):
    server = Server(monkeypatch, row(), row("http://192.0.2.2:80", "m2"), name=name)
    with pytest.raises(NotApplied):
        driver().apply("app", [Change("m1", "disabled")])
    assert server.referers[0] == "http://lb/" and {*server.referers[1:]} == {referer}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "`username` and `password`"),
        (403, "`Require`"),
        (404, "SetHandler"),
        (302, "SetHandler"),
        (503, "SetHandler"),
    ],
)
def test_other_answers(monkeypatch, status, said):
    Server(monkeypatch, row()).status = status
    with pytest.raises((Refused, Unreachable), match=f"answered {status} to a GET.*{said}"):
        driver().members("app")


@pytest.mark.parametrize(
    ("asked", "options", "said"),
    [
        ('Basic realm="lb"', {}, "needs `username` and `password`"),
        ('Basic realm="lb"', {"username": "deploy", "password": "wrong"}, "It refuses the `username` and `password`"),
        (
            'Digest realm="lb", nonce="x"',
            {"username": "deploy", "password": "right"},
            "asks for Digest authentication, which is not",
        ),
        ("Negotiate", {}, "asks for Negotiate authentication, which is not supported"),
    ],
)
def test_why_access_is_denied(monkeypatch, asked, options, said):
    server = Server(monkeypatch, row())
    server.status, server.headers = 401, {"www-authenticate": asked}
    with pytest.raises(Refused, match=f"answered 401 to a GET.*{said}"):
        driver(**options).members("app")


def test_where_the_nonce_is_switched_off_nothing_is_posted(monkeypatch):
    server = Server(monkeypatch, row(), row("http://192.0.2.2:80", "m2"))
    read_page = apache_page.Page.feed
    monkeypatch.setattr(
        apache_page.Page, "feed", lambda self, text: read_page(self, text.replace("nonce=n1", "nonce="))
    )
    with pytest.raises(Refused, match="nonce of pool app is switched off"):
        driver().apply("app", [Change("m1", "disabled")])
    assert server.posts == []
    driver().apply("app", [Change("m1", "enabled")])  # it is


def test_an_unknown_pool(monkeypatch):
    Server(monkeypatch, row())
    with pytest.raises(InvalidInput, match=r"no pool 'shop'. Apache's balancers are: app. Nothing was touched"):
        driver().members("shop")


@pytest.mark.parametrize(
    "url", ["lb", "ftp://lb/x", "http://user:secret@lb/x", "http://lb/x?xml=1", "http://lb:99999/"]
)
def test_what_is_no_url(url):
    with pytest.raises(InvalidInput) as refusal:
        driver(url=url)
    assert "secret" not in refusal.value.message


def test_the_endpoint_is_the_same_however_the_url_is_written():
    urls = ("http://LB/balancer-manager", "http://lb:80/balancer-manager/", "http://lb/balancer-manager")
    assert len({driver(url=url).endpoint for url in urls}) == 1


def answers(monkeypatch, text):
    monkeypatch.setattr(HttpApi, "ask", lambda *_arguments: Answer(200, {}, text))


@given(st.text())
def test_what_is_no_page_is_said_not_to_be(text):
    with pytest.MonkeyPatch.context() as patch:
        answers(patch, text)
        with pytest.raises(Unreachable, match="is not Apache's balancer-manager"):
            driver().members("app")


@pytest.mark.parametrize("factor", ["inf", "nan", "1e999", "", "much"])
def test_a_factor_that_is_none(monkeypatch, factor):
    Server(monkeypatch, row(factor=factor))
    with pytest.raises(Unreachable, match="a page that cannot be read"):
        driver().members("app")


@pytest.mark.parametrize(
    ("cell", "broken"), [("2 (0)", ""), ("2 (0)", "2 of 3"), ("1000ms", "soon"), ("<td>7<", "<td>many<")]
)
def test_counts_that_are_none(monkeypatch, cell, broken):
    Server(monkeypatch, row().replace(cell, broken))
    with pytest.raises(Unreachable, match="a page that cannot be read"):
        driver().members("app")


@given(st.data())
def test_a_broken_page_is_never_more_than_an_error(data):
    whole = page(row(), row("http://192.0.2.2:80", "m2"), form=form({}))
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    junk = data.draw(
        st.sampled_from(["", "<", "<!", "<![", "<![CDATA[", "<td>", "</tr>", "&", "&#x110000;", "inf", "1e999", "\0"])
    )
    with pytest.MonkeyPatch.context() as patch:
        answers(patch, whole[:start] + junk + whole[end:])
        for ask in (lambda: driver().members("app"), lambda: driver().apply("app", [Change("m1", "disabled", 5)])):
            try:
                ask()
            except DeployError:
                pass


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1).filter(str.strip))
def test_a_route_of_any_letters_reads_back(route):
    assert members(row(route=route))[0].name == route
