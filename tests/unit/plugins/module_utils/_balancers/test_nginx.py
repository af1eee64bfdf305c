# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NGINX's configuration file: what is read of it, and that an edit touches nothing else; without an NGINX."""

from __future__ import annotations

import errno
import os
import re
import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import nginx, nginx_processes, programs
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.nginx_file import (
    Unclear,
    changed,
    upstreams,
    with_server,
    without_servers,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change

PERSONS = r"""# The shop; ask before you touch upstream app { server x; }
map $http_upgrade $connection { default upgrade; '' close; "a;{" "}"; }
upstream other { server 10.9.9.9:1; }
upstream app {
    zone app 64k;   # 1 MB would do too
    server 10.0.0.1:80 weight=5;server 10.0.0.2:80;
    server "10.0.0.3:80"   max_fails=3
           # slow since spring
           down
           fail_timeout=10s ;
    # server 10.0.0.4:80;
TABserver unix:/run/app.sock backup;
    server app-${x}.example.com resolve   ;
}
server { location ~ ^/a$ { return 200 "it's; {"; } location ~ "^/b{2,}" { proxy_pass http://app; } }
""".replace("TAB", "\t")


def app(text):
    (found,) = [upstream for upstream in upstreams(text) if upstream.name == "app"]
    return found


def states(text):
    return {name: (server.state, server.weight) for name, server in app(text).by_address.items()}


def edited(text, *changes):
    return changed(text, app(text), list(changes))


def test_what_a_person_wrote():
    assert [upstream.name for upstream in upstreams(PERSONS)] == ["other", "app"]
    assert states(PERSONS) == {
        "10.0.0.1:80": ("enabled", 5),
        "10.0.0.2:80": ("enabled", 1),
        "10.0.0.3:80": ("disabled", 1),
        "unix:/run/app.sock": ("enabled", 1),
        "app-${x}.example.com": ("enabled", 1),
    }


def test_of_what_a_person_wrote_only_the_parameters_change():
    after = edited(
        PERSONS,
        Change("10.0.0.1:80", "disabled", 7),
        Change("10.0.0.2:80", "drained", 3),
        Change("10.0.0.3:80", "enabled"),
        Change("app-${x}.example.com", "disabled"),
    )
    assert after == (
        PERSONS.replace("weight=5;server 10.0.0.2:80;", "weight=7 down;server 10.0.0.2:80 weight=3 drain;")
        .replace("spring\n           down\n", "spring\n\n")
        .replace("resolve   ;", "resolve down   ;")
    )


@pytest.mark.parametrize(
    ("line", "change", "after"),
    [
        ("server a;", Change("a", "disabled"), "server a down;"),
        ("server a;", Change("a", "drained", 5), "server a weight=5 drain;"),
        ("server a down;", Change("a", "drained"), "server a drain;"),
        ("server a down;", Change("a", "enabled", 2), "server a weight=2;"),
        ("server a down weight=4 backup;", Change("a", "enabled", 2), "server a weight=2 backup;"),
        ("server a drain down;", Change("a", "enabled"), "server a;"),
        ("server a drain down;", Change("a", "disabled"), "server a drain down;"),
        ("server a drain down;", Change("a", "drained"), "server a drain;"),
        ("server a 'down' ;", Change("a", "enabled"), "server a ;"),
        ("server a weight=3 weight=4;", Change("a", None, 5), "server a weight=3 weight=5;"),
        ("server a weight=3;", Change("a", None, 3), "server a weight=3;"),
        ("server a;", Change("a", "enabled", 1), "server a;"),
        ("server a\n  down # for now\n;", Change("a", "enabled"), "server a # for now\n;"),
        ("server a # for now\n  down;", Change("a", "enabled"), "server a # for now\n;"),
        ("server\ta;", Change("a", "disabled"), "server\ta down;"),
        ("server a\r\n;", Change("a", "disabled"), "server a down\r\n;"),
    ],
)
def test_one_line(line, change, after):
    text = "upstream app {%s}"
    assert edited(text % line, change) == text % after
    assert not change.alters(member(text % after))


def member(text):
    (server,) = app(text).servers
    return nginx.Member(server.address, "", server.state, server.weight, "unknown")


@pytest.mark.parametrize(
    ("params", "state"),
    [
        ("", "enabled"),
        ("down", "disabled"),
        ("drain", "drained"),
        ("down drain", "drained"),
        ("drain down", "disabled"),
    ],
)
def test_of_down_and_drain_the_last_holds(params, state):
    assert member("upstream app { server a %s; }" % params).state == state


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upstream app { server a", "within a directive"),
        ("upstream app { server a;", "within a block"),
        ("a;\n}", "line 2 has a `}`"),
        ("upstream app {\n server a }", "line 2 has a `}`"),
        ('a;\nb "c', "begins in line 2 has no end"),
        ("a \\", "begins in line 1 has no end"),
    ],
)
def test_what_is_no_configuration(text, said):
    with pytest.raises(Unclear, match=said):
        upstreams(text)


