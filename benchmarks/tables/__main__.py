"""Write the numbers in the documents and the patch hashes in the package anew: make docs."""

from __future__ import annotations

from benchmarks.tables.documents import rewrite
from benchmarks.tables.pins import write_pins
from tal_repro.kit import require_checkout

if __name__ == "__main__":
    write_pins()
    written = rewrite(require_checkout("writing the documents"))
    print("\n".join(map(str, written)) if written else "nothing has drifted")
