"""The network's parts: tokens in, features at coordinates out."""
