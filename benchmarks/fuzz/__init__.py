"""What is mutated, and how: for benchmarks/fuzz_readers.py."""
