"""Mamba over a sequence that goes on: pieces give the numbers of the whole, whatever the pieces are."""

import pytest
import torch

from gridless import config
from gridless.nn.mamba import BiMamba, MambaBlock
from gridless.nn.scan import carried_scan, selective_scan_reference

CUTS = [(37,), (1, 36), (36, 1), (5, 3, 1, 28), (1,) * 37, (17, 20)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
DTYPES = list(TOLERANCE)


def layer(width=12, **ssm) -> BiMamba:
    torch.manual_seed(0)
    return BiMamba(width, config.Ssm(**{"state": 4, "direction": "forward"} | ssm))


def numbers(*shape, dtype=torch.float32, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def in_pieces(mixer, x, cuts, mask=None, ways=None):
    state, outputs = mixer.start(len(x)), []
    for some in torch.arange(x.shape[1]).split(list(cuts)):
        piece = [None if part is None else part[:, some] for part in (mask, ways)]
        y, state = mixer.carried(x[:, some], state, *piece)
        outputs.append(y)
    return torch.cat(outputs, 1), state


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_pieces_are_the_whole(cuts, dtype):
    mixer, x = layer().to(dtype), numbers(2, 37, 12, dtype=dtype)
    y, _ = in_pieces(mixer, x, cuts)
    torch.testing.assert_close(y, mixer(x), atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize("conv", [1, 2, 4])
def test_any_number_of_taps_and_steps_as_long_as_the_way(conv):
    mixer, x, ways = layer(conv=conv).double(), numbers(2, 37, 12, dtype=torch.float64), torch.rand(2, 37).double()
    y, _ = in_pieces(mixer, x, (3, 1, 33), ways=ways)
    torch.testing.assert_close(y, mixer(x, None, ways), atol=1e-10, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_padding_between_pieces_is_inert(dtype):
    mixer, x = layer().to(dtype), numbers(2, 20, 12, dtype=dtype)
    state = mixer.start(2)
    mask = torch.tensor([[True] * 4 + [False] * 3, [True] * 7])
    _, state = mixer.carried(x[:, :7], state, mask)
    y, _ = mixer.carried(x[:, 7:], state)
    tail = {0: torch.cat([x[:1, :4], x[:1, 7:]], 1), 1: x[1:]}
    for row, whole in tail.items():
        torch.testing.assert_close(y[row], mixer(whole)[0, -13:], atol=TOLERANCE[dtype], rtol=0)


def test_a_piece_that_is_all_padding_changes_no_state():
    mixer, x = layer(), numbers(1, 9, 12)
    _, state = mixer.carried(x, mixer.start(1))
    _, same = mixer.carried(x, state, torch.zeros(1, 9, dtype=torch.bool))
    assert torch.equal(same.inputs, state.inputs) and torch.equal(same.h, state.h)


def test_a_long_sequence_of_large_steps_stays_exact():
    """Differences of running sums over the whole length would lose the digits."""
    g = torch.Generator().manual_seed(0)
    x, dt = torch.randn(1, 3000, 4, generator=g), 2 * torch.rand(1, 3000, 4, generator=g)
    B, C = torch.randn(2, 1, 3000, 3, generator=g)
    A = -torch.tensor([[0.001, 1.0, 8.0]]).expand(4, 3)
    y, _ = carried_scan(torch.zeros(1, 4, 3), x, dt, A, B, C)
    want = selective_scan_reference(*(part.double() for part in (x, dt, A, B, C)))
    torch.testing.assert_close(y.double(), want, atol=2e-6 * float(want.abs().max()), rtol=0)


def test_gradients_pass_from_piece_to_piece():
    mixer, x = layer(width=3).double(), numbers(1, 6, 3, dtype=torch.float64)
    whole, pieces = mixer(x), in_pieces(mixer, x, (2, 4))[0]
    want, got = (torch.autograd.grad(y.square().sum(), [*mixer.parameters()]) for y in (whole, pieces))
    torch.testing.assert_close(got, want)


def test_a_block_carries_its_layer():
    torch.manual_seed(0)
    block = MambaBlock(12, config.Ssm(state=4, direction="forward"), 2.0)
    x = numbers(2, 9, 12)
    state = block.mixer.start(2)
    first, _, state = block.carried(x[:, :4], state)
    second, last, _ = block.carried(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), block(x)[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(last, block(x)[1][:, 4:], atol=1e-5, rtol=0)


def test_a_layer_that_reads_backwards_too_is_refused():
    both = layer(direction="both")
    with pytest.raises(ValueError, match="set 'forward'"):
        both.carried(numbers(1, 3, 12), both.start(1))


def test_all_of_a_float64_layer_is_float64():
    """dt was rounded to single precision on its way."""
    mixer, x = layer().double(), numbers(1, 9, 12, dtype=torch.float64)
    step = 1e-9
    slope = torch.autograd.functional.jvp(mixer, x, torch.ones_like(x))[1]
    with torch.no_grad():
        torch.testing.assert_close((mixer(x + step) - mixer(x)) / step, slope, atol=1e-5, rtol=1e-3)
