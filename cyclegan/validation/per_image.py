"""Metrics of single images and their translations."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from cyclegan.images.tensors import to_rgb8
from cyclegan.methods.translator import Translator
from cyclegan.metrics.diagnostics import change, checkerboard, luminance_correlation
from cyclegan.metrics.paired import l1, psnr, ssim
from cyclegan.metrics.perceptual import Lpips

Direction = tuple[str, str]

OF_REAL = "pattern"
"""The checkerboard metric of real images: that of their translations is told beyond it."""

Columns = dict[str, Tensor]
"""Values (N,) of N images, by the metric's name without direction or domain."""

Forward = Callable[[], AbstractContextManager[object]]
"""Makes the context in which networks run: mixed precision."""


class Examiner:
    """Looks at images and translates them. Images and translations are float32 on the translator's device.

    Args:
        translator: on its device, in eval mode.
        perceptual: measures how far a translation is from its input; None: that is not measured.
        forward: the context for the translator's networks.
        directions: those that are looked at; None: all that the translator learns.
    """

    def __init__(
        self,
        translator: Translator,
        perceptual: Lpips | None = None,
        forward: Forward = nullcontext,
        directions: Sequence[Direction] | None = None,
    ) -> None:
        self.translator = translator
        self.directions = translator.directions if directions is None else tuple(directions)
        self.perceptual = perceptual
        self.forward = forward
        parameter = next(translator.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        if perceptual:
            perceptual.to(self.device)

    def of_real(self, images: Tensor, domain: str) -> Columns:
        """Metrics of real images (N, C, H, W) of a domain: identity, pattern, realness_real."""
        columns = {OF_REAL: checkerboard(images)} | self._realness("realness_real", images, domain)
        # What a generator into this domain makes of an image that is there already.
        sources = [source for source, target in self.directions if target == domain]
        alike = [source for source in sources if self.translator.channels[source] == images.shape[1]]
        if alike:
            each = [change(self.translate(images, source, domain), images) for source in alike]
            columns["identity"] = torch.stack(each).mean(0)
        return columns

    def of_translation(self, images: Tensor, direction: Direction) -> tuple[Tensor, Columns]:
        """The translations (N, C, H, W), and: change, luminance, checkerboard, realness_fake, cycle, lpips."""
        source, target = direction
        fakes = self.translate(images, source, target)
        columns = {"luminance": luminance_correlation(fakes, images), "checkerboard": checkerboard(fakes)}
        columns |= self._realness("realness_fake", fakes, target)
        if fakes.shape == images.shape:
            columns["change"] = change(fakes, images)
        if (target, source) in self.translator.directions:
            columns["cycle"] = change(self.translate(fakes, target, source), images)
        if self.perceptual:
            columns["lpips"] = self.perceptual.distances(to_rgb8(images), to_rgb8(fakes))
        return fakes, columns

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        """The translator's images, whatever precision it works in."""
        with self.forward():
            return self.translator.translate(images.to(self.dtype), source, target).float()

    def _realness(self, name: str, images: Tensor, domain: str) -> Columns:
        if min(images.shape[-2:]) < self.translator.minimum_crop:  # whole images may be too small for the judge
            return {}
        with self.forward():
            realness = self.translator.realness(images.to(self.dtype), domain)
        return {} if realness is None else {name: realness.float()}


def of_answers(images: Tensor, fakes: Tensor, answers: Tensor) -> Columns:
    """How near translations come to their answers, and how near the untouched images were.

    Args:
        images: (N, C, H, W) in [-1, 1], what was translated.
        fakes: (N, C', H, W), the translations.
        answers: (N, C', H, W).
    """
    if fakes.device.type == "mps":  # has no float64
        images, fakes, answers = images.cpu(), fakes.cpu(), answers.cpu()
    columns = {"psnr": psnr(fakes, answers), "ssim": ssim(fakes, answers), "l1": l1(fakes, answers)}
    if images.shape == answers.shape:
        columns |= {"psnr_copied": psnr(images, answers), "ssim_copied": ssim(images, answers)}
    return columns
