"""Training: one loop, run folders, provenance."""
