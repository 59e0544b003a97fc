"""The door: strict JSON and CSV, bounded bytes, cleaned output. Every refusal names file, place and remedy."""

from __future__ import annotations

import gzip
import json
import os
import random
import threading

import pytest

from tal_repro.errors import InputError
from tal_repro.files import write_bytes, write_json
from tal_repro.untrusted import csv_cell, parse_json_object, printable, read_csv_rows, read_end, read_json_object, short


def nested(levels: int) -> bytes:
    return b'{"a": ' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not JSON, line 1 column 1"),
        (b'{"a":\n 1,}', "not JSON, line 2 column 4"),
        (b"[]", "not a JSON object, but a list"),
        (b"null", "not a JSON object, but null"),
        (b'{"a": "\xff"}', "not UTF-8 text, first in line 1"),
        (b'{"a": 1,\n"b": "\xe9"}', "not UTF-8 text, first in line 2"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "key 'b' appears twice"),
        (b'{"a": {"b": [1, NaN]}}', r"a\.b\[1\] is not a finite number"),
        (b'{"a": -Infinity}', "a is not a finite number"),
        (b'{"a": [0, 1e400]}', r"a\[1\] is not a finite number"),
        (b'{"a": -1E+400}', "a is not a finite number"),
        (b'{"a": ' + b"9" * 400 + b".5}", "a is not a finite number"),
        (b'{"a": ' + b"9" * 4301 + b"}", "integer of more than 4,300 digits"),
        (b'{"a": "\\ud800"}', "a holds half a surrogate pair"),
        (b'{"a": {"\\udfff": 1}}', "a key of a holds half a surrogate pair"),
        (b'{"x": "[[", "a": ' + nested(65) + b"}", "more than 64 levels"),
        (nested(65), "more than 64 levels"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "more than 64 levels"),
    ],
)
def test_what_no_reader_should_take_is_refused_with_its_place(content: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what) as refused:
        parse_json_object(content, "spec.json", "restore it")
    assert (refused.value.where, refused.value.remedy) == ("spec.json", "restore it")


