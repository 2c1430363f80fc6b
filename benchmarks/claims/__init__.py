"""The documents' claims, decided by measurement.

recipes/*.toml → gridless sweep → collect.py → results/claims/*.json → effects.py → verdicts.py → page.py → docs/claims.md
rules.toml says which runs decide which claim.
"""
