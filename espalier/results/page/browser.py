"""Libraries of scripts that a page carries in itself, so that it opens from a disk and asks nothing of a network."""

import re
from contextlib import suppress
from pathlib import Path

from espalier.files import write_text

KEPT = Path(__file__).parent / "__pycache__"
"""Where a script that takes long to make is kept, as Python's byte-code is."""


def inline(script: str) -> str:
    """A script as it may stand between <script> tags: nothing in it opens or closes one.

    What is rewritten stands inside strings and regular expressions, which mean the same with \\x3c.
    """
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", script, flags=re.IGNORECASE)


def tables() -> str:
    """DataTables (datatables.net) as one ES module whose default export is the constructor."""
    from itables.utils import read_package_file

    return inline(read_package_file("html", "dt_bundle.js"))


def charts() -> str:
    """Vega, Vega-Lite and vega-embed as one script that defines `vegaEmbed`.

    Bundling it takes 1.8 CPU-seconds: it is kept between processes where there is a folder to write to.
    """
    import vl_convert

    kept = KEPT / f"charts-{vl_convert.__version__}.js"
    with suppress(OSError):
        return kept.read_text(encoding="utf-8")
    script = inline(vl_convert.javascript_bundle())
    with suppress(OSError):
        write_text(kept, script)
    return script
