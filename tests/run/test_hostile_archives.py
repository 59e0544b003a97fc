"""Archives made to hurt, few bytes that unpack to many in members, notes, holes or values: refused in little memory."""

from __future__ import annotations

import gzip
import json
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tal_repro.errors import InputError
from tal_repro.run import archive
from tal_repro.run.archive import import_runs
from tal_repro.runs.store import RunStore

RUN = "baseline/tadtr/0123456789abcdef-dddddddd"
MANIFEST = json.dumps({"schema": archive.SCHEMA, "format": 2, "runs": [RUN.rpartition("/")[2]]}).encode()
MOST_MIB = 12  # of Python's own, where the archives here unpack to 16 and more
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object) -> Member:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = len(content), kind
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, content


def packed(folder: Path, members: Iterator[Member], tail: int = 0, form: int = tarfile.PAX_FORMAT) -> Path:
    """Write an archive: the manifest, these members, and zeros to its end. Headers say what they are told to say."""
    path = folder / "hostile.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for entry, content in (member("manifest.json", MANIFEST), *members):
            stream.write(entry.tobuf(form))
            stream.write(content + b"\0" * (-len(content) % 512))
        for _ in range(tail >> 20):
            stream.write(b"\0" * (1 << 20))
    return path


def sparse_by_header() -> Iterator[Member]:
    """Yield a GNU sparse member with a map of 16 MiB: tarfile keeps each of its holes."""
    entry, _ = member(f"{RUN}/log.txt", kind=tarfile.GNUTYPE_SPARSE)
    block = (b"%011o\0%011o\0" % (1, 1)) * 21 + b"\1" + b"\0" * 7
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # more of the map follows
    yield Raw(header), block * (1 << 15)


class Raw(tarfile.TarInfo):
    """A header of bytes given."""

    def __init__(self, header: bytes | bytearray) -> None:
        super().__init__()
        header[148:156] = b" " * 8  # type: ignore[index]
        header[148:156] = b"%06o\0 " % sum(header)  # type: ignore[index]
        self.header = bytes(header)

    def tobuf(self, *_: object, **__: object) -> bytes:
        return self.header


def sparse_by_notes() -> Iterator[Member]:
    """Yield a member whose notes say that its own bytes begin with a map of 10^9 holes."""
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": f"{RUN}/log.txt"}
    facts |= {"GNU.sparse.realsize": "1"}
    notes = b"".join(record(f"{name}={value}\n") for name, value in facts.items())
    yield member("notes", notes, tarfile.XHDTYPE)
    yield member(f"{RUN}/log.txt", b"1000000000\n" + b"1\n" * (12 << 20))


def record(text: str) -> bytes:
    size = len(text) + 3
    return f"{size} {text}".encode() if len(str(size)) == 2 else f"{size + 1} {text}".encode()


def notes_without_end() -> Iterator[Member]:
    yield member("notes", record("comment=x\n") + b"x" * (24 << 20), tarfile.XHDTYPE)


def long_name() -> Iterator[Member]:
    yield member("././@LongLink", b"x" * (24 << 20), tarfile.GNUTYPE_LONGNAME)


def chain_of_notes() -> Iterator[Member]:
    yield from (member("notes", record("path=x\n"), tarfile.XHDTYPE) for _ in range(2000))


def many_members() -> Iterator[Member]:
    yield from (member(f"{RUN}/x{number}") for number in range(archive.MOST_FILES_OF_RUN + 2))


def many_notes() -> Iterator[Member]:
    yield from (member(f".studies/x{number}.json", b"{}") for number in range(archive.MOST_FILES_OF_RUN + 2))


def many_values() -> Iterator[Member]:
    """Yield a file of 18 MiB whose JSON would take 400."""
    yield member(f"{RUN}/metrics.json", b'{"rows":[' + b"[]," * (6 << 20) + b"[]]}")


def of_kind(kind: bytes, name: str = f"{RUN}/log.txt") -> Callable[[], Iterator[Member]]:
    return lambda: iter([member(name, kind=kind, linkname="../../../../etc/passwd")])


HOSTILE: dict[str, tuple[Callable[[], Iterator[Member]], str]] = {
    "a map of holes in headers": (sparse_by_header, "sparse"),
    "a map of holes in the content": (sparse_by_notes, "sparse"),
    "notes without end": (notes_without_end, "notes are larger"),
    "a name without end": (long_name, "notes are larger"),
    "notes on notes": (chain_of_notes, "not a whole archive"),
    "files of a run without end": (many_members, "more than 64 files of 0123456789abcdef-dddddddd"),
    "studies without end": (many_notes, "more than 64 files of .studies"),
    "values without end": (many_values, "not a plain file of sane size"),
    "a symbolic link": (of_kind(tarfile.SYMTYPE), "not a plain file"),
    "a hard link": (of_kind(tarfile.LNKTYPE), "not a plain file"),
    "a device": (of_kind(tarfile.CHRTYPE), "not a plain file"),
    "a disk": (of_kind(tarfile.BLKTYPE), "not a plain file"),
    "a pipe": (of_kind(tarfile.FIFOTYPE), "not a plain file"),
    "a folder": (of_kind(tarfile.DIRTYPE), "not a plain file"),
    "a way out": (lambda: iter([member("baseline/tadtr/../../../evil", b"x")]), "not a file of a run"),
    "a way to the root": (lambda: iter([member("/etc/evil", b"x")]), "not a file of a run"),
    "a name with a null": (
        lambda: iter([member(f"{RUN}/lo\0g.txt", b"x")]),
        "names other runs|status.json",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_made_to_hurt_is_refused_in_little_memory(tmp_path: Path, what: str) -> None:
    make, message = HOSTILE[what]
    path = packed(tmp_path, make())
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message):
            import_runs(RunStore(tmp_path / "to"), path)
        peak = tracemalloc.get_traced_memory()[1] >> 20
    finally:
        tracemalloc.stop()
    assert peak < MOST_MIB
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["hostile.tar.gz"], "nothing is left of it"


def test_few_bytes_that_unpack_to_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LEAST_UNPACKED", 4 << 20)
    logs = (member(f"baseline/tadtr/{number:016x}/log.txt", b"\0" * (1 << 20)) for number in range(40))
    with pytest.raises(InputError, match="unpacks to more than any archive of runs of its size"):
        import_runs(RunStore(tmp_path / "to"), packed(tmp_path, logs))
    assert not (tmp_path / "to").exists()


def test_a_study_note_that_cannot_be_read_adds_no_run(tmp_path: Path) -> None:
    path = packed(tmp_path, iter([member(".studies/x.json", b"[]")]))
    with pytest.raises(InputError, match=r"x\.json: not a JSON object"):
        import_runs(RunStore(tmp_path / "to"), path)
    assert not (tmp_path / "to").exists()
