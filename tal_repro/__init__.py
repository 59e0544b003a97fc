"""Reproduce, check and extend the study "Efficient Temporal Action Localization model development practices" (2023)."""

__version__ = "0.1.0"
