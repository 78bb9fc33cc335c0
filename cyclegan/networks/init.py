"""Weight initialisation of a network, in place; see `fill`."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from cyclegan.networks.spectral import trained_weight


def normal(network: nn.Module, std: float = 0.02) -> None:
    """N(0, std); 0.02 as in CycleGAN (arXiv:1703.10593, section 7.1) and DCGAN (arXiv:1511.06434, section 4)."""
    fill(network, partial(nn.init.normal_, mean=0.0, std=std))


def truncated(network: nn.Module, std: float = 0.02) -> None:
    """As `normal`, but convolutions' weights beyond two standard deviations are drawn again, as in DualGAN's code."""
    normal(network, std)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.trunc_normal_(trained_weight(module), std=std, a=-2 * std, b=2 * std)


def xavier(network: nn.Module, gain: float = 0.02) -> None:
    """Normal, of variance gain² · 2 / (fan_in + fan_out) (Glorot & Bengio 2010); 0.02 as in the authors' code."""
    fill(network, partial(nn.init.xavier_normal_, gain=gain))


def kaiming(network: nn.Module) -> None:
    """Normal, of variance 2 / fan_in (He et al. 2015, arXiv:1502.01852)."""
    fill(network, nn.init.kaiming_normal_)


def orthogonal(network: nn.Module, gain: float = 0.02) -> None:
    """Orthogonal filters scaled by gain (Saxe et al. 2014, arXiv:1312.6120); 0.02 as in the authors' code."""
    fill(network, partial(nn.init.orthogonal_, gain=gain))


def as_built(network: nn.Module) -> None:
    """PyTorch's own initial weights: uniform, of variance 1 / (3 · fan_in); batch norm starts at 1."""


def fill(network: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    """Draw the weights of all (transposed) convolutions and linear layers with `draw`, and set their biases to 0.

    Batch norm gets weights N(1, 0.02) and biases 0, as in DCGAN's code.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            draw(trained_weight(module))
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1.0, std=0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