@pytest.mark.parametrize(
    "content",
    [
        nested(64),
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\\ud83d\\ude00 NaN Infinity 1e999 ]]]]{{{{"}',
        b'{"a": 1e308, "b": 1e-400, "c": "fee0001"}',
        b'{"a": ' + b"9" * 400 + b"}",
        b'{"a": [' + b"{}," * 200 + b"[]]}",
    ],
)
def test_sound_json_is_read_as_json_reads_it(content: bytes) -> None:
    assert parse_json_object(content, "x") == json.loads(content.decode("utf-8-sig"))


def test_mutated_json_is_read_or_refused() -> None:
    chance = random.Random(7)
    sound = json.dumps({"a": [1.5e10, {"b": "text \u00e9 \U0001f600", "c": [[]]}, None, True], "d": -3}).encode()
    for _ in range(300):
        mutated_is_read_or_refused(sound, chance)


def mutated_is_read_or_refused(sound: bytes, chance: random.Random) -> None:
    content = bytearray(sound)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(content))
        piece = chance.choice([bytes([chance.randrange(256)]), b"NaN", b"1e999", b"[" * 80, b"\\ud800", b'"a":', b"9"])
        content[at : at + chance.randint(0, 3)] = piece
    try:
        value = parse_json_object(bytes(content), "x")
    except InputError as error:
        assert error.where == "x" and error.remedy
    else:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def test_a_file_that_cannot_be_read_is_named_with_a_way_out(tmp_path, monkeypatch) -> None:
    (tmp_path / "false.json.gz").write_text("{}")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").write_text("{}")
    os.mkfifo(tmp_path / "pipe")
    cases = {
        "nope": ("No such file", "check the path"), "": ("directory", "not a folder"),
        "false.json.gz": ("gzip", "without .gz"), "circle": ("symbolic links", "circle"),
        "pipe": ("not a regular file", "permissions"), "file/x": ("Not a directory", "is a file"),
        "a\0b": ("null", "check the path"),
    }  # fmt: skip
    for name, (what, way_out) in cases.items():
        with pytest.raises(InputError, match=what) as refused:
            read_json_object(tmp_path / name)
        assert way_out in str(refused.value.remedy) and refused.value.where == str(tmp_path / name)
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(InputError, match="Permission denied") as refused:
        read_json_object(tmp_path / "file", remedy="restore it")
    assert refused.value.remedy == "see to its permissions, or give another place"


def test_no_more_is_read_than_asked_for_unpacked_or_not(tmp_path) -> None:
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_bytes(b'{"a": 1}' + b" " * 100)
    packed.write_bytes(gzip.compress(b'{"a": 1}' + b" " * 50_000_000))
    assert read_json_object(plain, most_bytes=108) == {"a": 1}
    for path in (plain, packed):
        with pytest.raises(InputError, match="the run's spec: larger than 107 bytes"):
            read_json_object(path, most_bytes=107, what="the run's spec")


def rows_of(tmp_path, content: bytes, **how):
    (tmp_path / "t.csv").write_bytes(content)
    return list(read_csv_rows(tmp_path / "t.csv", ("a", "b"), **how))


def test_few_bytes_that_unpack_to_many_are_refused(tmp_path) -> None:
    packed = tmp_path / "bomb.json.gz"
    packed.write_bytes(gzip.compress(b" " * (65 << 20), 1))
    with pytest.raises(InputError, match="larger than 64 MiB"):
        read_json_object(packed)


def test_only_the_end_of_a_regular_file_is_read(tmp_path) -> None:
    file, pipe = tmp_path / "log.txt", tmp_path / "pipe"
    file.write_bytes(b"0123456789")
    os.mkfifo(pipe)
    assert [read_end(path, 4) for path in (file, pipe, tmp_path, tmp_path / "none")] == [b"6789", b"", b"", b""]


def test_csv_rows_come_with_their_lines(tmp_path) -> None:
    assert rows_of(tmp_path, b'\xef\xbb\xbfc,b,a\n1,2,3\n\n"x\ny",5,6\n') == [
        (2, {"c": "1", "b": "2", "a": "3"}),
        (5, {"c": "x\ny", "b": "5", "a": "6"}),
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no header"),
        (b"a,c\n", "line 1: missing column 'b'"),
        (b"a,b,a\n", "line 1: repeated column 'a'"),
        (b"a,b\n1,2\n1\n", "line 3: 1 fields, the header names 2"),
        (b"a,b\n1,\xff\n", "not UTF-8 text, first in line 2"),
        (b'a,b\n1,"2\n', "line 2: not a CSV file"),
        (b"a,b\n1,2\n1,3\0\n", "line 3: not a CSV file .a null byte"),
    ],
)
def test_bad_csv_names_its_line(tmp_path, content: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what):
        rows_of(tmp_path, content)


def test_exact_columns_are_these_and_no_others(tmp_path) -> None:
    with pytest.raises(InputError, match="line 1: columns 'a,b,c'"):
        rows_of(tmp_path, b"a,b,c\n", exact=True)


def test_what_goes_to_a_terminal_moves_no_cursor() -> None:
    assert printable("a\tb\nc é 跳水 😀") == "a\tb\nc é 跳水 😀"
    assert printable("\x1b[31m\r\x07\x9b") == r"\x1b[31m\x0d\x07\x9b"
    assert printable("a\u202eb\u2066\u2028\ud800") == r"a\u202eb\u2066\u2028\ud800"
    assert short("\x1b[2J" * 100).isprintable() and len(short("x" * 10**6)) <= 60


def test_what_goes_to_a_spreadsheet_is_no_formula() -> None:
    assert [csv_cell(text) for text in ("=1+1", "+x", "-2Vz", "@a", "\tx", "\rx")] == [
        "'=1+1", "'+x", "'-2Vz", "'@a", "'\tx", "'\rx"
    ]  # fmt: skip
    assert [csv_cell(value) for value in (-1, -1.5, None, "a=b", "", "-1.5e-3", "+2")] == [
        -1, -1.5, None, "a=b", "", "-1.5e-3", "+2"
    ]  # fmt: skip


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path, monkeypatch) -> None:
    path = tmp_path / ("é" * 120)
    write_json(path, {"a": 1})
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space left"):
        write_bytes(path, b"new")
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    with pytest.raises(InputError, match="cannot be written") as refused:
        write_bytes(tmp_path / "no folder" / "x", b"")
    assert refused.value.remedy == "make its folder first"
    threads = [threading.Thread(target=write_bytes, args=(path, bytes([65 + n]) * 10_000)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(path.read_bytes())) == 1 and len(path.read_bytes()) == 10_000
