"""Spectral normalisation of a network's convolutions."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized


def normalise_convolutions(network: nn.Module) -> None:
    """Divide the weight of every convolution by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).

    The value is estimated by one power iteration at each forward pass in training mode, and kept in eval mode. The
    optimiser trains the weights before the division; they are called `parametrizations.weight.original`.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            spectral_norm(module)


def trained_weight(module: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> Tensor:
    """Return the parameter from which a layer's weight is computed, or which it is."""
    if is_parametrized(module, "weight"):
        weight = module.parametrizations["weight"].original  # type: ignore[index, union-attr]
        assert isinstance(weight, Tensor)
        return weight
    return module.weight
