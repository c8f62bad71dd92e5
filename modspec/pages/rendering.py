"""Self-contained HTML pages from the templates beside this module: no page asks the network for anything."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from modspec.output.files import write_whole

TEMPLATES = Environment(
    loader=PackageLoader("modspec.pages", "templates"), autoescape=True, undefined=StrictUndefined
)


def rendered(template: str, **values: Any) -> str:
    """Return a template of ``templates/`` with these values."""
    return TEMPLATES.get_template(template).render(**values)


def write_page(page: Path, text: str) -> Path:
    """Write a page, whole or not at all, into a folder that is made for it; return its file."""
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, text)
    return page


def compressed(value: Any) -> str:
    """Return a JSON value, or a text as it is, compressed with gzip, in base64; every browser unpacks it.

    The same value always gives the same text.
    """
    compact = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    text = value if isinstance(value, str) else json.dumps(value, **compact)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
