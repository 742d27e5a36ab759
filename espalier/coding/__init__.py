"""Coded models: levels and other parameters in one small `.esp` file, and back, bit for bit."""
