"""Libraries of scripts that a page carries in itself, so that it opens from a disk and asks nothing of a network."""

import re


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
    """Vega, Vega-Lite and vega-embed as one script that defines `vegaEmbed`."""
    from vl_convert import javascript_bundle

    return inline(javascript_bundle())
