"""What is made from code and data for editors and readers: JSON schemas, pages of keys, tables inside pages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espalier.plan.config import Config
from espalier.plan.study import Study
from espalier.reference import keys
from espalier.results.read import published_counts
from espalier.settings.registry import entries


def schemas() -> dict[str, dict[str, Any]]:
    """File name → JSON schema of study files and of config/config.yaml."""
    study = Study.model_json_schema()
    config = Config.model_json_schema()
    # Every key of a study may stand in the configuration as an override, there with nothing required.
    config["properties"] |= dict.fromkeys(Study.model_fields, True)
    config["patternProperties"] = {rf"^({'|'.join(Study.model_fields)})\.": True}
    return {"study.schema.json": study, "config.schema.json": config}


def renewed(page: str, what: str, tables: str) -> str:
    """A Markdown page with `tables` between the marks of `what`."""
    start, end = f"<!-- {what}: made by workflow/scripts/document.py -->\n", f"<!-- end of {what} -->\n"
    before, _, rest = page.partition(start)
    after = rest.partition(end)[2]
    return f"{before}{start}\n{tables}{end}{after}"


def made(root: Path) -> Iterator[tuple[Path, str]]:
    """Every made file with its text: the schemas, the pages of keys and their index, and the page of the zoo."""
    for name, schema in schemas().items():
        yield root / "workflow/schemas" / name, json.dumps(schema, indent=1) + "\n"
    readme, zoo = root / "config/README.md", root / "docs/zoo.md"
    yield readme, renewed(readme.read_text(), "keys", keys.index())
    for name, page in keys.pages().items():
        yield root / keys.FOLDER / name, page
    counts = published_counts.document(published_counts.read(root / published_counts.FILE))
    yield zoo, renewed(renewed(zoo.read_text(), "novelty", _novelty()), "counts", counts)


def _novelty() -> str:
    """What makes families small (fact `novelty`), and which of them share it; those of the most families first."""
    sharing: dict[str, list[str]] = {}
    for name, entry in entries("model").items():
        for attribute in entry.facts.get("novelty", ()):
            sharing.setdefault(attribute, []).append(f"`{name}`")
    rows = sorted(sharing.items(), key=lambda row: -len(row[1]))
    lines = [f"| {attribute} | {len(names)} | {', '.join(names)} |\n" for attribute, names in rows]
    return "".join(["| what makes it small | families | which |\n|---|--:|---|\n", *lines, "\n"])
