"""Quantize a trained network at a grid of widths: quantize.py RUN_FOLDER --parent RUN_FOLDER --data FILE key=value …

Exit codes: 0 done, 2 a mistake told in one line, 75 stopped with its state saved (run the same command again).
"""

import time

from espalier.site.process import importing, run, settings
from espalier.stages.frame import arguments, at_work, resumable

STARTED = time.monotonic()


def main() -> None:
    args = resumable(arguments(__doc__, "quantized")).parse_intermixed_args()
    spec = settings("quantize", args.settings)
    with at_work(args, STARTED) as work:
        with importing():
            from espalier.stages.quantize import quantize

        quantize(spec, args.parent, args.data, work)


if __name__ == "__main__":
    run(main)
