"""One module a verb of `tal-repro`: words and options in, one call of the rooms below, what they gave printed."""
