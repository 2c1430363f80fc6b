"""Building blocks without opinions about images: encodings, attention, the state space layer, convolutions."""
