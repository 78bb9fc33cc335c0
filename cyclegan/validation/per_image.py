"""Metrics of single images and their translations."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from cyclegan.images.tensors import to_rgb8
from cyclegan.methods.translator import Translator
from cyclegan.metrics.diagnostics import change, checkerboard, luminance_correlation
from cyclegan.metrics.paired import l1, psnr, ssim
from cyclegan.metrics.perceptual import Lpips
from cyclegan.validation.catalogue import Direction

INPUT_PATTERN = "checkerboard_input"
"""The checkerboard metric of real images. The summary subtracts it from that of translations."""

Columns = dict[str, Tensor]
"""Values (N,) of N images, by the metric's name without direction or domain; NaN where a metric does not apply."""

Forward = Callable[[], AbstractContextManager[object]]
"""Returns the context in which networks run, such as autocast."""


class PerImage:
    """Translates batches and computes the metrics of each image, in float32 on the translator's device.

    Args:
        translator: on its device, in eval mode.
        directions: the directions to measure.
        perceptual: the network of LPIPS between translation and input; None: LPIPS is not measured.
        forward: the context for the translator's networks.
    """

    def __init__(
        self, translator: Translator, directions: Sequence[Direction], perceptual: Lpips | None, forward: Forward
    ) -> None:
        self.translator = translator
        self.directions = directions
        self.perceptual = perceptual
        self.forward = forward
        parameter = next(translator.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        if perceptual:
            perceptual.to(self.device)

    def of_real(self, images: Tensor, domain: str) -> Columns:
        """Return the metrics of real images (N, C, H, W) of a domain, such as identity and d_real."""
        columns = {INPUT_PATTERN: checkerboard(images)} | self._score("d_real", images, domain)
        each = [
            change(self.translate(images, source, domain), images)
            for source, target in self.directions
            if target == domain and self.translator.channels[source] == images.shape[1]
        ]
        if each:
            columns["identity"] = torch.stack(each).mean(0)
        return columns

    def of_translation(self, images: Tensor, direction: Direction) -> tuple[Tensor, Columns]:
        """Return the translations (N, C, H, W) and their metrics, such as cycle and d_fake."""
        source, target = direction
        fakes = self.translate(images, source, target)
        columns = {"luminance": luminance_correlation(fakes, images), "checkerboard": checkerboard(fakes)}
        columns |= self._score("d_fake", fakes, target)
        if fakes.shape == images.shape:
            columns["change"] = change(fakes, images)
        if (target, source) in self.translator.directions:
            columns["cycle"] = change(self.translate(fakes, target, source), images)
        if self.perceptual:
            columns["lpips"] = self.perceptual.distances(to_rgb8(images), to_rgb8(fakes))
        return fakes, columns

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        """Return translations in float32, whatever precision the translator works in."""
        with self.forward():
            return self.translator.translate(images.to(self.dtype), source, target).float()

    def _score(self, name: str, images: Tensor, domain: str) -> Columns:
        if min(images.shape[-2:]) < self.translator.minimum_crop:  # uncropped images may be too small
            return {}
        with self.forward():
            score = self.translator.discriminator_score(images.to(self.dtype), domain)
        return {} if score is None else {name: score.float()}


def paired_metrics(images: Tensor, fakes: Tensor, truth: Tensor) -> Columns:
    """Return PSNR, SSIM and L1 of translations (N, C', H, W) against ground truth, and those of their inputs."""
    if fakes.device.type == "mps":  # has no float64
        images, fakes, truth = images.cpu(), fakes.cpu(), truth.cpu()
    columns = {"psnr": psnr(fakes, truth), "ssim": ssim(fakes, truth), "l1": l1(fakes, truth)}
    if images.shape == truth.shape:
        columns |= {"psnr_copied": psnr(images, truth), "ssim_copied": ssim(images, truth)}
    return columns
