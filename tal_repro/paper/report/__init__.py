"""The report: one self-contained page from published numbers and finished runs; the same as tables for an appendix."""
