"""Trackers: MACs, latency, memory, energy, traces. They measure; runs, tables and figures store and show."""
