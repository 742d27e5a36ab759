"""From a data set to augmented batches: one prepared file, held whole as uint8, no workers and no per-image code."""
