"""Models beyond the four, one file each: its recipe, and how its authors' scripts are run (docs/adding-a-model.md)."""
