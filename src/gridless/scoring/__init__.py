"""How good is an answer: metrics, rows, tables."""
