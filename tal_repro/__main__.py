"""`python -m tal_repro` is `tal-repro`."""

from tal_repro.cli import main

if __name__ == "__main__":
    main()
