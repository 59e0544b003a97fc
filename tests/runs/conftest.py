"""A miniature study and its stand-in engine, as the tests of `run` have them."""

from tests.run.conftest import mini, stand_in, store, tal  # noqa: F401 (fixtures)
