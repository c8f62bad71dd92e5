"""What a written page holds, read without the code that wrote it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

# What a browser fetches by itself: sources of scripts, images and frames, style sheets, fonts, imports.
FETCHED = re.compile(
    r"""<[^>]+\b(?:src|srcset|data)\s*=|<link\b[^>]*href=["'](?!data:)|@import|url\(\s*["']?(?!data:)"""
)


def unpacked(page: Path, name: str) -> Any:
    """Return the JSON value that a page holds under a name."""
    packed = re.search(f'<script type="text/plain" id="{name}">([^<]*)</script>', page.read_text("utf-8"))
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def fetched(page: Path) -> list[str]:
    """Return what in the page would make a browser fetch something, scripts aside."""
    text = re.sub(r"<script\b.*?</script>", "", page.read_text("utf-8"), flags=re.DOTALL)
    return FETCHED.findall(text)
