"""Search: which points a study tries, which of them go on, and what is chosen among them."""
