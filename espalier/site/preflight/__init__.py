"""The site against the profile, before any job: what would fail, wait for ever or go wrong, and how to mend it."""
