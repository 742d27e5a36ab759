"""Tell which runs are done, running, failed, lost or waiting: status.py --plan plan.json [plan.json ...]"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=Path, nargs="+", required=True, help="plan.json of one or more studies")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.results import status
    from espalier.results.study import read

    try:
        print("\n\n".join(status.told(read(plan)) for plan in args.plan))
    except Mistake as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
