"""Hostile archives: plain files inside the folder come out, everything else is refused by name and writes nothing."""

from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tal_repro.data.fetch import unpack as module
from tal_repro.data.fetch.unpack import Limits, unpack
from tal_repro.errors import InputError

LIMITS = Limits(files=50, total_bytes=200_000, file_bytes=100_000)


def quiet(done, total):
    assert 0 <= done <= total


def member(name, data=b"x", **fields):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, data


def tar_bytes(*members, format=tarfile.PAX_FORMAT):
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
            for entry, data in members:
                archive.addfile(entry, io.BytesIO(data))
        return buffer.getvalue()


def try_to_unpack(tmp_path, data, limits=LIMITS):
    """Unpack beside a file that must stay as it is; return the folder."""
    source, folder, witness = tmp_path / "a.tar", tmp_path / "out", tmp_path / "witness"
    source.write_bytes(data)
    witness.write_text("mine")
    folder.mkdir(exist_ok=True)
    try:
        unpack(source, folder, limits, quiet)
    finally:
        assert witness.read_text() == "mine"
        assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "out", "witness"}
        assert not [path for path in folder.rglob("*") if path.is_symlink()]
    return folder


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_plain_files_come_out(tmp_path, packed, format):
    long = "thumos/" + "deep/" * 12 + "n" * 90
    data = tar_bytes(
        member("thumos", b"", type=tarfile.DIRTYPE, mode=0o000),
        member("./thumos/a.json", b"{}", mode=0o6777, uid=0),
        member(long, b"y" * 1024),
        member("thumos/empty", b""),
        format=format,
    )
    folder = try_to_unpack(tmp_path, gzip.compress(data) if packed else data)
    assert (folder / "thumos/a.json").read_bytes() == b"{}" and (folder / long).read_bytes() == b"y" * 1024
    assert (folder / "thumos/empty").read_bytes() == b""
    assert not (folder / "thumos/a.json").stat().st_mode & 0o6111  # neither set-uid nor executable
    assert os.access(folder / "thumos", os.X_OK)


