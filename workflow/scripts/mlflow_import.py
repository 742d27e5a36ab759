"""Bring finished runs into an MLflow store: mlflow_import.py STORE.db --plan plan.json [plan.json ...]"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="made where it does not exist; links to the runs stand beside it")
    parser.add_argument("--plan", type=Path, nargs="+", required=True, help="plan.json of one or more studies")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.results.mlflow.store import imported
    from espalier.results.read.planned_study import read

    try:
        counts = imported(args.store, [read(plan) for plan in args.plan])
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None
    print(
        ", ".join(f"{count} {name}" for name, count in counts.items())
        + f": mlflow ui --backend-store-uri sqlite:///{args.store}"
    )


if __name__ == "__main__":
    main()
