"""One HTTP request at a time: redirects under our rules, nothing but http and https, every failure sorted in two."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from tal_repro import __version__

MOST_REDIRECTS = 10
MOST_PAGE_BYTES = 2**16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REASONS = {401: "asks for a login", 403: "permission denied", 404: "not there any more", 410: "not there any more"}
_PAGE = re.compile(rb"\s*(<!doctype\s+html|<html)", re.IGNORECASE)

Reply = Any  # http.client.HTTPResponse: status, headers, url, read1


class MirrorFailed(Exception):
    """This place will not give the file, however often it is asked."""


class TryAgain(Exception):
    """This place may give the file later. `wait_seconds` is what the server asked for (0: it did not)."""

    def __init__(self, reason: str, wait_seconds: float = 0.0, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds, self.unreachable = wait_seconds, unreachable


class Web:
    """Requests that share cookies (SharePoint's links set one) and a timeout for each silence of the server."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._opener = urllib.request.OpenerDirector()  # bare: it knows neither file:, ftp: nor data:
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPCookieProcessor(CookieJar()),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the reply with status 200, 206 or 416 after redirects; raise MirrorFailed or TryAgain for others."""
        for _ in range(MOST_REDIRECTS + 1):
            reply = self._open(url, headers or {})
            if reply.status not in _REDIRECTS:
                return _accepted(reply)
            reply.close()  # unread: a redirect's body is nobody's business, however long it is
            url = _redirected(url, reply.headers.get("Location"))
        raise MirrorFailed(f"redirects more than {MOST_REDIRECTS} times")

    def _open(self, url: str, headers: Mapping[str, str]) -> Reply:
        check_url(url)
        name = f"Mozilla/5.0 (compatible; tal-repro/{__version__})"
        request = urllib.request.Request(  # noqa: S310 (check_url has seen the scheme)
            url, headers={"User-Agent": name, "Accept-Encoding": "identity", **headers}
        )
        reply = receiving(lambda: self._opener.open(request, timeout=self._timeout_seconds))
        reply.url = url
        return reply


def check_url(url: str) -> None:
    """Raise MirrorFailed unless a URL is plain http or https without a password in it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise MirrorFailed("not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise MirrorFailed(f"leads to {parts.scheme or 'no'}:, only http and https are followed")
    if not host or parts.username is not None or re.search(r"[\x00-\x20\x7f-\x9f]", url):
        raise MirrorFailed("not a URL that can be asked (no host, a login or a blank in it)")


def shown(url: str) -> str:
    """Return a URL as it may be printed and stored: without login, query and fragment, which can hold secrets."""
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return "(not a URL)"


def receiving(work: Callable[[], Any]) -> Any:
    """Run what talks to a server; sort its errors into MirrorFailed and TryAgain."""
    try:
        return work()
    except urllib.error.URLError as error:
        raise _sorted(error.reason) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _sorted(error) from None


def is_page(reply: Reply) -> bool:
    """Tell whether a reply calls itself a web page."""
    return str(reply.headers.get_content_type()) in ("text/html", "application/xhtml+xml")


def looks_like_page(first_bytes: bytes) -> bool:
    """Tell whether content is a web page whatever the server calls it."""
    return _PAGE.match(first_bytes) is not None


def read_page(reply: Reply) -> str:
    """Return the text of a web page, cut to 64 KiB (Drive's confirmation page has 3)."""
    page: bytes = receiving(lambda: reply.read(MOST_PAGE_BYTES))
    reply.close()
    return page.decode("utf-8", "replace")


def printable(text: str) -> str:
    """Return one short line that cannot move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:80]


def whole_number(text: str | None) -> int | None:
    """Return a header's number, or None where it is none."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _redirected(url: str, location: str | None) -> str:
    if not location:
        raise MirrorFailed("redirects to nowhere")
    try:
        target = urljoin(url, location)
    except ValueError:
        raise MirrorFailed("redirects to something that is no URL") from None
    check_url(target)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise MirrorFailed("redirects from https to http")
    return target


def _accepted(reply: Reply) -> Reply:
    if reply.status in (200, 206, 416):
        return reply
    reply.close()
    answered = f"{reply.status} {_REASONS.get(reply.status, printable(str(reply.reason)))}"
    if reply.status in _PASSING:
        raise TryAgain(answered, float(whole_number(reply.headers.get("Retry-After")) or 0))
    raise MirrorFailed(answered)


def _sorted(error: object) -> Exception:
    if isinstance(error, ssl.SSLCertVerificationError):
        return MirrorFailed(f"its certificate is not trusted ({error.verify_message})")
    if isinstance(error, TimeoutError):
        return TryAgain("no answer in time")
    if isinstance(error, socket.gaierror | ConnectionRefusedError):
        return TryAgain(f"cannot be reached ({error.strerror})", unreachable=True)
    if isinstance(error, OSError) and error.errno in (101, 113):  # no network, no route
        return TryAgain(f"cannot be reached ({error.strerror})", unreachable=True)
    if isinstance(error, http.client.InvalidURL | UnicodeError):
        return MirrorFailed("not a URL that can be asked")
    return TryAgain(f"the connection broke ({printable(str(error)) or type(error).__name__})")
