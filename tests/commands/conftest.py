"""The stand-in engine, as the tests of `run` have it."""

from tests.run.conftest import stand_in, start  # noqa: F401 (fixtures)