@pytest.mark.parametrize("weight", ["", "x", "-1", "²", "99999999999999999999"])
def test_what_is_no_weight(weight):
    with pytest.raises(Unclear, match="weight of server a is"):
        member("upstream app { server a weight=%s; }" % weight)


# Pieces of which files are made, such that whatever is joined is a configuration.

BLANK = st.sampled_from([" ", "  ", "\t", "\n", "\r\n    ", " # down; {\n", "\n#}\n"])
QUOTE = st.sampled_from(["%s", '"%s"', "'%s'"])
OTHERS = ["backup", "max_fails=3", "resolve", "route=a;b", "fail_timeout=1s", "service=${x}", "a#b", "it's", "slow\\;"]


@st.composite
def server_lines(draw, address):
    words = ["server", draw(QUOTE) % address]
    for word in draw(st.lists(st.sampled_from([*OTHERS, "down", "drain", "weight=7", "weight=1"]), max_size=5)):
        words.append('"%s"' % word if ";" in word and "\\" not in word else word)
    return "".join(word + draw(BLANK) for word in words[:-1]) + words[-1] + draw(st.sampled_from(["", " ", "\n"])) + ";"


@st.composite
def files(draw):
    addresses = draw(
        st.lists(st.sampled_from(["10.0.0.%d:80" % number for number in range(9)]), unique=True, min_size=1)
    )
    others = st.sampled_from(["zone z 64k;", "sticky cookie a;", "# server x down;\n", "keepalive 3;", ""])
    inside = "".join(draw(BLANK) + draw(server_lines(address)) + draw(BLANK) + draw(others) for address in addresses)
    around = st.sampled_from(
        ["", "# app {\n", "upstream b { server 10.0.0.1:80 down; }\n", "map $a $b { '' \"}\"; }\n"]
    )
    text = "%supstream%sapp%s{%s}%s" % (draw(around), draw(BLANK), draw(BLANK), inside, draw(around))
    return "http {\n%s}\n" % text if draw(st.booleans()) else text


@st.composite
def files_and_changes(draw):
    text = draw(files())
    names = draw(st.lists(st.sampled_from(sorted(app(text).by_address)), unique=True))
    state, weight = st.sampled_from([None, "enabled", "drained", "disabled"]), st.none() | st.integers(1, 65535)
    return text, [Change(name, draw(state), draw(weight)) for name in names]


def without_ours(text):
    """A file without what is ours in it, and without blanks, which come and go with that."""
    return re.sub(r"\s+|(?<=\s)(weight=[0-9]+|down|drain)(?=[\s;])", "", text)


@given(files_and_changes())
def test_an_edit_does_what_it_is_asked_for_and_nothing_else(made):
    text, changes = made
    before, after = states(text), edited(text, *changes)
    wanted = {change.name: (change.state, change.weight) for change in changes}
    assert states(after) == {
        name: tuple(new or old for new, old in zip(wanted.get(name, (None, None)), was)) for name, was in before.items()
    }
    assert without_ours(after) == without_ours(text)
    assert [u.name for u in upstreams(after)] == [u.name for u in upstreams(text)]
    assert edited(after, *changes) == after


@given(files_and_changes())
def test_there_and_back_is_the_file_as_it_means_the_same(made):
    text, changes = made
    before = states(text)
    back = edited(edited(text, *changes), *(Change(name, *before[name]) for name in before))
    assert states(back) == before and without_ours(back) == without_ours(text)


