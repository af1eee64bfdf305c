# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of `nginx -T`: the files, their directives, and every way to a pool's servers; without an NGINX."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import nginx_dump, nginx_pools
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.nginx_dump import Dump
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.nginx_pools import others

MAIN, SHOP = "/etc/nginx/nginx.conf", "/etc/nginx/conf.d/shop.conf"
UPSTREAM = "upstream shop { server 10.0.0.1:8080; server 10.0.0.2; server app3:8080; }"


def printed(files, end="\n"):
    """As NGINX prints it."""
    return (
        "".join(f"# configuration file {path}:\n{text}\n" for path, text in files.items()).replace("\n", end).encode()
    )


def dumped(http="", shop=UPSTREAM, outside="", **more):
    include = "include conf.d/*.conf; server { location / { proxy_pass http://shop; } }"
    files = {MAIN: f"{outside} http {{ {include} {http} }}", SHOP: shop, **more}
    return Dump(printed(files))


def found(dump, pool="shop", servers=None, names=None):
    """Name, members and reason of each."""
    ours = servers or {"m1": "10.0.0.1:8080", "m2": "10.0.0.2:80", "m3": "app3:8080"}
    known = {name: (address, True) for name, address in ours.items()}
    pools = others(dump, (SHOP, pool), known, lambda host: (names or {}).get(host, []))
    return {pool.name: (*pool.members, pool.reason) for pool in pools}


def test_the_files_and_what_they_hold():
    for end in ("\n", "\r\n"):
        dump = Dump(b"a wrapper's word\n" + printed({"/a b.conf": "events {}\n", "/b.conf": ""}, end))
        assert dump.files == {"/a b.conf": "events {}\n", "/b.conf": ""}
        assert dump.shows("/a b.conf", "events {}\n") and dump.shows("/b.conf", "")
        assert not dump.shows("/a b.conf", "events { }\n") and not dump.shows("/c.conf", "")


def test_a_file_in_any_encoding_is_shown_as_it_is_read():
    content = "# Größe\n".encode("latin-1").decode("utf-8", "surrogateescape")
    assert Dump(b"# configuration file /a:\n# Gr\xf6\xdfe\n\n").shows("/a", content)


def test_a_dump_within_a_comment_is_no_evidence_of_content():
    dump = Dump(printed({MAIN: f"# configuration file {SHOP}:\n#{UPSTREAM}\nhttp {{}}"}))
    assert SHOP in dump.files and not dump.shows(SHOP, UPSTREAM)


@pytest.mark.parametrize(
    ("pattern", "path", "included"),
    [
        ("conf.d/*.conf", "/etc/nginx/conf.d/a.conf", True),
        ("/etc/nginx/conf.d/*.conf", "/etc/nginx/conf.d/a.conf", True),
        ("sites-*/[ab].conf", "/etc/nginx/sites-enabled/a.conf", True),
        ("conf.d/*", "/etc/nginx/conf.d/sub/a.conf", False),
        ("conf.d/*", "/etc/nginx/conf.d/.a.conf", False),
        ("/srv/a?.conf", "/srv/a1.conf", True),
        ("/srv/a.conf", "/srv/a.conf", True),
        ("a.conf", "/srv/a.conf", False),
    ],
)
def test_an_include_names_files_as_the_shell_does(pattern, path, included):
    dump = Dump(printed({MAIN: f"http {{ include {pattern}; }}", path: "upstream x { server a; }"}))
    assert dump.files_with("x") == ([path] if included else [])


def test_files_that_include_each_other_have_an_end():
    dump = Dump(printed({MAIN: "include a.conf;", "/etc/nginx/a.conf": "include a.conf; include nginx.conf;"}))
    assert len(list(dump.directives())) == 0


def test_values_outside_all_blocks():
    main = "include a.conf; http { worker_shutdown_timeout 1s; }"
    dump = Dump(printed({MAIN: main, "/etc/nginx/a.conf": "worker_shutdown_timeout 30s;"}))
    assert dump.value("worker_shutdown_timeout") == "30s" and dump.value("nothing") == ""


@pytest.mark.parametrize(
    ("http", "name", "members", "reason"),
    [
        ("upstream b { server 10.0.0.1:8080; } server { location / { proxy_pass http://b; } }", "b", ["m1"], "same address"),
        # The default port, and one server with many words.
        ("upstream b { server 10.0.0.2:80 backup down weight=3; } server { proxy_pass http://b; }", "b", ["m2"], "same address"),
        ("upstream b { server APP3:8080; } map $a $b { default b; }", "b", ["m3"], "same address"),
        ("upstream b { server 10.0.0.1:8080; } server { proxy_pass http://$x; }", "b", ["m1"], "same address"),
        ("server { proxy_pass http://10.0.0.2/x; }", "proxy_pass http://10.0.0.2/x", ["m2"], "without an upstream"),
        ("server { proxy_pass http://10.0.0.1:8080$uri; }", "proxy_pass http://10.0.0.1:8080$uri", ["m1"], "without an upstream"),
        ("server { fastcgi_pass 10.0.0.1:8080; }", "fastcgi_pass 10.0.0.1:8080", ["m1"], "without an upstream"),
        ("server { grpc_pass grpc://10.0.0.2; }", "grpc_pass grpc://10.0.0.2", ["m2"], "without an upstream"),
        ("server { uwsgi_pass app3:8080; }", "uwsgi_pass app3:8080", ["m3"], "without an upstream"),
        ("map $host $to { a 10.0.0.1:8080; }", "a 10.0.0.1:8080", ["m1"], "without an upstream"),
        ("server { set $to http://10.0.0.1:8080; }", "set $to http://10.0.0.1:8080", ["m1"], "without an upstream"),
    ],
)  # fmt: skip
def test_another_way_to_a_member(http, name, members, reason):
    pools = found(dumped(http))
    assert list(pools) == [name] and list(pools[name][:-1]) == members and reason in pools[name][-1]


