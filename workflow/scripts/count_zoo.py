"""Count every network of the registry, without training any, and show the counts: count_zoo.py count|show"""

import argparse
import csv
import io

from espalier.files import write_text
from espalier.results.page.zoo_page import FOLDER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("count", "show"), help="write the counts, or their tables, figures and page")
    args = parser.parse_args()
    {"count": count, "show": show}[args.part]()


def count() -> None:
    """Write networks.csv, depth.csv and standards.csv."""
    from espalier.networks import registry_counts

    for name, rows in (
        ("networks", registry_counts.networks()),
        ("depth", registry_counts.depths()),
        ("standards", registry_counts.standards()),
    ):
        write_text(FOLDER / f"{name}.csv", _csv(list(rows)))


def _csv(rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def show() -> None:
    """Write tables/, figures/ and index.html."""
    from espalier.errors import Mistake
    from espalier.results.page import zoo_page

    try:
        zoo_page.write()
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
