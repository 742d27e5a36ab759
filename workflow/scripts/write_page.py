"""Write a study's page from the runs that exist: write_page.py OUT_DIR/index.html --plan plan.json"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="the page; figures/, tables/ and runs.csv beside it are linked")
    parser.add_argument("--plan", type=Path, required=True, help="the study's plan.json")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.results.page import study_page
    from espalier.results.read import tidy
    from espalier.results.read.planned_study import read

    try:
        study = read(args.plan)
        states = tidy.states(study)
        study_page.write(args.output, args.plan, study, tidy.runs(study, known=states), states)
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