@given(files())
def test_out_and_in_again_is_byte_for_byte_what_it_was(text):
    enabled = edited(text, *(Change(name, "enabled") for name in app(text).by_address))
    out = edited(enabled, *(Change(name, "disabled") for name in app(text).by_address))
    assert edited(out, *(Change(name, "enabled") for name in app(text).by_address)) == enabled


@given(files(), st.none() | st.integers(1, 65535))
def test_a_member_that_is_added_and_removed_leaves_no_trace(text, weight):
    more = with_server(text, app(text), "10.1.1.1:80", weight)
    assert states(more) == {**states(text), "10.1.1.1:80": ("disabled", weight or 1)}
    assert states(without_servers(more, app(more), ["10.1.1.1:80"])) == states(text)


def test_a_member_stands_below_the_others_as_they_do():
    text = "upstream app {\r\n\tserver a; # first\r\n\r\n}\r\n"
    more = with_server(text, app(text), "b", 5)
    assert more == "upstream app {\r\n\tserver a; # first\r\n\tserver b weight=5 down;\r\n\r\n}\r\n"
    assert without_servers(more, app(more), ["b"]) == text
    assert (
        without_servers(more, app(more), ["a"])
        == "upstream app {\r\n\t # first\r\n\tserver b weight=5 down;\r\n\r\n}\r\n"
    )
    assert with_server("upstream app {}", app("upstream app {}"), "b", None) == "upstream app { server b down;}"
    assert with_server("upstream app {server a;}", app("upstream app {server a;}"), "b", None) == (
        "upstream app {server a; server b down;}"
    )


@given(st.text() | st.text("server upam{};#\"'\\\n$ downweight=1"))
def test_garbage_is_unclear_and_nothing_worse(text):
    for whole in (text, "upstream app {%s}" % text, "upstream app {server %s;}" % text):
        try:
            for upstream in upstreams(whole):
                states_of = [(server.state, server.weight) for server in upstream.servers]
                assert len(states_of) == len(upstream.servers)
        except Unclear:
            pass


# The driver's own


@pytest.fixture
def opened(tmp_path):
    """A driver for a file that holds this, and no NGINX."""

    def make(text=None, **options):
        if text is not None:
            (tmp_path / "app.conf").write_bytes(text if isinstance(text, bytes) else text.encode())
        return open_balancer(
            {
                "provider": "nginx",
                "name": "lb",
                "file": str(tmp_path / "app.conf"),
                "test": ["true"],
                "reload": ["true"],
                "pid_file": str(tmp_path / "pid"),
                "timeout": 0.2,
                **options,
            }
        )

    return make


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upstream b {} upstream a {}", r"has no pool 'app'\. The upstreams in .*app\.conf are: a, b\. Nothing"),
        ("", "The upstreams in .* are: none"),
        ("http { upstream app {} } stream { upstream app {} }", "has 2 pools 'app'"),
        ("upstream app { include servers; }", "includes other files"),
        ("upstream app { server a; server 'a'; }", "several servers of one address"),
        ("upstream app {", "cannot be understood: it ends within a block"),
        ("upstream app { server a weight=x; }", "weight of server a is 'x'"),
    ],
)
def test_files_that_cannot_be_worked_with(opened, tmp_path, text, said):
    driver = opened(text)
    for work in (lambda: driver.members("app"), lambda: driver.apply("app", [Change("a", "disabled", 3)])):
        with pytest.raises(InvalidInput, match=said):
            work()
    assert (tmp_path / "app.conf").read_text(encoding="utf-8") == text


@given(st.binary())
def test_no_file_is_more_than_an_error(tmp_path_factory, content):
    directory = tmp_path_factory.mktemp("any")
    (directory / "app.conf").write_bytes(content)
    entry = {"provider": "nginx", "name": "lb", "file": str(directory / "app.conf"), "timeout": 0.01, "test": ["true"]}
    (directory / "pid").write_bytes(content)
    with pytest.raises(DeployError):
        open_balancer({**entry, "pid_file": str(directory / "pid")}).members("app")


@pytest.mark.parametrize("number", ["", "x", "-1", "1", "999999999", "99999999999999999999"])
def test_a_number_that_is_no_nginx_s(opened, tmp_path, number):
    (tmp_path / "pid").write_text(number, encoding="ascii")
    with pytest.raises(Unreachable, match="NGINX is not running, or not visible to this user"):
        opened("upstream app {}").members("app")


