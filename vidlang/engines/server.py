"""Pages for the person at this machine: a read-only HTTP server on the loopback interface, closed to everyone else.

Who may read: whoever knows the random token that stands in the URL. It is answered with a cookie (HttpOnly,
SameSite=Strict) and taken out of the address, so that it is neither bookmarked nor sent on. Requests without either get
403, and so do requests whose Host is not this machine: a page of the network cannot point a name of its own here and
read along (DNS rebinding). GET and HEAD only. Every answer carries a Content-Security-Policy and forbids sniffing.

Cookies know no ports: another server on this machine that the same browser visits is sent ours. It is good for reading
these pages while they are served, and for nothing else.
"""

from __future__ import annotations

import errno
import hmac
import logging
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from vidlang.core import BadInput

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
OUR_NAMES = frozenset({LOOPBACK, "localhost"})
TOKEN = "token"
CHUNK = 1 << 16
"""Bytes of a file that are sent at a time."""
PATIENCE = 60.0
"""Seconds without a byte after which a connection is given up, such as that of a paused player."""
NOTHING_ALLOWED = "default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    path: str
    """Decoded, begins with a slash."""
    query: Mapping[str, str]
    """Decoded; of a name that stands there twice, the last."""


@dataclass(frozen=True)
class Answer:
    """What is sent back: a body, or the bytes of a file, of which a browser may ask for a range."""

    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    status: int = HTTPStatus.OK
    file: Path | None = None
    policy: str = NOTHING_ALLOWED
    """Content-Security-Policy."""
    keep_seconds: int = 0
    """How long the browser may keep it."""
    headers: Mapping[str, str] = field(default_factory=dict)


