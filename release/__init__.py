"""What must hold before a version goes out: `python -m release.check`."""
