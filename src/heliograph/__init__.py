"""Heliograph: a self-hosted SMS platform, the server behind RealTime SMS v.2 and 747 SMS v1."""

__version__ = "0.1.0"
