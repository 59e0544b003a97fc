"""Ask every published link for its first bytes, before anybody waits for an archive: one answer for each link."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tal_repro.data.fetch import web
from tal_repro.data.fetch.download import ask
from tal_repro.data.fetch.sources import Archive, Mirror
from tal_repro.data.fetch.web import MirrorFailed, TryAgain

FIRST_BYTES = 1024
CHECK_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class LinkAnswer:
    """What one link said. `gives` is None for a link that only a person with a browser can try."""

    archive: Archive
    mirror: Mirror
    gives: bool | None
    reason: str


def check_links(archives: Sequence[Archive], timeout_seconds: float = CHECK_TIMEOUT_SECONDS) -> Iterator[LinkAnswer]:
    """Yield one answer for each link, in the order a fetch tries them; each link is asked once and nothing is kept."""
    for archive in archives:
        for mirror in archive.mirrors:
            if mirror.host == "by-hand":
                yield LinkAnswer(archive, mirror, None, "not asked: by hand, in a browser")
                continue
            try:
                yield LinkAnswer(archive, mirror, True, _first_bytes(archive, mirror, timeout_seconds))
            except (MirrorFailed, TryAgain) as error:
                yield LinkAnswer(archive, mirror, False, str(error))


def _first_bytes(archive: Archive, mirror: Mirror, timeout_seconds: float) -> str:
    """Return how many bytes came; raise MirrorFailed or TryAgain where none did, or a web page in their place."""
    reply = ask(archive, mirror, web.Web(timeout_seconds), {"Range": f"bytes=0-{FIRST_BYTES - 1}"})
    try:
        block: bytes = web.receiving(lambda: reply.read(FIRST_BYTES))  # a server may ignore the range
    finally:
        reply.close()
    if reply.status == 416 or not block:
        raise MirrorFailed("sent nothing")
    if web.looks_like_page(block):
        raise MirrorFailed("sends a web page instead of the file")
    return f"gives its first {len(block)} bytes"
