"""Score a chain on the test split, once: evaluate.py RUN_FOLDER --parent RUN_FOLDER --data FILE.safetensors"""

import time
from pathlib import Path

from espalier.site.process import importing, run, settings
from espalier.stages.frame import arguments, in_one_go

STARTED = time.monotonic()


def main() -> None:
    parser = arguments(__doc__, "scored")
    parser.add_argument("--before", type=Path, nargs="*", default=[], help="folders of the runs that it came from")
    parser.add_argument("--branches", type=Path, nargs="*", default=[], help="folders of runs beside it")
    args = parser.parse_intermixed_args()
    spec = settings("evaluate", args.settings)
    with in_one_go(args.folder):
        with importing():
            from espalier.stages.evaluate import evaluate

        evaluate(args.folder, spec, args.parent, args.data, before=args.before, branches=args.branches, started=STARTED)


if __name__ == "__main__":
    run(main)
