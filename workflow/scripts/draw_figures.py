"""Draw a study's figures from the runs that exist: draw_figures.py OUT_DIR --plan plan.json [--only KEY]"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="figures go to its figures/")
    parser.add_argument("--plan", type=Path, required=True, help="the study's plan.json")
    parser.add_argument("--only", metavar="KEY", action="append", help="draw this figure alone; may be repeated")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.results import requested
    from espalier.results.read import tidy
    from espalier.results.read.planned_study import read
    from espalier.results.requested import asked

    try:
        study = read(args.plan)
        figures = asked(study, "figure")
        if unknown := set(args.only or ()) - {item.key for item in figures}:
            raise Mistake(f"--only: no figure {', '.join(sorted(unknown))}; there are {[item.key for item in figures]}")
        wanted = [item for item in figures if not args.only or item.key in args.only]
        (args.folder / "figures").mkdir(parents=True, exist_ok=True)
        requested.draw(wanted, args.folder / "figures", tidy.runs(study), tidy.history(study), study)
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
