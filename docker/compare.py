"""Compare two images file by file: names, kinds, modes, contents; and say what each holds, by folder and package.

podman image mount A; podman image mount B; python3 docker/compare.py DIR_A DIR_B
python3 docker/compare.py DIR                 # only what it is made of
"""

import hashlib
import os
import stat
import sys
from collections import Counter
from pathlib import Path

SITE = "opt/venv/lib/python3.11/site-packages/"
LISTED = 40


def main() -> None:
    """Print the sizes of the first image, then every difference to the second."""
    roots = [Path(argument) for argument in sys.argv[1:]]
    if len(roots) not in (1, 2):
        sys.exit(__doc__)
    first = look(roots[0])
    print_sizes(first)
    if len(roots) == 2:
        sys.exit(print_differences(first, look(roots[1])))


def look(root: Path) -> dict[str, tuple[str, int, str]]:
    """Return path -> (kind and mode, bytes, digest or target) of everything below a folder."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            status = path.lstat()
            content, size = "", 0
            if path.is_symlink():
                content = str(path.readlink())
            elif stat.S_ISREG(status.st_mode):
                content, size = hashlib.sha256(path.read_bytes()).hexdigest(), status.st_size
            found[str(path.relative_to(root))] = (stat.filemode(status.st_mode), size, content)
    return found


def print_sizes(found: dict[str, tuple[str, int, str]]) -> None:
    """Print megabytes by folder, and by Python package in the environment."""
    sizes: Counter[str] = Counter()
    for path, (_, size, _) in found.items():
        inside = path.removeprefix(SITE)
        sizes[f"python: {inside.split('/')[0]}" if inside != path else "/".join(path.split("/")[:2])] += size
        sizes["bytecode (in the above)"] += size * path.endswith(".pyc")
    total = sum(size for _, size, _ in found.values())
    print(f"{total / 1e6:8.1f} MB in {len(found)} files and folders")
    for name, size in sizes.most_common(LISTED):
        print(f"{size / 1e6:8.1f} MB  {name}")


def print_differences(first: dict[str, tuple[str, int, str]], second: dict[str, tuple[str, int, str]]) -> int:
    """Print every path that is in one image only, or not the same in both; return how many (at most 1)."""
    different = sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))
    print(f"{len(first)} and {len(second)} paths, {len(different)} differ")
    for path in different:
        a, b = first.get(path), second.get(path)
        how = "only in the second" if a is None else "only in the first" if b is None else "content or mode"
        print(f"  {how}: {path}")
    return min(len(different), 1)


if __name__ == "__main__":
    main()