def test_no_number(opened):
    with pytest.raises(Unreachable, match=r"pid, where NGINX notes its process, cannot be read: No such file"):
        opened("upstream app {}").members("app")


@pytest.mark.parametrize("option", ["file", "pid_file"])
def test_paths_are_absolute(opened, option):
    with pytest.raises(InvalidInput, match=f"`{option}` is to be an absolute path, not 'x'"):
        opened(**{option: "x"})


@pytest.mark.parametrize(
    ("said", "version", "drains"),
    [
        ("nginx version: nginx/1.22.1", "1.22.1", False),
        ("nginx version: nginx/1.29.5 (Ubuntu)", "1.29.5", False),
        ("nginx version: nginx/1.29.6", "1.29.6", True),
        ("nginx version: nginx/1.31.3", "1.31.3", True),
        ("nginx version: openresty/1.27.1.2", "1.27.1.2", False),
        ("something else", "unknown", True),
    ],
)
def test_what_a_version_can_do(opened, said, version, drains):
    driver = opened(test=["sh", "-c", f"echo '{said}' >&2", "-t"])
    assert (driver.version(), driver.capabilities.sticky_drain) == (version, drains)


def test_a_checker_that_is_not_nginx_is_not_asked_for_its_version(opened):
    assert opened(test=["sh", "-c", "exit 1"]).version() == "unknown"


@pytest.mark.parametrize(
    ("written", "address", "place"),
    [
        ("10.0.0.1", "10.0.0.1:80", ("10.0.0.1", 80)),
        ("10.0.0.1:8080", "10.0.0.1:8080", ("10.0.0.1", 8080)),
        ("[2001:db8::1]", "[2001:db8::1]:80", ("2001:db8::1", 80)),
        ("[2001:db8::1]:81", "[2001:db8::1]:81", ("2001:db8::1", 81)),
        ("app.example.com", "app.example.com:80", None),
        ("unix:/run/a.sock", "unix:/run/a.sock", None),
    ],
)
def test_addresses(written, address, place):
    assert nginx.with_port(written) == address
    assert nginx._place(written) == (place and (ip_address(place[0]), place[1]))


@pytest.mark.parametrize(
    ("name", "address"), [("m1", "10.0.0.1:80"), ("a b", "a b"), ("a;b", "a;b"), ("a{", "a{"), ("", ""), ("'a", "'a")]
)
def test_addresses_that_cannot_be_added(opened, name, address):
    with pytest.raises(InvalidInput, match="NGINX knows members by their addresses"):
        opened("upstream app {}").add("app", name, address)


@pytest.mark.parametrize(("number", "said"), [(4.99244, "5 s"), (0.2, "0.2 s"), (0.003, "0.1 s"), (60, "60 s")])
def test_durations_are_said_in_tenths(number, said):
    assert programs.seconds(number) == said


def test_one_server_is_in_a_later_tier():
    assert [server.tier for server in app(PERSONS).servers] == [0, 0, 0, 1, 0]


def test_the_word_of_nginx_s_own_check_is_the_last_one(opened):
    driver = opened(test=["echo", "-t", "nginx", "-t"])  # such as `docker exec -t lb nginx -t`
    assert driver._with("-T") == ["echo", "-t", "nginx", "-T"]


def test_a_file_that_is_mounted_by_itself_is_named_as_such(opened, tmp_path, monkeypatch):
    """As it is where the task runs within the container."""

    def busy(_source, _target):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    driver = opened("upstream app { server a; }")
    monkeypatch.setattr(os, "rename", busy)
    with pytest.raises(Refused, match="it is a single file that is mounted there. Mount its directory.*is as it was"):
        driver.file.write("x")
    assert [path.name for path in tmp_path.iterdir()] == ["app.conf"]


def test_connections_are_counted_where_they_lead_to():
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as server:
            port = server.getsockname()[1]
            place = (ip_address(host), port)
            assert nginx_processes.Connections(os.getpid()).to(*place) == 0
            with socket.create_connection((host, port)), socket.create_connection((host, port)):
                assert nginx_processes.Connections(os.getpid()).to(*place) == 2
