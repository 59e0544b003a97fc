"""What to do when no mirror gives an archive: exactly what to download, from where, where to put it, its checksum."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tal_repro.data.fetch.sources import LINKS_OF, Archive, Mirror
from tal_repro.data.fetch.web import shown
from tal_repro.errors import InputError


def instructions(archive: Archive, target: Path, failures: Sequence[tuple[Mirror, str]], checksum: str) -> InputError:
    """Return the error that ends a fetch: each mirror's reason, then the way by hand."""
    told = [f"  {shown(mirror.link)}: {reason}" for mirror, reason in failures]
    places = [f"      {mirror.link}{f' ({mirror.note})' if mirror.note else ''}" for mirror in archive.mirrors]
    what = "\n".join([f"{archive.name} could not be fetched", *told])
    remedy = "\n".join(
        [
            f"download {archive.name} by hand, in a browser, from one of (as published on {LINKS_OF})",
            *places,
            f"    put it at {target}",
            f"    ({checksum})",
            "    and give the same command again; or leave it where it is and add --from FILE",
        ]
    )
    return InputError(what, None, remedy)
