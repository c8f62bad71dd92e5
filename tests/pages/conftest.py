"""Fixtures of all tests of pages."""

from tests.helpers.browser import chromium, open_page

__all__ = ["chromium", "open_page"]
