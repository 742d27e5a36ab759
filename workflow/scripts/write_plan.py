"""Write a study's plan.json: write_plan.py OUTPUT STUDY.yaml [--overrides JSON]."""

import argparse
import json
import sys
from pathlib import Path

from espalier.files import write_text
from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.settings.problems import StudyError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("study", type=Path)
    parser.add_argument("--overrides", type=json.loads, default={}, help="study keys and values, as JSON")
    args = parser.parse_args()
    try:
        plan = build([str(args.study)], args.study.parent, args.overrides)
    except StudyError as error:
        sys.exit(str(error))
    (planned,) = plan.studies.values()
    write_text(args.output, json.dumps(manifest(planned), indent=1))


if __name__ == "__main__":
    main()