HOSTILE = {
    "absolute": (member("/etc/owned"), "not a plain relative name"),
    "parent": (member("../witness"), "leads out"),
    "parent inside": (member("a/../../witness"), "leads out"),
    "only parent": (member("..", b"", type=tarfile.DIRTYPE), "leads out"),
    "backslash": (member("..\\witness"), "not a plain relative name"),
    "control": (member("a\x1b[2Jb"), "not a plain relative name"),
    "newline": (member("a\nb"), "not a plain relative name"),
    "symlink": (member("a", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link"),
    "symlink inside": (member("a", b"", type=tarfile.SYMTYPE, linkname="b"), "is a link"),
    "hard link": (member("a", b"", type=tarfile.LNKTYPE, linkname="../witness"), "is a link"),
    "character device": (member("a", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5), "a device"),
    "block device": (member("a", b"", type=tarfile.BLKTYPE, devmajor=8), "a device"),
    "fifo": (member("a", b"", type=tarfile.FIFOTYPE), "special file"),
    "contiguous": (member("a", b"x", type=tarfile.CONTTYPE), "special file"),
    "unknown type": (member("a", b"x", type=b"Z"), "special file"),
    "large": (member("a", b"x" * 100_001), "passes the limits"),
    "long name": (member("n" * 300), "too long"),
    "deep": (member("d/" * 30 + "a"), "too long"),
    "dot": (member("."), "no name|there twice|special|relative"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_refused(tmp_path, case):
    bad, reason = HOSTILE[case]
    with pytest.raises(InputError, match=reason) as told:
        try_to_unpack(tmp_path, tar_bytes(member("good"), bad))
    assert "\x1b" not in str(told.value) and "a.tar" in str(told.value)


@pytest.mark.parametrize(
    "members",
    [
        (member("a"), member("a")),
        (member("a"), member("./a")),
        (member("a/b"), member("a//b")),
        (member("a"), member("a/b")),
        (member("a/b"), member("a")),
        (member("a"), member("a", b"", type=tarfile.DIRTYPE)),
    ],
)
def test_one_name_for_two_things(tmp_path, members):
    with pytest.raises(InputError, match=r"there twice|where a folder belongs"):
        try_to_unpack(tmp_path, tar_bytes(*members))


def test_a_link_and_a_file_behind_it(tmp_path):
    link = member("sub", b"", type=tarfile.SYMTYPE, linkname="..")
    with pytest.raises(InputError, match="is a link"):
        try_to_unpack(tmp_path, tar_bytes(link, member("sub/witness", b"owned")))


def test_too_many_and_too_much(tmp_path):
    with pytest.raises(InputError, match="more than 50 entries"):
        try_to_unpack(tmp_path, tar_bytes(*(member(f"f{index}") for index in range(60))))
    with pytest.raises(InputError, match="passes the limits"):
        try_to_unpack(tmp_path, tar_bytes(*(member(f"g{index}", b"x" * 90_000) for index in range(3))))


def test_a_gzip_bomb_is_not_unpacked_into_memory(tmp_path):
    bomb = gzip.compress(bytes(2**24)) * 20  # 320 MiB of zeros behind a good file
    with pytest.raises(InputError, match="more than the limit"):
        try_to_unpack(tmp_path, gzip.compress(tar_bytes(member("good"))) + bomb)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_claims_a_gigabyte_is_not_read(tmp_path, kind):
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 2**30
    data = gzip.compress(header.tobuf() + bytes(2**22))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="a header of"):
            try_to_unpack(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_thousands_of_nested_headers(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    with pytest.raises(InputError):
        try_to_unpack(tmp_path, (header.tobuf() + b"n\0".ljust(512, b"\0")) * 5000)


@pytest.mark.parametrize("real_size", ["20", "999999999999"])
def test_sparse_files_are_refused(tmp_path, real_size):
    entry = tarfile.TarInfo("sparse")
    entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": real_size}
    data = b"1\n0\n4\n".ljust(512, b"\0") + b"data"
    entry.size = len(data)
    with pytest.raises(InputError, match="special file"):
        try_to_unpack(tmp_path, tar_bytes((entry, data)))


def test_negative_sizes(tmp_path):
    raw = bytearray(tar_bytes(member("a", b"x" * 10), member("b")))
    raw[124:136] = b"\xff" * 12  # base-256 for -1
    raw[148:156] = b"%06o\0 " % (sum(raw[:148]) + 8 * 32 + sum(raw[156:512]))
    with pytest.raises(InputError):
        try_to_unpack(tmp_path, bytes(raw))


GOOD = tar_bytes(member("thumos/a", b"a" * 700), member("thumos/b", b"b" * 512), member("thumos/c", b"c" * 100))


@pytest.mark.parametrize("packed", [True, False])
def test_an_archive_cut_anywhere_is_refused(tmp_path, packed):
    data = gzip.compress(GOOD, mtime=0) if packed else GOOD
    end = len(data) - 1 if packed else GOOD.rindex(b"c") + 1
    for kept in range(0, end, 7 if packed else 97):
        folder = tmp_path / str(kept)
        folder.mkdir()
        with pytest.raises(InputError):
            try_to_unpack(folder, data[:kept])


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    raw = bytearray(GOOD)
    second = 512 + 1024  # a's header and its two blocks
    raw[second + 148 : second + 156] = b"0000000\0"
    with pytest.raises(InputError, match="damaged"):
        try_to_unpack(tmp_path, bytes(raw))


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x1f\x8b", bytes(512), bytes(10240), b"PK\x03\x04" + bytes(600)])
def test_what_is_no_archive(tmp_path, data):
    with pytest.raises(InputError):
        try_to_unpack(tmp_path, data)


def test_a_wrong_gzip_checksum(tmp_path):
    data = bytearray(gzip.compress(GOOD))
    data[-8] ^= 1
    with pytest.raises(InputError, match="not a whole tar archive"):
        try_to_unpack(tmp_path, bytes(data))


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(out, block):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write_all", full)
    with pytest.raises(InputError, match="No space left on device"):
        try_to_unpack(tmp_path, GOOD)
    monkeypatch.setattr("tal_repro.data.workplace.SPARE_BYTES", 2**62)
    with pytest.raises(InputError, match="MiB are free"):
        unpack(tmp_path / "a.tar", tmp_path / "out", LIMITS, quiet)


def test_our_own_rules_hold_without_pythons_filter(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    for index, case in enumerate(HOSTILE):
        folder = tmp_path / str(index)
        folder.mkdir()
        with pytest.raises(InputError, match=HOSTILE[case][1]):
            try_to_unpack(folder, tar_bytes(HOSTILE[case][0]))


TOKENS = ["a", "b", "/", ".", "..", "../", "\\", "\x00", "\x1b", "\u202e", "é", "\udc80", " ", "~"]
NAMES = st.lists(st.sampled_from(TOKENS), max_size=8).map("".join)
TYPES = st.sampled_from(
    [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, b"S", b"x"]
)
MEMBERS = st.lists(st.tuples(NAMES, TYPES, st.binary(max_size=600), NAMES), max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=MEMBERS, flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3))
def test_whatever_is_in_it_nothing_leaves_the_folder(tmp_path_factory, members, flips):
    """Any members, any damaged bytes: an InputError, or regular files with the content that was packed, inside."""
    tmp_path = tmp_path_factory.mktemp("any")
    entries = []
    for name, kind, data, link in members:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, link
        entry.size = len(data) if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
        entries.append((entry, data))
    try:
        raw = bytearray(tar_bytes(*entries, format=tarfile.GNU_FORMAT))
    except (ValueError, tarfile.TarError):  # tarfile itself cannot write it
        return
    for position, value in flips:
        if position < len(raw):
            raw[position] = value
    try:
        folder = try_to_unpack(tmp_path, bytes(raw))
    except InputError as error:
        assert "\x1b" not in str(error)
        return
    for path in folder.rglob("*"):
        assert path.resolve().is_relative_to(folder.resolve()) and (path.is_dir() or path.is_file())
    if not flips:
        packed = [data for _, kind, data, _ in members if kind in (tarfile.REGTYPE, tarfile.AREGTYPE)]
        assert all(path.read_bytes() in packed for path in folder.rglob("*") if path.is_file())


def test_the_shipped_limits_hold_thumos14():
    limits = Limits()
    longest = 1673 * 30 / 4 * 2048 * 4
    assert limits.file_bytes > 2 * longest and limits.total_bytes > 2 * 5 * 2**30 and limits.files > 10 * 420
