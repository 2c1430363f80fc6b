"""The verbs of the command line, over recipes and run folders."""
