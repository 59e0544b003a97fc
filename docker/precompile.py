"""Byte-compile the modules that importing the named ones loads, the same bytes in every build: for read-only images."""

import importlib
import py_compile
import sys
from pathlib import Path


def main() -> None:
    """Import every module named on the command line, then compile each source file that this loaded."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    sources = {Path(path) for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))}
    sources = {path for path in sources if path.suffix == ".py" and path.is_absolute()}
    for source in sorted(sources):
        # a hash instead of a time in the file: it does not depend on when the image was built
        py_compile.compile(str(source), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    print(f"precompile: {len(sources)} modules", file=sys.stderr)


if __name__ == "__main__":
    main()
