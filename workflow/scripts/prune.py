"""Prune a trained network and fine-tune it: prune.py RUN_FOLDER --parent RUN_FOLDER --data FILE.safetensors key=value …

Exit codes: 0 done, 2 a mistake told in one line, 75 stopped with its state saved (run the same command again).
"""

import time

from espalier.site.process import importing, run, settings
from espalier.stages.frame import arguments, at_work, resumable, share

STARTED = time.monotonic()


def main() -> None:
    args = resumable(arguments(__doc__, "pruned")).parse_intermixed_args()
    spec = settings("prune", args.settings)
    share(args.folder, spec.fine_tune)
    with at_work(args, STARTED) as work:
        with importing():
            from espalier.stages.prune import prune

        prune(spec, args.parent, args.data, work)


if __name__ == "__main__":
    run(main)
