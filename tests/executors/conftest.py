"""The fixtures of tests/run serve here too."""

from tests.run.conftest import mini, stand_in, store  # noqa: F401
