"""Tell which runs are done, running, failed, lost or waiting: status.py [--plan plan.json [plan.json ...]]

Reads the files that the runs write, asks no scheduler and no server; a minute's watch is `watch -n 60 python
workflow/scripts/status.py`.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path, nargs="+", help="plan.json of one or more studies; all of results/")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.results.page import status
    from espalier.results.read.planned_study import read

    try:
        plans = args.plan or sorted(Path("results/studies").glob("*/plan.json"))
        if not plans:
            raise Mistake("results/studies: holds no plan.json; `snakemake status` writes it")
        print("\n\n".join(status.told(read(plan)) for plan in plans))
    except Mistake as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
