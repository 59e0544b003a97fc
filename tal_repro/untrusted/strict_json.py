"""JSON from others: one sound object, or a refusal that names the place. Costs little more than `json.loads`."""

from __future__ import annotations

import gc
import json
import math
import re
from os import PathLike
from typing import Any

from tal_repro.errors import InputError
from tal_repro.untrusted.output import short
from tal_repro.untrusted.reading import RESTORE, decode, named, read_bytes

MAX_DEPTH = 64
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_HUGE = re.compile(rb"[:\[,\s]-?[0-9.]+[eE]\+?[0-9]{3}")  # a number of three digits of exponent; no hex text
_DIGITS_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json_object(
    path: str | PathLike[str], *, most_bytes: int | None = None, remedy: str | None = None, what: str = "file"
) -> dict[str, Any]:
    """Read a JSON object from a file (`.gz`: unpacked); raise InputError for anything else. See `parse_json_object`."""
    return parse_json_object(read_bytes(path, most_bytes=most_bytes, remedy=remedy, what=what), path, remedy, what=what)


def parse_json_object(
    content: bytes, where: str | PathLike[str], remedy: str | None = None, *, what: str = "file"
) -> dict[str, Any]:
    """Parse JSON text strictly; raise InputError naming `where` unless it is one sound object.

    Refused: text that is not UTF-8, a repeated key, NaN and Infinity, 1e400, integers of more than 4,300 digits, more
    than 64 levels, half a surrogate pair. Costs little more than `json.loads`: what is rare is looked for only where
    the bytes hold a sign of it.
    """

    def refusal(problem: str) -> InputError:
        return InputError(named(what, problem), where, remedy or RESTORE)

    text = decode(content, where, remedy or RESTORE)
    try:
        value = _decoded(text)
    except json.JSONDecodeError as error:
        raise refusal(f"not JSON, line {error.lineno} column {error.colno} ({error.msg})") from None
    except _RepeatedKey as error:
        raise refusal(f"key {short(error.args[0])} appears twice in one object") from None
    except RecursionError:
        raise refusal(f"not JSON that a reader takes: more than {MAX_DEPTH} levels") from None
    except ValueError:
        raise refusal("not JSON that a reader takes: an integer of more than 4,300 digits") from None
    del text  # of 200 MB, a second time
    if not isinstance(value, dict):
        raise refusal(f"not a JSON object, but {_kind(value)}")
    if _suspicious(content) and (problem := _first_problem(value)):
        raise refusal(problem)
    return value


class _RepeatedKey(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        seen: set[str] = set()
        raise _RepeatedKey(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return names


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _decoded(text: str) -> Any:
    """Decode without the collector of cycles, of which JSON makes none: of a million objects it takes half the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _DECODER.decode(text)
    finally:
        if collecting:
            gc.enable()


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _suspicious(content: bytes) -> bool:
    """Tell whether sound JSON could hold something `_first_problem` finds. May be wrong, but never by a False."""
    alike = content.translate(_DIGITS_ALIKE)
    return (
        b"NaN" in content
        or b"Infinity" in content
        or ((b"e000" in alike or b"e+000" in alike) and _HUGE.search(content) is not None)
        or b"0" * 309 in alike
        or (b"\\u" in content and _SURROGATE.search(content) is not None)
        or not _shallow(content)
    )


def _shallow(content: bytes) -> bool:
    """Tell whether peeling brackets from the inside, two levels a turn at most, leaves none after half of `MAX_DEPTH`.

    Each turn removes one or two levels, so what is empty then has at most `MAX_DEPTH`; brackets in texts may say False.
    """
    brackets = content.translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH // 2):
        size = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(brackets) in (0, size):
            break
    return not brackets


def _first_problem(value: Any) -> str | None:
    """Walk a parsed document; return what no reader should take, with its place (None: sound)."""
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    while waiting:
        item, place = waiting.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return f"{_spelled(place)} is not a finite number"
        if isinstance(item, str) and _half_pair(item):
            return f"{_spelled(place)} holds half a surrogate pair: {short(item)}"
        if isinstance(item, dict | list) and len(place) >= MAX_DEPTH:
            return f"more than {MAX_DEPTH} levels"
        if isinstance(item, dict):
            if half := next((key for key in item if _half_pair(key)), None):
                return f"a key of {_spelled(place)} holds half a surrogate pair: {short(half)}"
            waiting += [(member, (*place, key)) for key, member in reversed(item.items())]
        elif isinstance(item, list):
            waiting += [(member, (*place, index)) for index, member in reversed(list(enumerate(item)))]
    return None


def _half_pair(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _spelled(place: tuple[Any, ...]) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{short(step)[1:-1]}" for step in place]
    return "".join(parts).removeprefix(".") or "the top level"


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number that a float can hold (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