@pytest.mark.parametrize(
    "http",
    [
        "",
        "upstream b { server 10.0.0.1:8081; server 10.0.0.9:8080; server 10.0.0.11:8080; } server { proxy_pass http://b; }",
        "upstream unused { server 10.0.0.1:8080; }",
        "server { proxy_pass https://10.0.0.2; }",
        "server { listen 10.0.0.1:8080; allow 10.0.0.2; return 200 10.0.0.1:8080; }",
        "map $host $to { a 10.0.0.2; b on; } server { set $to 10.0.0.2; }",
        "server { proxy_pass http://shop/10.0.0.1:8080; proxy_pass http://shop:8080; }",
        "# upstream b { server 10.0.0.1:8080; } proxy_pass http://b;\n",
    ],
)
def test_no_other_way(http):
    assert found(dumped(http)) == {}


def test_an_upstream_of_stream():
    stream = "stream { upstream tcp { server 10.0.0.1:8080; } upstream shop { server 10.0.0.2:80; } server { proxy_pass tcp; } }"
    pools = found(dumped(outside=stream))
    assert pools["tcp"] == ("m1", f"same address, in `stream`, in {MAIN}")
    assert pools["stream upstream shop"] == ("m2", f"same address, in `stream`, in {MAIN}")


def test_servers_that_stand_in_another_file():
    dump = dumped(
        "upstream b { include servers; } server { proxy_pass http://b; }",
        **{"/etc/nginx/servers": "server 10.0.0.1:8080;"},
    )
    assert found(dump) == {"b": ("m1", f"same address, in {MAIN}")}


def test_a_pool_in_the_same_file_needs_no_other_entry():
    both = UPSTREAM + "upstream shop2 { server 10.0.0.1:8080; } map $a $b { default shop2; }"
    assert found(dumped(shop=both)) == {"shop2": ("m1", "same address")}


def test_names_are_resolved_where_that_may_matter():
    asked = []

    def resolve(host):
        asked.append(host)
        return {"app3": ["10.0.0.3"], "all": ["10.0.0.1", "10.0.0.9"]}.get(host, [])

    http = "upstream b { server 10.0.0.3:8080; server all:8080; server far:9; server late:8080 resolve; } server { proxy_pass http://b; }"
    ours = {"m1": ("10.0.0.1:8080", True), "m3": ("app3:8080", True)}
    (pool,) = others(dumped(http), (SHOP, "shop"), ours, resolve)
    assert set(pool.members) == {"m1", "m3"} and set(asked) == {"app3", "all"}


def test_a_file_that_is_not_understood_is_searched():
    code = "server { content_by_lua_block { local s = '10.0.0.1:8080' if a['}'] then b = \"}\" end }"
    pools = found(dumped(**{"/etc/nginx/conf.d/lua.conf": code}))
    assert pools == {"/etc/nginx/conf.d/lua.conf": ("m1", "it names the address, and cannot be understood otherwise")}
    assert found(dumped(**{"/etc/nginx/conf.d/lua.conf": code.replace("10.0.0.1", "10.0.0.9")})) == {}


def test_a_long_list_is_not_cut_into_words(monkeypatch):
    monkeypatch.setattr(nginx_dump, "LARGE", 10)
    monkeypatch.setattr(nginx_dump, "_directives", lambda path, text: pytest.fail(path) if path == "/geo" else [])
    assert list(Dump(printed({"/geo": "10.0.0.0/8 1;\n" * 9})).directives()) == []


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("[2001:DB8:0::1]:080", "2001:db8::1:80"),
        ("App.Example.com.:80", "app.example.com:80"),
        ("unix:/run/A.sock", "unix:/run/A.sock"),
        ("x", ":x"),
    ],
)
def test_one_form_of_an_address(address, form):
    assert nginx_pools.canonical(address) == form


@given(st.binary() | st.text("server upam{};#\"'\\\n$:/.1 _pas", max_size=80).map(str.encode))
def test_anything_printed_gives_an_answer(text):
    dump = Dump(b"# configuration file /a:\n" + text + b"\n")
    assert others(dump, ("/a", "shop"), {"m1": ("10.0.0.1:80", True)}, lambda host: []) is not None
