"""Tokens in, latents and contextual tokens out."""
