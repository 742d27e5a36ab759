"""Add the pages of studies to the report that Snakemake has written: bundle.py ARCHIVE PAGE…"""

import sys
from pathlib import Path

from espalier.results.page.bundle import add

archive, *pages = map(Path, sys.argv[1:])
add(archive, [page for page in pages if page.name == "index.html"])