class LocalServer:
    """Serves what ``answer`` makes of each request, in threads, until it is closed.

    Raises:
        BadInput: the port is taken or not allowed.
    """

    def __init__(self, answer: Callable[[Request], Answer], port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        try:
            self._server = _Server((LOOPBACK, port), answer, self.token)
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror or error})"
            raise BadInput(f"Port {port} {why}. Give another --port, or none for a free one.") from error

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where the pages are, with the token."""
        return f"http://{LOOPBACK}:{self.port}/?{TOKEN}={self.token}"

    def ticket(self) -> str:
        """The same for one opening: other users of this machine may read the arguments of a browser that is started."""
        ticket = secrets.token_urlsafe(24)
        self._server.tickets.add(ticket)
        return f"http://{LOOPBACK}:{self.port}/?{TOKEN}={ticket}"

    def serve(self) -> None:
        """Blocks until ``close`` is called from another thread, or an exception such as Ctrl-C ends it."""
        self._server.serve_forever(poll_interval=0.2)

    def start(self) -> threading.Thread:
        """Serves in a thread of its own."""
        thread = threading.Thread(target=self.serve, name="vidlang-server", daemon=True)
        thread.start()
        return thread

    def close(self, *, running: bool = True) -> None:
        """Stops; answers under way are cut off. running: False where ``serve`` has ended already"""
        if running:
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a paused player would hold the end up

    def __init__(self, address: tuple[str, int], answer: Callable[[Request], Answer], token: str) -> None:
        self.answer, self.token = answer, token
        self.tickets: set[str] = set()
        super().__init__(address, _Handler)

    @property
    def cookie(self) -> str:
        """Its name tells servers on several ports apart, since cookies know no ports."""
        return f"vidlang-{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves in the middle is no error; others go to the log, not to the terminal."""
        logger.debug("a connection ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server: _Server

    def do_GET(self) -> None:
        try:
            self._send(self._answer())
        except (ConnectionError, TimeoutError):  # the browser has gone, or does not read
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_GET

    def _answer(self) -> Answer:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or _host_name(hosts[0]) not in OUR_NAMES:
            return _refusal(HTTPStatus.FORBIDDEN, "This server answers on this machine only.")
        try:
            url = urlsplit("/" + self.path.lstrip("/"))
        except ValueError:
            return _refusal(HTTPStatus.BAD_REQUEST, "This address does not read.")
        query = dict(parse_qsl(url.query, keep_blank_values=True, errors="surrogateescape"))
        token = query.pop(TOKEN, None)
        introduced = token is not None and (_equal(token, self.server.token) or self._takes_ticket(token))
        if not introduced and not self._has_cookie():
            return _refusal(
                HTTPStatus.FORBIDDEN, "Open the whole address that vidlang browse printed: its token is missing here."
            )
        if self.command not in ("GET", "HEAD"):
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Nothing here can be changed.", {"Allow": "GET, HEAD"})
        if introduced:
            return self._welcome(url.path, query)
        path = unquote(url.path, errors="surrogateescape")
        try:
            return self.server.answer(Request(path, query))
        except Exception:  # one page that fails leaves the others alone
            logger.warning("%s failed", path, exc_info=True)
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "This page failed; vidlang browse --verbose says why.")

    def _takes_ticket(self, token: str) -> bool:
        found = next((ticket for ticket in list(self.server.tickets) if _equal(token, ticket)), None)
        self.server.tickets.discard(found or "")
        return found is not None

    def _has_cookie(self) -> bool:
        try:
            cookies = SimpleCookie("; ".join(self.headers.get_all("Cookie") or []))
        except CookieError:
            return False
        ours = cookies.get(self.server.cookie)
        return ours is not None and _equal(ours.value, self.server.token)

    def _welcome(self, path: str, query: Mapping[str, str]) -> Answer:
        """The same address without the token, and the cookie in its place."""
        cookie = f"{self.server.cookie}={self.server.token}; Path=/; HttpOnly; SameSite=Strict"
        rest = f"?{urlencode(query, errors='surrogateescape')}" if query else ""
        return Answer(
            status=HTTPStatus.SEE_OTHER, headers={"Location": "/" + path.lstrip("/") + rest, "Set-Cookie": cookie}
        )

    def _send(self, answer: Answer) -> None:
        if self.command not in ("GET", "HEAD") or "Content-Length" in self.headers or self.headers.get("Expect"):
            self.close_connection = True  # what may follow is a body that nobody reads
        if answer.file is not None and answer.status == HTTPStatus.OK:
            self._send_file(answer)
            return
        self._start(answer, answer.status, len(answer.body))
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _start(
        self, answer: Answer, status: int, num_bytes: int, more: Mapping[str, str] | None = None, *, kind: str = ""
    ) -> None:
        self.send_response(status)
        keep = f"private, max-age={answer.keep_seconds}" if answer.keep_seconds else "no-store"
        headers = {
            "Content-Type": kind or answer.kind,
            "Content-Length": str(num_bytes),
            "Content-Security-Policy": answer.policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": keep,
            **answer.headers,
            **(more or {}),
        }
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_file(self, answer: Answer) -> None:
        assert answer.file is not None
        try:
            file = open(answer.file, "rb", opener=_without_waiting)  # noqa: SIM115 - closed below
        except OSError:
            self._send(_refusal(HTTPStatus.NOT_FOUND, "The file is gone."))
            return
        with file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                self._send(_refusal(HTTPStatus.NOT_FOUND, "This is no file."))
                return
            size, etag = facts.st_size, f'"{facts.st_size:x}-{facts.st_mtime_ns:x}"'
            dated = formatdate(facts.st_mtime, usegmt=True)
            more = {"Accept-Ranges": "bytes", "ETag": etag, "Last-Modified": dated}
            wanted = self.headers.get("Range") if self.headers.get("If-Range", etag) in (etag, dated) else None
            try:
                span = byte_range(wanted, size)
            except ValueError:
                more["Content-Range"] = f"bytes */{size}"
                self._start(
                    answer, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, more, kind="text/plain; charset=utf-8"
                )
                return
            first, end = span or (0, size)
            if span is not None:
                more["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
            status = HTTPStatus.OK if span is None else HTTPStatus.PARTIAL_CONTENT
            self._start(answer, status, end - first, more)
            if self.command != "HEAD":
                self._copy(file, first, end)

    def _copy(self, file: Any, first: int, end: int) -> None:
        file.seek(first)
        left = end - first
        while left and (data := file.read(min(CHUNK, left))):
            self.wfile.write(data)
            left -= len(data)
        if left:  # the file became shorter: the browser must not wait for the rest
            self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself: requests that do not read, and methods that nobody knows."""
        self.close_connection = True
        self.request_version = self.protocol_version  # what does not read has none
        self.command = getattr(self, "command", None) or "GET"
        self._start(Answer(), code, 0)

    def version_string(self) -> str:
        return "vidlang"

    def log_message(self, format: str, *args: Any) -> None:
        """Without the query, where the token may stand."""
        path = urlsplit(getattr(self, "path", "")).path if hasattr(self, "path") else ""
        logger.debug("%s %s", getattr(self, "command", ""), path)


_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open span of bytes that a Range header asks for; None for the whole file.

    >>> byte_range("bytes=0-99", 1000), byte_range("bytes=-100", 1000)
    ((0, 100), (900, 1000))

    Several ranges, other units and what does not read mean the whole file, as the standard lets servers answer.

    Raises:
        ValueError: it lies beyond the end.
    Source: RFC 9110, section 14.
    """
    found = _RANGE.fullmatch(header.replace(" ", "")) if header is not None else None
    if found is None or found.groups() == ("", "") or max(map(len, found.groups())) > 18:
        return None
    first, last = found.groups()
    if not first:
        span = (max(size - int(last), 0), size)
    else:
        span = (int(first), size if not last else min(int(last) + 1, size))
        if last and int(last) < int(first):
            return None
    if span[0] >= span[1]:
        raise ValueError(f"bytes {span[0]} to {span[1]} of {size}")
    return span


def _equal(one: str, other: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))


def _host_name(host: str) -> str:
    """``localhost:8000`` → ``localhost``. The port may be another one, behind a tunnel."""
    name, colon, port = host.strip().lower().partition(":")
    return name if not colon or port.isdecimal() else ""


def _refusal(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(f"{text}\n".encode(), status=status, headers=headers or {})


def _without_waiting(path: str, flags: int) -> int:
    """Opens at once, even a pipe that nobody writes to."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
