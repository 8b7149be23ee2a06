"""Who may read, what may be asked, and which bytes of a file come back."""

from __future__ import annotations

import http.client
import logging
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidlang.core import BadInput
from vidlang.engines.server import Answer, LocalServer, Request, byte_range

CONTENT = bytes(range(250)) * 4  # 1000 bytes that tell their place


class Site:
    """Says what it was asked, and hands out one file."""

    def __init__(self, file: Path) -> None:
        self.file, self.asked = file, list[Request]()

    def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.path == "/file":
            return Answer(file=self.file, kind="video/mp4")
        if request.path == "/broken":
            raise RuntimeError("planted")
        return Answer(request.path.encode("utf-8", "backslashreplace"), headers={"X-Name": request.query.get("n", "")})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    file = tmp_path / "x.mp4"
    file.write_bytes(CONTENT)
    return Site(file)


@pytest.fixture
def server(site: Site) -> Iterator[LocalServer]:
    server = LocalServer(site)
    thread = server.start()
    yield server
    server.close()
    thread.join(5)
    assert not thread.is_alive()


def ask(
    server: LocalServer,
    path: str,
    method: str = "GET",
    *,
    known: bool = True,
    body: bytes | None = None,
    **headers: str,
) -> http.client.HTTPResponse:
    """One request; its body is read. Header names are written with underscores."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if known:
        sent.setdefault("Cookie", f"vidlang-{server.port}={server.token}")
    connection.request(method, path, body=body or None, headers=sent)
    response = connection.getresponse()
    response.text = response.read()  # type: ignore[attr-defined]
    connection.close()
    return response


def raw(server: LocalServer, text: str) -> bytes:
    """What comes back for exactly these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(text.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# -- who may read ------------------------------------------------------------------------------------------------------


def test_nobody_reads_without_the_token(server, site):
    for headers in ({}, {"Cookie": "vidlang=1"}, {"Cookie": f"vidlang-{server.port}=wrong"}, {"Cookie": "=;=;\x7f"}):
        assert ask(server, "/page", known=False, **headers).status == 403
    assert ask(server, "/page?token=wrong", known=False).status == 403
    assert ask(server, "/page?token=", known=False).status == 403
    assert site.asked == []


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(server):
    answer = ask(server, f"/page?n=a%20b&token={server.token}", known=False)
    assert (answer.status, answer.getheader("Location")) == (303, "/page?n=a+b")
    cookie = answer.getheader("Set-Cookie")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert ask(server, "/page", known=False, Cookie=cookie.split(";")[0]).status == 200


def test_the_way_on_never_leads_to_another_host(server):
    answer = ask(server, f"//evil.example/x?token={server.token}", known=False)
    assert answer.getheader("Location") == "/evil.example/x"


def test_every_start_has_another_token(site):
    servers = [LocalServer(site) for _ in range(2)]
    assert servers[0].token != servers[1].token and len(servers[0].token) >= 32
    assert servers[0].url == f"http://127.0.0.1:{servers[0].port}/?token={servers[0].token}"
    for server in servers:
        server.close(running=False)


def test_a_ticket_opens_once(server):
    ticket = server.ticket().removeprefix(f"http://127.0.0.1:{server.port}")
    assert server.token not in ticket
    assert [ask(server, ticket, known=False).status for _ in range(2)] == [303, 403]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost:x"])
def test_a_name_of_the_network_that_points_here_reads_nothing(server, site, host):
    assert ask(server, "/page", Host=host).status == 403
    assert site.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:9999", "127.0.0.1:1"])
def test_this_machine_may_be_called_by_its_names_and_through_a_tunnel(server, host):
    assert ask(server, "/page", Host=host).status == 200


def test_two_hosts_are_none(server, site):
    cookie = f"Cookie: vidlang-{server.port}={server.token}\r\n"
    answer = raw(server, f"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n{cookie}\r\n")
    assert answer.startswith(b"HTTP/1.1 403") and site.asked == []


def test_only_the_loopback_interface_listens(server):
    assert server._server.server_address[0] == "127.0.0.1"


# -- what may be asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(server, site, method):
    answer = ask(server, "/page", method, body=b"GET /page HTTP/1.1\r\n\r\n")
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
    assert answer.getheader("Connection") == "close"  # the body is no second request
    assert ask(server, "/page", method, known=False).status == 403
    assert site.asked == []


def test_unknown_methods_and_what_is_no_http_are_refused_in_a_word(server, site):
    assert ask(server, "/page", "BREW").status == 501
    assert raw(server, "nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert raw(server, "GET / HTTP/9.x\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert raw(server, f"GET /{'x' * 70000} HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414")
    assert site.asked == []


def test_head_is_get_without_a_body(server):
    get, head = ask(server, "/page"), ask(server, "/page", "HEAD")
    assert (get.text, head.text) == (b"/page", b"")
    assert head.getheader("Content-Length") == "5"


def test_addresses_are_decoded_once(server, site):
    ask(server, "/a%2525/..%2f?n=%253Cb%3E&m=%ff")
    assert site.asked == [Request("/a%25/../", {"n": "%3Cb>", "m": "\udcff"})]


def test_every_answer_is_closed_against_sniffing_framing_and_caches(server):
    for path, known in (("/page", True), ("/page", False), ("/file", True), ("/broken", True)):
        headers = ask(server, path, known=known)
        assert headers.getheader("X-Content-Type-Options") == "nosniff"
        assert headers.getheader("X-Frame-Options") == "DENY"
        assert "default-src 'none'" in headers.getheader("Content-Security-Policy")
        assert headers.getheader("Cache-Control") == "no-store"
        assert headers.getheader("Referrer-Policy") == "no-referrer"
        assert headers.getheader("Cross-Origin-Resource-Policy") == "same-origin"


def test_a_page_that_fails_is_one_answer_without_its_reason(server, caplog):
    answer = ask(server, "/broken")
    assert answer.status == 500 and b"planted" not in answer.text
    assert "planted" in caplog.text
    assert ask(server, "/page").status == 200


def test_one_connection_carries_several_requests(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for number in range(3):
        connection.request("GET", f"/{number}", headers={"Cookie": f"vidlang-{server.port}={server.token}"})
        assert connection.getresponse().read() == f"/{number}".encode()
    connection.close()


def test_the_log_holds_no_token(server, caplog):
    with caplog.at_level(logging.DEBUG, "vidlang.engines.server"):
        ask(server, f"/?token={server.token}", known=False)
    assert caplog.records and server.token not in caplog.text


def test_a_taken_port_is_one_line(server, site):
    with pytest.raises(BadInput, match=rf"Port {server.port} is taken\. Give another --port"):
        LocalServer(site, server.port)


# -- bytes of a file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-99", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=900-", (900, 1000)),
        ("bytes=900-5000", (900, 1000)),
        ("bytes=-100", (900, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("bytes = 5-9", (5, 10)),
        ("bytes=0-1,5-9", None),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=٣-٤", None),
        ("items=0-9", None),
        (f"bytes=0-{'9' * 5000}", None),
        (None, None),
    ],
)
def test_ranges_as_the_standard_says(header, span):
    assert byte_range(header, 1000) == span


@pytest.mark.parametrize(("header", "size"), [("bytes=1000-", 1000), ("bytes=2000-3000", 1000), ("bytes=-0", 1000)])
def test_a_range_behind_the_end_is_none(header, size):
    with pytest.raises(ValueError):
        byte_range(header, size)


@pytest.mark.parametrize(
    ("header", "first", "end"), [("bytes=0-99", 0, 100), ("bytes=-7", 993, 1000), ("bytes=500-", 500, 1000)]
)
def test_a_range_of_a_file(server, header, first, end):
    answer = ask(server, "/file", Range=header)
    assert (answer.status, answer.text) == (206, CONTENT[first:end])
    assert answer.getheader("Content-Range") == f"bytes {first}-{end - 1}/1000"
    assert answer.getheader("Content-Length") == str(end - first)
    head = ask(server, "/file", "HEAD", Range=header)
    assert (head.status, head.text, head.getheader("Content-Length")) == (206, b"", str(end - first))


def test_a_whole_file_says_that_it_takes_ranges(server):
    answer = ask(server, "/file")
    assert (answer.status, answer.text, answer.getheader("Accept-Ranges")) == (200, CONTENT, "bytes")
    assert answer.getheader("Content-Type") == "video/mp4"


def test_a_range_beyond_the_end_is_416(server):
    answer = ask(server, "/file", Range="bytes=1000-")
    assert (answer.status, answer.getheader("Content-Range"), answer.text) == (416, "bytes */1000", b"")


def test_a_range_of_a_file_that_changed_is_the_whole_file(server, site):
    etag = ask(server, "/file").getheader("ETag")
    assert ask(server, "/file", Range="bytes=0-9", If_Range=etag).status == 206
    site.file.write_bytes(CONTENT + b"more")
    answer = ask(server, "/file", Range="bytes=0-9", If_Range=etag)
    assert (answer.status, answer.text) == (200, CONTENT + b"more")
    assert ask(server, "/file", Range="bytes=0-9", If_Range="Wed, 21 Oct 2015 07:28:00 GMT").status == 200


def test_a_file_that_is_gone_or_no_file_is_not_found(server, site, tmp_path):
    site.file = tmp_path / "gone.mp4"
    assert ask(server, "/file").status == 404
    site.file = tmp_path
    assert ask(server, "/file").status == 404


def test_a_browser_that_leaves_in_the_middle_leaves_no_trace(server, site, capfd, caplog):
    with site.file.open("wb") as file:
        file.truncate(64 << 20)  # more than sockets hold, without taking space
    for _ in range(3):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        linger = struct.pack("ii", 1, 0)  # closing resets the connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        cookie = f"Cookie: vidlang-{server.port}={server.token}"
        connection.sendall(f"GET /file HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.close()
    time.sleep(0.2)
    assert ask(server, "/page").status == 200
    assert capfd.readouterr().err == ""
    assert "Traceback" not in caplog.text
