"""A run's folder while it is made: log, heartbeat, checkpoint, time, and the record at its end."""
