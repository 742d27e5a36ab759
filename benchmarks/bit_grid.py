"""Compares the CPU time of a bit grid in one process with that of one process a setting.

    python benchmarks/bit_grid.py [--scheme calibrated] [--images 497] [--side 32] [--sample 4]

The grid has the 6 by 6 settings of 32, 16, 12, 8, 6 and 4 bits, on a MobileNetV2 with random weights, calibrated on
256 random images and scored on --images others; values do not change the time. A process of one setting imports,
calibrates and scores as the grid does, and must give the same logits to the last bit. Of the 36 single processes
--sample are run, spread over the grid, and their median stands for all. Nothing alternates with them, so the table
gives their range.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time

import torch
from demo import ROOT
from turns import hardware, row, spread, versions

sys.path.insert(0, str(ROOT))

WIDTHS = (32, 16, 12, 8, 6, 4)


def rows(args: argparse.Namespace, weight_bits: list[int], activation_bits: list[int]) -> list[dict]:
    """The grid's rows, with a digest of all logits."""
    from espalier.models.mobilenetv2 import mobilenetv2
    from espalier.quantization import schemes
    from espalier.quantization.rows_of_widths import grid

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = mobilenetv2(10, args.side, width=args.width).eval()
    calibration = torch.randn(256, 3, args.side, args.side).split(64)
    images = torch.randn(args.images, 3, args.side, args.side).split(64)

    @torch.inference_mode()
    def score(model: torch.nn.Module) -> dict[str, str]:
        digest = hashlib.blake2b(digest_size=8)
        for batch in images:
            digest.update(model(batch).numpy().tobytes())
        return {"logits": digest.hexdigest()}

    return grid(model, weight_bits, activation_bits, getattr(schemes, args.scheme)(), calibration, score)


def alone(args: argparse.Namespace, weights: int, activations: int) -> tuple[float, str]:
    """CPU-seconds and digest of a process of one setting."""
    command = [sys.executable, __file__, "--only", str(weights), str(activations), "--scheme", args.scheme]
    command += ["--images", str(args.images), "--side", str(args.side), "--width", str(args.width)]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return done["cpu_s"], done["logits"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scheme", default="calibrated", choices=["calibrated", "naive"])
    parser.add_argument("--images", type=int, default=497, help="images that a setting is scored on")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--width", type=float, default=1.0, help="of the MobileNetV2")
    parser.add_argument("--sample", type=int, default=4, help="settings that are run alone")
    parser.add_argument("--only", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        (one,) = rows(args, args.only[:1], args.only[1:])
        print(json.dumps({"cpu_s": time.process_time(), "logits": one["logits"]}))
        return
    found = {(each["weight_bits"], each["activation_bits"]): each["logits"] for each in rows(args, WIDTHS, WIDTHS)}
    together = time.process_time()
    settings = list(found)[:: max(1, len(found) // args.sample)][: args.sample]
    singles = []
    for setting in settings:
        seconds, logits = alone(args, *setting)
        if logits != found[setting]:
            sys.exit(f"W{setting[0]}A{setting[1]} alone gives other logits than in the grid")
        singles.append(seconds)
    print(f"{hardware(torch.device('cpu'))}; {versions()}; one thread\n")
    row("", "CPU-seconds")
    row("---", "---:")
    row(f"{len(found)} settings, one process", f"{together:.1f}")
    row(f"one setting, one process ({len(singles)} run, same logits)", "{} ({})".format(*spread(singles, 1)))
    row("ratio to 36 processes", f"1 / {len(found) * statistics.median(singles) / together:.2f}")


if __name__ == "__main__":
    main()
