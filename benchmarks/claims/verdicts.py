"""confirmed | refuted | no effect above ± x | depends | not decidable here, by rule; docs/claims.md states it."""

from collections.abc import Sequence

from benchmarks.claims.effects import Effect
from benchmarks.claims.rules import Claim
from gridless.scoring.results import number


def verdict(claim: Claim, effects: Sequence[Effect]) -> str:
    """What the effects of a claim say about it, with the page's adjusted p-values."""
    if not effects:
        return "not measured"
    signs = {effect.sign for effect in effects}
    if signs == {1}:
        return _confirmed(claim, effects)
    if signs == {-1}:
        return "refuted"
    if signs != {0}:
        established = sum(effect.sign != 0 for effect in effects)
        return f"depends: {established} of {len(effects)} established"
    return _open(claim, effects)


def _confirmed(claim: Claim, effects: Sequence[Effect]) -> str:
    if claim.equal is not None:
        return f"confirmed: no effect above ± {_amount(claim.equal, effects[0])}"
    ends = [effect.estimate.mean + (effect.estimate.half_width or 0.0) for effect in effects]
    small = claim.least is not None and max(ends) < claim.least
    return "confirmed in direction, refuted in size" if small else "confirmed"


def _open(claim: Claim, effects: Sequence[Effect]) -> str:
    """Nothing is established: either nothing above a size is there, or these runs cannot tell."""
    single = [effect for effect in effects if effect.estimate.half_width is None]
    if single:
        return "not decidable here: a single run has no spread"
    alone = min(effects, key=lambda effect: effect.p)
    if alone.p < 0.05:
        side = "for" if alone.supports else "against"
        return f"not decidable here: p {p_text(alone.p)} {side} it alone, {p_text(alone.adjusted)} among all"
    widest = max(effects, key=lambda effect: effect.estimate.half_width)
    shown = _amount(widest.estimate.half_width, widest)
    size = next((size for size in (claim.least, claim.relevant) if size is not None), None)
    if size is None or widest.estimate.half_width > size:  # equality, or against a number: no size says "no effect"
        return f"not decidable here: only ± {shown} could have shown"
    if max(effect.estimate.mean + effect.estimate.half_width for effect in effects) >= size:
        return f"not decidable here: {_amount(size, widest)} or more is still possible"
    return f"no effect above ± {shown} at this budget"


def p_text(p: float) -> str:
    """A p-value with the two digits that count."""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _amount(value: float, effect: Effect) -> str:
    return f"{number(value, 2)} {effect.contrast.unit}".rstrip()
