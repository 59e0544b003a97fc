"""The two engines: `native` (ours) and `upstream` (the authors' own code), behind one adapter protocol."""
