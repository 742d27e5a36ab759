"""Write a study's runs.csv and tables from the runs that exist: write_tables.py OUT_DIR --plan plan.json"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="runs.csv goes here, tables to its tables/")
    parser.add_argument("--plan", type=Path, required=True, help="the study's plan.json")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.results.format import table
    from espalier.results.read import tidy
    from espalier.results.read.planned_study import read
    from espalier.results.requested import asked

    try:
        study = read(args.plan)
        frame = tidy.runs(study)
        tidy.write_runs(args.folder / "runs.csv", frame)
        (args.folder / "tables").mkdir(parents=True, exist_ok=True)
        for item in asked(study, "table"):
            table.write(args.folder / "tables", item.key, item.make(frame, study))
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
