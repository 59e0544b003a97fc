"""Native models of one's own, a file each: its recipe, and its network (docs/adding-a-native-model.md)."""
