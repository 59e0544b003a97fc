"""`python -m tal_repro` is `tal-repro`: it sets its signals first, since the imports take a tenth of a second."""

from __future__ import annotations

import sys

from tal_repro.interrupt import hold_standard_streams, leave_on_signals, leave_with


def start() -> None:
    """Run the command line."""
    leave_on_signals()
    hold_standard_streams()
    try:
        from tal_repro.cli import main

        main()
    except KeyboardInterrupt:
        leave_with(130)
        sys.exit(130)
    except SystemExit as leaving:
        leave_with(leaving.code)
        raise


if __name__ == "__main__":
    start()
