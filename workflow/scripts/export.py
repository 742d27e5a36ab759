"""Export a network to ONNX: export.py RUN_FOLDER --parent RUN_FOLDER --data FILE.safetensors key=value …

Exit codes: 0 done, 2 a mistake told in one line.
"""

import time
from pathlib import Path

from espalier.site.process import importing, run, settings
from espalier.stages.frame import arguments, in_one_go

STARTED = time.monotonic()


def main() -> None:
    parser = arguments(__doc__, "exported")
    parser.add_argument("--before", type=Path, nargs="*", default=[], help="folders of the runs that it came from")
    args = parser.parse_intermixed_args()
    spec = settings("export", args.settings)
    with in_one_go(args.folder) as heartbeat:
        with importing():
            from espalier.stages.export import export

        before = args.before[-1] if args.before else None
        export(args.folder, spec, args.parent, args.data, before=before, heartbeat=heartbeat, started=STARTED)


if __name__ == "__main__":
    run(main)
