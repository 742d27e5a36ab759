"""Where runs run: device, processes, SLURM, pilot, preflight, preloaded runs."""
