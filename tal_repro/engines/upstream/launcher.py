"""Run one of the authors' scripts in this process: `python -m tal_repro.engines.upstream.launcher JSON`.

JSON: {"model", "tree", "script", "arguments", "last_words"}; the working directory is the caller's. Shims first, then
the script as `__main__`, exactly as `python script arguments` would run it. What it died of goes to file `last_words`.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

from tal_repro.engines.child import die_with_parent
from tal_repro.engines.upstream import probe, shims, witness


def main() -> None:
    """Run the script that the one argument describes."""
    order = json.loads(sys.argv[1])
    die_with_parent()
    tree = Path(order["tree"])
    script = str(tree / order["script"])
    # As `python script` does: the script's folder comes first, so that its packages `libs` or `models` are found.
    sys.path.insert(0, str(tree))
    sys.argv = [script, *order["arguments"]]
    try:
        shims.install(order["model"])
        probe.install()
        witness.install()
        runpy.run_path(script, run_name="__main__")
    except BaseException as error:
        said = (str(error).strip().splitlines() or [""])[0]  # numpy's errors go on for lines, the first says what
        Path(order["last_words"]).write_text(f"{type(error).__name__}: {said}", encoding="utf-8")
        raise


if __name__ == "__main__":
    main()
