"""The upstream engine: the authors' own code, from pinned checkouts, patched in a copy, run in a process of its own."""
