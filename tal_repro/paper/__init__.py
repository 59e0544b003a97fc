"""The paper's numbers: published tables and run folders in; verdicts, tables and figures out. Writes no run."""
