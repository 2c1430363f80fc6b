"""confirmed | refuted | no effect above ± x | depends | not decidable here, by rule; docs/claims.md states it."""

from collections.abc import Sequence

from benchmarks.claims.effects import Effect
from benchmarks.claims.rules import Claim
from gridless.scoring.results import number


def verdict(claim: Claim, effects: Sequence[Effect]) -> str:
    """What the effects of a claim say about it, with the page's adjusted p-values."""
    if not effects:
        return "not decidable here: no two runs of one commit"
    signs = {effect.sign for effect in effects}
    if signs == {1}:
        return _confirmed(claim, effects)
    if signs == {-1}:
        return "refuted"
    if 1 in signs or (signs == {0, -1} and not _nowhere(claim, effects)):
        return _depends(effects)
    return _open(claim, effects)


def _confirmed(claim: Claim, effects: Sequence[Effect]) -> str:
    if claim.equal is not None:
        return f"confirmed: no effect above ± {_amount(claim.equal, effects[0])}"
    small = claim.least is not None and all(effect.excludes for effect in effects)
    return "confirmed in direction, refuted in size" if small else "confirmed"


def _depends(effects: Sequence[Effect]) -> str:
    """On what: the contrasts that are established, by their sides, and the others."""
    sides = (("for it", 1), ("against it", -1), ("open", 0))
    told = [(word, [_pair(effect) for effect in effects if effect.sign == sign]) for word, sign in sides]
    return "depends: " + "; ".join(f"{word}: {', '.join(pairs)}" for word, pairs in told if pairs)


def _pair(effect: Effect) -> str:
    metric = "" if effect.contrast.metric == "psnr" else f" ({effect.contrast.metric.replace('_', ' ')})"
    return f"{effect.contrast.arm} against {effect.contrast.against}{metric}"


def _nowhere(claim: Claim, effects: Sequence[Effect]) -> bool:
    """No contrast reaches the smallest predicted effect, and the page establishes that."""
    return claim.least is not None and all(effect.excludes for effect in effects)


def _open(claim: Claim, effects: Sequence[Effect]) -> str:
    """Nothing speaks for the claim: no effect above a size is there, the predicted one is excluded, or these runs cannot
    tell."""
    single = [effect for effect in effects if effect.estimate.half_width is None]
    if single:
        return "not decidable here: a single run has no spread"
    widest = max(effects, key=lambda effect: effect.estimate.half_width)
    shown = _amount(widest.estimate.half_width, widest)
    alone = min(effects, key=lambda effect: effect.p)
    size = next((size for size in (claim.least, claim.relevant) if size is not None), None)
    narrow = size is not None and widest.estimate.half_width <= size
    reached = size is not None and max(e.estimate.mean + e.estimate.half_width for e in effects) >= size
    excluded = claim.least is None or _nowhere(claim, effects)
    if narrow and not reached and alone.p >= 0.05 and excluded:
        return f"no effect above ± {shown} at this budget"
    if claim.least is not None and excluded:
        return f"refuted: less than {_amount(claim.least, widest)} in every contrast"
    if alone.p < 0.05:
        side = "for" if alone.supports else "against"
        return f"not decidable here: p {p_text(alone.p)} {side} it alone, {p_text(alone.adjusted)} among all"
    if not narrow:  # also equality, or against a number: no size says "no effect"
        return f"not decidable here: only ± {shown} could have shown"
    still = "still possible" if reached else "excluded by every interval, not among all"
    return f"not decidable here: {_amount(size, widest)} or more is {still}"


def p_text(p: float) -> str:
    """A p-value with the two digits that count."""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _amount(value: float, effect: Effect) -> str:
    return f"{number(value, 2)} {effect.contrast.unit}".rstrip()
