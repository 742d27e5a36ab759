"""Make what a study shows, from the runs that exist: write_page.py FOLDER --plan plan.json"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where runs.csv, tables, figures and the pages go")
    parser.add_argument("--plan", type=Path, required=True, help="the study's plan.json")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.results.study_folder import make

    try:
        _, failures = make(args.folder, args.plan)
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None
    if failures:
        traces = [each.trace for each in failures if each.trace]
        raise SystemExit("\n".join([*traces, *(f"error: {args.folder}/{each.message()}" for each in failures)]))


if __name__ == "__main__":
    main()
