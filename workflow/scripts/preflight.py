"""Check this site against a profile before any job, and say what to change: preflight.py [--profile profiles/slurm]

Submits nothing. Exit codes: 0 nothing is wrong, 1 something is, 2 the profile cannot be read.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", type=Path, default=Path("profiles/slurm"), help="folder of the profile")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that runs are written to")
    args = parser.parse_args()

    from espalier.errors import Mistake
    from espalier.site.preflight import checks, profile
    from espalier.site.preflight.finding import WRONG

    try:
        asked = profile.read(args.profile)
        found = checks.findings(asked, args.results)
    except Mistake as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(checks.told(asked, found))
    sys.exit(any(finding.level == WRONG for finding in found))


if __name__ == "__main__":
    main()
