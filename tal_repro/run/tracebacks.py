"""Read the authors' traceback out of what their script printed: their files and lines, and the error itself."""

from __future__ import annotations

import re

START = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(?P<path>[^"]+)", line (?P<line>\d+), in (?P<function>.+)')
_ERROR = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Iteration)?(?:: .*)?")
FRAMES = 3


def of_authors(output: str, model: str) -> tuple[str, str]:
    """Return where the authors' code ended and what it said: ("libs/data.py, line 37", text); ("", "") without one.

    Frames are of the prepared copy of `model`'s checkout, named relative to it.
    """
    for block in output.split(START)[1:]:
        lines = block.splitlines()
        frames = [(frame, lines[i + 1 : i + 2]) for i, line in enumerate(lines) if (frame := _FRAME.match(line))]
        own = [(frame, code) for frame, code in frames if f"/{model}-" in frame["path"]]
        if not own:
            continue
        after = lines.index(frames[-1][0].string) + 1
        error = next(
            (line for line in lines[after:] if line and not line.startswith(" ") and _ERROR.fullmatch(line)), ""
        )
        last = own[-1][0]
        shown = [f"    {_relative(frame['path'], model)}, line {frame['line']}: {''.join(code).strip()}"
                 for frame, code in own[-FRAMES:]]  # fmt: skip
        return f"{_relative(last['path'], model)}, line {last['line']}", "\n".join([error, *shown])
    return "", ""


def _relative(path: str, model: str) -> str:
    """Return a path below the prepared copy, whose folder is <model>-<commit>-<patches>."""
    return re.sub(rf".*/{re.escape(model)}-[^/]+/", "", path)
