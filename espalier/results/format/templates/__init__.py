"""Jinja2 templates of pages and tables. HTML is escaped here; text for LaTeX and Markdown arrives escaped.

A page runs its own scripts and no other, asks nothing of a network, and says so in a content security policy.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment, Template


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> "Template":
    """The template in the file `name` of this folder."""
    return _environment().get_template(name)


def page(name: str, **values: object) -> str:
    """The page of a template, with its policy."""
    return secured(template(name).render(**values))


def secured(page: str) -> str:
    """A page that names the scripts in it as the only ones that a browser may run; handlers in its text never run."""
    scripts = re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", page, flags=re.DOTALL)
    # A browser hashes what it has read, where every end of a line is one sign.
    digests = [hashlib.sha256(script.replace("\r\n", "\n").replace("\r", "\n").encode()).digest() for script in scripts]
    own = " ".join(("blob:", *(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)))
    policy = (
        f"default-src 'none'; script-src {own}; style-src 'unsafe-inline'; "
        "img-src 'self' file: data:; font-src data:; base-uri 'none'; form-action 'none'"
    )
    return page.replace(_HEAD, f'{_HEAD}\n<meta http-equiv="Content-Security-Policy" content="{policy}">', 1)


_HEAD = '<meta charset="utf-8">'
