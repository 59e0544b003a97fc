"""What to do when no mirror gives an archive: exactly what to download, from where, where to put it, its checksum."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tal_repro.data.fetch.sources import LINKS_OF, Archive, Mirror
from tal_repro.data.fetch.web import shown
from tal_repro.errors import CONTAINER_VARIABLE, InputError


class NotFetched(InputError):
    """No mirror gives an archive; the remedy is the way by hand."""


def instructions(archive: Archive, target: Path, failures: Sequence[tuple[Mirror, str]], checksum: str) -> NotFetched:
    """Return the error that ends the fetch of one archive: each mirror's reason, then the way by hand."""
    told = [f"  {shown(mirror.link)}: {reason}" for mirror, reason in failures]
    places = [f"      {mirror.link}{f' ({mirror.note})' if mirror.note else ''}" for mirror in archive.mirrors]
    # a container sees the data folder and nothing else of the host's
    elsewhere = "" if os.environ.get(CONTAINER_VARIABLE) else "; or leave it where it is and add --from FILE"
    what = "\n".join([f"{archive.name} could not be fetched", *told])
    remedy = "\n".join(
        [
            f"download {archive.name} by hand, in a browser, from (as published on {LINKS_OF})",
            *places,
            f"    put it at {target}",
            f"    ({checksum})",
            f"    and give the same command again{elsewhere}",
        ]
    )
    return NotFetched(what, None, remedy)


def together(errors: Sequence[NotFetched], other_way: str = "") -> NotFetched:
    """Return several archives' errors as one, so that a person is sent to the browser once."""
    remedies = [error.remedy or "" for error in errors]
    if other_way:
        remedies.append(f"or {other_way}")
    return NotFetched("\n".join(error.what for error in errors), None, "\n  ".join(remedies))
