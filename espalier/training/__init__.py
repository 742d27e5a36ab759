"""Training: optimizers, schedules, the loop, and the state that survives an interruption."""
