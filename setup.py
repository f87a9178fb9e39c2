"""Entry point for build tools; all metadata lives in setup.cfg."""

from setuptools import setup

setup()
