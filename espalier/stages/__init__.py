"""What makes a run: one stage a file, and the frame that all share."""
