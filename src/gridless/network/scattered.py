"""Which reader answers scattered readings."""

from gridless import config as c
from gridless.domain import Domain
from gridless.network.moments import MomentReader
from gridless.network.parts import Network, Reader
from gridless.network.posterior import FlowReader
from gridless.network.questions import units_seen
from gridless.network.readers import PointReader
from gridless.protocols import Solved
from gridless.samples import Samples


def point_reader(network: Network, samples: Samples, solved: Solved | None, domain: Domain | None) -> Reader:
    """`solved`: the base of the samples, for a network that knows it; `domain`: of training."""
    config, points = network.config, samples.as_points()
    if isinstance(config.head, c.FlowHead):
        return FlowReader.of(network, points, config.head.samples, 0)
    units = units_seen(config.signal, points)
    if config.film is not None:
        return MomentReader.of(network, config.film, samples, points.compacted(), units, domain)
    return PointReader(network, network.read(network.latent(points, solved)), network.frame(points), units)
