"""Native models of one's own, one file each: its recipe, and how its network is built (docs/adding-a-model.md)."""
