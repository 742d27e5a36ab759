"""The page with the counts of every network."""

from espalier.files import write_text
from espalier.results.format import style, table_files
from espalier.results.format.templates import page
from espalier.results.page import study_page
from espalier.results.read.zoo_counts import COUNTED, FOLDER
from espalier.results.study_outputs import StudyOutput

TABLES = [StudyOutput("table", name, name, {}) for name in ("networks", "compactness")]
FIGURES = [
    StudyOutput("figure", "scalability", "scalability", {"by": "image_size"}),
    StudyOutput("figure", "scalability_depth", "scalability", {"by": "depth"}),
    StudyOutput("figure", "activation_memory", "activation_memory", {}),
]


def write() -> None:
    """Write tables/, figures/ and index.html beside the counts."""
    for item in TABLES:
        table_files.write(FOLDER / "tables", item.key, item.make(None, {}))
    with style.applied():
        for item in FIGURES:
            style.save(item.make(None, None, {}), FOLDER / "figures", item.key)
    text = page(
        "zoo.html",
        column=int(1.5 * style.COLUMN * style.DPI),
        tables=[study_page._table(item, {}, None, FOLDER) for item in TABLES],
        figures=[study_page._figure(item, {}, FOLDER) for item in FIGURES],
        downloads=[f"{name}.csv" for name in COUNTED],
    )
    write_text(FOLDER / "index.html", text)
