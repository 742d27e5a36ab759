"""What is taken out of a network: weights, set to zero, and channels, removed; nothing here trains or writes files."""
