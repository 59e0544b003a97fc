"""One feature file of numpy: checked header, then rows. Those of torch: `torch_features`."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tal_repro.data.layouts import check_inside
from tal_repro.errors import InputError

ATTEMPTS = 5  # to parse a header
_RESTORE = "restore the file from the archive"


class OtherType(InputError):
    """Values are of another floating-point type than the one that the definition states."""


@dataclass(frozen=True)
class NpyHeader:
    """What a .npy file, or the one in a .npz, says of itself, checked against its size. `offset`: of the values."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int
    fortran_order: bool


def read_npy_header(path: Path, root: Path, dtype: str = "") -> NpyHeader:
    """Read a .npy header without numpy's pickle path; raise InputError unless it is a whole [T, C] file of `dtype`."""
    check_inside(path, root)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            header = parse_header(stream, size, path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path, _RESTORE) from None
    check_array(header.shape, header.dtype, path, dtype)
    return header


def parse_header(stream: IO[bytes], size: int, path: Path) -> NpyHeader:
    """Parse the header of an array of `size` bytes that begins here; InputError unless its values fill it."""
    try:
        shape, fortran_order, dtype = _read_header(stream)
        offset = stream.tell()
    except Exception as error:  # numpy's header parser lets many kinds through on damaged bytes
        raise InputError(f"corrupt {path.suffix} header ({first_line(error)})", path, _RESTORE) from None
    check_array(shape, dtype, path)
    expected = offset + int(shape[0]) * int(shape[1]) * dtype.itemsize
    if size != expected:
        kind = "truncated" if size < expected else "too long"
        raise InputError(f"{kind}: {size} bytes, the header needs {expected}", path, _RESTORE)
    return NpyHeader((int(shape[0]), int(shape[1])), dtype, offset, bool(fortran_order))


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order and type; again where the interpreter failed and not the file.

    numpy parses a header by `ast`, whose count of its depth Python 3.11 shares between threads: where two parse at once
    it raises SystemError for a sound file.
    """
    begin = stream.tell()
    for attempt in range(ATTEMPTS):
        try:
            version = np.lib.format.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"format version {version}")
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return read(stream)
        except SystemError:
            if attempt == ATTEMPTS - 1:
                raise
            stream.seek(begin)
    raise AssertionError("every attempt returns or raises")


def stored_at(path: Path, entry: zipfile.ZipInfo) -> int:
    """Return where the bytes of an archive's entry begin, which is not compressed."""
    with path.open("rb") as stream:
        stream.seek(entry.header_offset)
        name_bytes, extra_bytes = struct.unpack("<26xHH", stream.read(30))
    return int(entry.header_offset) + 30 + int(name_bytes) + int(extra_bytes)


def map_npy(path: Path, root: Path, dtype: str = "") -> npt.NDArray[Any]:
    """Memory-map a checked .npy file, [T, C] of `dtype` ("": of any float), read-only."""
    return map_array(path, read_npy_header(path, root, dtype))


def map_array(path: Path, header: NpyHeader, start: int = 0) -> npt.NDArray[Any]:
    """Memory-map the array whose header begins `start` bytes into a file, [T, C], read-only."""
    order: Any = "F" if header.fortran_order else "C"
    return np.memmap(path, header.dtype, mode="r", offset=start + header.offset, shape=header.shape, order=order)


def check_array(shape: tuple[int, ...], dtype: np.dtype[Any], where: str | Path, expected_dtype: str = "") -> None:
    """Raise InputError unless an array is [T, C], not empty, and of the type `expected_dtype` ("": of any float)."""
    if dtype.kind != "f" or dtype.itemsize > 8:
        remedy = f"convert it: array.astype('{expected_dtype or 'float32'}')"
        raise InputError(f"dtype {dtype}, expected {expected_dtype or 'float16, float32 or float64'}", where, remedy)
    if expected_dtype and dtype != np.dtype(expected_dtype).newbyteorder("<"):
        remedy = f"convert it: array.astype('{expected_dtype}')"
        raise OtherType(f"dtype {dtype}, expected {expected_dtype}", where, remedy)
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"shape {tuple(shape)}, expected [T, C]", where, _RESTORE)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
