"""What is fetched, where its authors published it, and how to get it by hand.

Identifiers and checksums are facts of their README files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tal_repro.data.dataset import LayoutName
from tal_repro.data.fetch.web import shown
from tal_repro.errors import CONTAINER_VARIABLE, InputError
from tal_repro.machine.host import GIB, MIB


class NotFetched(InputError):
    """No mirror gives an archive; the remedy is the way by hand."""


def instructions(archive: Archive, target: Path, failures: Sequence[tuple[Mirror, str]], checksum: str) -> NotFetched:
    """Return the error that ends the fetch of one archive: each mirror's reason, then the way by hand."""
    lines = [f"  {shown(mirror.link)}: {reason}" for mirror, reason in failures]
    places = [f"      {mirror.link}{f' ({mirror.note})' if mirror.note else ''}" for mirror in archive.mirrors]
    # a container sees the data folder and nothing else of the host's
    elsewhere = "" if os.environ.get(CONTAINER_VARIABLE) else "; or leave it where it is and add --from FILE"
    what = "\n".join([f"{archive.name} could not be fetched", *lines])
    remedy = "\n".join(
        [
            f"download {archive.name} by hand, in a browser, from (as published on {LINKS_OF})",
            *places,
            f"    put it at {target}",
            f"    (no browser here? download it on a laptop, then there: scp {archive.name} USER@THIS-MACHINE:FOLDER)",
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


# The README files as they stood at the pinned commits on this day, read in November 2026. The links themselves have not
# been tried: whether they still lead to the files is known when somebody fetches.
LINKS_OF = "2023-06-21"
# ActionFormer's features are about 5 GiB unpacked; no size was published for TadTR's.
MOST_ARCHIVE_BYTES, MOST_JSON_BYTES = 24 * GIB, 64 * MIB

HostName = Literal["plain", "google-drive", "google-drive-folder", "box", "onedrive", "sharepoint-folder", "by-hand"]


@dataclass(frozen=True)
class Mirror:
    """One published place of an archive. `link` is what a browser opens; `md5` is None where none was published."""

    host: HostName
    link: str
    md5: str | None = None
    note: str = ""  # what a person needs to know there
    by_content: bool = False  # of another packing, or nobody's md5: what is in it decides (content.py)


@dataclass(frozen=True)
class Archive:
    """One file to fetch: its published name, its places in the order they are tried, and a limit in bytes."""

    name: str
    mirrors: tuple[Mirror, ...]
    most_bytes: int = MOST_ARCHIVE_BYTES

    @property
    def md5s(self) -> frozenset[str]:
        """Return the published checksums: the archive's own, and those of other packs of the same data."""
        return frozenset(mirror.md5 for mirror in self.mirrors if mirror.md5)


_AF_MD5 = "375f76ffbf7447af1035e694971ec9b2"
_TM_MD5 = "1f71c37dba55d549e4b02841d0dcf603"
TADTR_FOLDER = (
    Mirror(
        "sharepoint-folder",
        "https://husteducn-my.sharepoint.com/:f:/g/personal/liuxl_hust_edu_cn/EsMyXDlkrTdBsikoRQSIeUsBkxJJRsplbMyIQVYotiZRIQ?e=QYgiCH",
    ),
    Mirror("by-hand", "https://pan.baidu.com/s/183VprlbKNjMb3Gr-rfmROQ", note="code adTR"),
)

ARCHIVES: dict[LayoutName, tuple[Archive, ...]] = {
    "actionformer": (
        Archive(
            "thumos.tar.gz",
            (
                Mirror(
                    "google-drive", "https://drive.google.com/file/d/1zt2eoldshf99vJMDuu8jqxda55dCyhZP/view", _AF_MD5
                ),
                Mirror("box", "https://uwmadison.box.com/s/glpuxadymf3gd01m1cj6g5c3bn39qbgr", _AF_MD5),
                Mirror(
                    "google-drive",
                    "https://drive.google.com/file/d/1iemRUtCVshYD3o9WahUrTTOW08GyCjfi/view",
                    note="OpenTAD's copy of the same features, its packing and md5 unknown: judged by its content",
                    by_content=True,
                ),
                Mirror(
                    "onedrive",
                    "https://1drv.ms/u/s!AmoaChPnSuIOmwImo2-7iaRzrrAT?e=lyebbA",
                    _TM_MD5,
                    "TemporalMaxer's pack of the same data set; "
                    "OneDrive's anonymous access is reported closed since October 2024",
                ),
                Mirror("by-hand", "https://pan.baidu.com/s/1TgS91LVV-vzFTgIHl1AEGA", _AF_MD5, "code 74eh"),
            ),
        ),
    ),
    "tadtr": (
        Archive("th14_annotations_with_fps_duration.json", TADTR_FOLDER, MOST_JSON_BYTES),
        Archive("th14_i3d2s_ft_info.json", TADTR_FOLDER, MOST_JSON_BYTES),
        Archive("I3D_2stream_Pth.tar", TADTR_FOLDER),
    ),
}
