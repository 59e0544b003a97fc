"""The reading room of run folders: their names, the one writer, the one checking reader, and the runs of a study."""
