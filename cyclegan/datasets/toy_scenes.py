"""Drawing of the toy set's images: a landscape with one or two animals, plain brown or striped.

Coordinates are fractions of the image, x to the right and y downwards; colours are RGB in [0, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[np.float64]
Point = tuple[float, float]

VERSION = 1  # increase it when the images change: a set of another version on disk is refused

SUPERSAMPLING = 4
# A period of 4 pixels at 64×64, the stride of the ResNet generator, so that convolutions can represent the phase.
STRIPES = 16

BROWN = np.array([0.52, 0.30, 0.14])
WHITE = np.array([0.95, 0.94, 0.90])
BLACK = np.array([0.09, 0.08, 0.10])
DARK = np.array([0.15, 0.10, 0.09])  # mane, tail, hooves, muzzle and eye, in both domains

SKIES = [  # colours at the zenith and at the horizon
    ((0.30, 0.55, 0.85), (0.75, 0.88, 0.96)),
    ((0.45, 0.68, 0.90), (0.93, 0.93, 0.86)),
    ((0.38, 0.42, 0.70), (0.97, 0.75, 0.60)),
    ((0.55, 0.63, 0.72), (0.82, 0.85, 0.87)),
    ((0.22, 0.44, 0.68), (0.98, 0.86, 0.62)),
]
GROUNDS = [  # far and near colours
    ((0.56, 0.68, 0.36), (0.28, 0.47, 0.17)),
    ((0.72, 0.72, 0.42), (0.47, 0.54, 0.22)),
    ((0.88, 0.79, 0.52), (0.71, 0.60, 0.31)),
    ((0.48, 0.62, 0.46), (0.21, 0.38, 0.27)),
    ((0.84, 0.70, 0.52), (0.63, 0.49, 0.34)),
]


def draw_scene(rng: np.random.Generator, size: int, striped: bool) -> Image.Image:
    """Draw a random scene as an RGB image of size × size pixels.

    The same state of `rng` gives the same scene, whether its animals are striped or not.
    """
    horizon = rng.uniform(0.34, 0.50)
    image = _landscape(rng, size, horizon)
    coat = _stripes(size) if striped else BROWN
    for animal in _herd(rng, horizon):
        image = _paint(image, animal, coat)
    return Image.fromarray(np.rint(image.clip(0, 1) * 255).astype(np.uint8))


def _stripes(size: int) -> Array:
    """Return vertical stripes over the whole image, (1, size, 3).

    Their phase is fixed in image coordinates and symmetric under a horizontal flip, so each scene has exactly one
    correct striped version, and flips of the training images do not change it.
    """
    fine = (np.arange(size * SUPERSAMPLING) + 0.5) / (size * SUPERSAMPLING)
    black = np.cos(2 * np.pi * STRIPES * (fine - 0.5)) > 0
    share = black.reshape(size, SUPERSAMPLING).mean(1)[None, :, None]
    stripes: Array = WHITE + share * (BLACK - WHITE)
    return stripes


class _Mask:
    """Anti-aliased shapes, drawn at a multiple of the resolution.

    Args:
        size: height and width of the image in pixels.
        at: maps the coordinates of `ellipse` and `limb` to image coordinates.
        unit: length that their radii are fractions of.
    """

    def __init__(self, size: int, at: Callable[[Point], Point] = lambda point: point, unit: float = 1.0) -> None:
        self.scale, self.at, self.unit = size * SUPERSAMPLING, at, unit
        self.image = Image.new("L", (self.scale, self.scale))
        self.pen = ImageDraw.Draw(self.image)

    def polygon(self, *points: Point) -> None:
        self.pen.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=255)

    def ellipse(self, centre: Point, rx: float, ry: float) -> None:
        (x, y), rx, ry, s = self.at(centre), rx * self.unit, ry * self.unit, self.scale
        self.pen.ellipse([(x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s], fill=255)

    def limb(self, start: Point, end: Point, start_radius: float, end_radius: float) -> None:
        """Draw a tapered bar with round ends."""
        (x0, y0), (x1, y1) = self.at(start), self.at(end)
        length = max(float(np.hypot(x1 - x0, y1 - y0)), 1e-6)
        nx, ny = (y0 - y1) / length, (x1 - x0) / length
        r0, r1 = start_radius * self.unit, end_radius * self.unit
        self.polygon(
            (x0 + nx * r0, y0 + ny * r0),
            (x1 + nx * r1, y1 + ny * r1),
            (x1 - nx * r1, y1 - ny * r1),
            (x0 - nx * r0, y0 - ny * r0),
        )
        self.ellipse(start, start_radius, start_radius)
        self.ellipse(end, end_radius, end_radius)

    def cover(self) -> Array:
        """Return the coverage of each pixel, (size, size, 1) in [0, 1]."""
        return np.asarray(self.image.reduce(SUPERSAMPLING), dtype=np.float64)[..., None] / 255


def _mix(below: Array, above: Array, cover: Array) -> Array:
    return below + cover * (above - below)


# Landscape


def _landscape(rng: np.random.Generator, size: int, horizon: float) -> Array:
    """Draw sky with clouds, a range of hills, and ground: (size, size, 3)."""
    zenith, haze = np.array(SKIES[rng.integers(len(SKIES))]) + rng.normal(0, 0.02, 3)
    far, near = np.array(GROUNDS[rng.integers(len(GROUNDS))]) + rng.normal(0, 0.025, 3)
    y = ((np.arange(size) + 0.5) / size)[:, None, None]

    sky = _mix(zenith, haze, (y / horizon).clip(0, 1))
    sky = _mix(sky, np.ones(3), 0.8 * _clouds(rng, size, horizon))
    hills = (0.55 * far + 0.45 * haze) * rng.uniform(0.7, 0.9)
    image = _mix(sky, hills, _ridge(rng, size, horizon, height=rng.uniform(0.04, 0.16)))

    ground = _mix(far, near, ((y - horizon) / (1 - horizon)).clip(0, 1))
    ground = ground * (1 + 0.035 * rng.normal(size=(size, size, 1)) + 0.06 * _patches(rng, size))
    ground = ground * (1 - 0.25 * _grass(rng, size, horizon))
    return _mix(image, ground, _ridge(rng, size, horizon, height=0.015))


def _clouds(rng: np.random.Generator, size: int, horizon: float) -> Array:
    mask = _Mask(size)
    for x, y in rng.uniform((0, 0.05), (1, 0.6 * horizon), (rng.integers(0, 4), 2)).tolist():
        width = rng.uniform(0.09, 0.17)
        mask.ellipse((x, y), width, 0.022)
        mask.ellipse((x - 0.2 * width, y - 0.02), 0.5 * width, 0.028)
        mask.ellipse((x + 0.4 * width, y - 0.01), 0.4 * width, 0.022)
    return mask.cover()


def _ridge(rng: np.random.Generator, size: int, horizon: float, height: float) -> Array:
    """Return the coverage of the area below a wavy line above the horizon, (size, size, 1)."""
    x = np.linspace(0, 1, 33)
    line = np.full(33, horizon - 0.5 * height)
    for frequency in (1.0, 2.3, 4.1):
        line -= 0.3 * height / frequency * np.sin(2 * np.pi * (frequency * x + rng.uniform()))
    mask = _Mask(size)
    mask.polygon((0, 1), *zip(x.tolist(), line.tolist(), strict=True), (1, 1))
    return mask.cover()


def _patches(rng: np.random.Generator, size: int) -> Array:
    """Return smooth noise for the ground, (size, size, 1), with a standard deviation of about 1."""
    coarse = Image.fromarray(rng.normal(size=(9, 5)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)[..., None]


def _grass(rng: np.random.Generator, size: int, horizon: float) -> Array:
    mask = _Mask(size)
    for x, y in rng.uniform((0, horizon + 0.06), (1, 1), (rng.integers(10, 40), 2)).tolist():
        blade = 0.06 * (y - horizon) + 0.008
        for lean in (-0.5, 0.0, 0.5):
            mask.limb((x, y), (x + lean * blade, y - blade), 0.005, 0.002)
    return mask.cover()


# Animals


@dataclass(frozen=True)
class _Animal:
    """Position and pose of an animal; other lengths of its body are fractions of `length`."""

    x: float
    feet: float  # y of the ground below
    length: float
    facing: int  # 1 to the right, -1 to the left
    neck: float  # angle above the horizontal, radians; negative when grazing
    gait: list[float]  # forward offsets of the hooves: near hind, near fore, far hind, far fore
    tail: float

    def at(self, point: Point) -> Point:
        """Map coordinates relative to the body's centre, with x towards the head, to image coordinates."""
        return self.x + self.facing * point[0] * self.length, self.feet + (point[1] - 0.66) * self.length

    def mask(self, size: int) -> _Mask:
        return _Mask(size, self.at, self.length)

    def legs(self, near: bool) -> list[Point]:
        """Return the x coordinates (hip, hoof) of a hind leg and a fore leg."""
        shift = 0.0 if near else 0.09
        hind, fore = self.gait[:2] if near else self.gait[2:]
        return [(-0.37 + shift, -0.37 + shift + hind), (0.29 + shift, 0.29 + shift + fore)]

    def head(self) -> tuple[Point, Point]:
        """Return the top of the neck and the tip of the muzzle."""
        poll = (0.34 + 0.46 * math.cos(self.neck), -0.04 - 0.46 * math.sin(self.neck))
        droop = 0.55 if self.neck > 0 else 1.1
        return poll, (poll[0] + 0.27 * math.cos(droop), poll[1] + 0.27 * math.sin(droop))


def _herd(rng: np.random.Generator, horizon: float) -> list[_Animal]:
    """Sample the poses of one large animal or two smaller ones, the farther one first."""
    count = int(rng.integers(1, 3))
    lengths, middles, spread = ((0.44, 0.56), [0.5], 0.1) if count == 1 else ((0.33, 0.42), [0.27, 0.73], 0.05)
    animals = []
    for middle in middles:
        length = rng.uniform(*lengths)
        grazing = rng.uniform() < 0.25
        animals.append(
            _Animal(
                x=middle + rng.uniform(-spread, spread),
                feet=rng.uniform(max(horizon + 0.2, 0.72), 0.95),
                length=length,
                facing=int(rng.choice((-1, 1))),
                neck=rng.uniform(-0.75, -0.6) if grazing else rng.uniform(0.6, 1.1),
                gait=rng.uniform(-0.09, 0.09, 4).tolist(),
                tail=rng.uniform(-0.02, 0.14),
            )
        )
    return sorted(animals, key=lambda animal: animal.feet)


def _paint(image: Array, animal: _Animal, coat: Array) -> Array:
    """Paint an animal whose colour at each pixel is `coat`."""
    size = len(image)
    shadow = animal.mask(size)
    shadow.ellipse((0.04, 0.65), 0.55, 0.06)
    image = image * (1 - 0.4 * shadow.cover())
    image = _mix(image, 0.68 * coat, _legs(animal, size, near=False))
    image = _mix(image, DARK, _tail(animal, size))
    # Light from above leaves the belly in shade.
    y = ((np.arange(size) + 0.5) / size)[:, None, None]
    light = 1.08 - 0.28 * ((y - animal.at((0, -0.25))[1]) / (0.5 * animal.length)).clip(0, 1)
    image = _mix(image, light * coat, np.maximum(_trunk(animal, size), _legs(animal, size, near=True)))
    return _mix(image, DARK, _details(animal, size))


def _legs(animal: _Animal, size: int, near: bool) -> Array:
    mask = animal.mask(size)
    for hip, hoof in animal.legs(near):
        knee = 0.5 * (hip + hoof) + 0.02
        mask.limb((hip, 0.08), (knee, 0.36), 0.085, 0.045)
        mask.limb((knee, 0.36), (hoof, 0.62), 0.045, 0.036)
    return mask.cover()


def _tail(animal: _Animal, size: int) -> Array:
    mask = animal.mask(size)
    middle = (-0.60 - 0.8 * animal.tail, 0.04)
    mask.limb((-0.50, -0.12), middle, 0.03, 0.045)
    mask.limb(middle, (-0.60 - animal.tail, 0.30), 0.045, 0.03)
    return mask.cover()


def _trunk(animal: _Animal, size: int) -> Array:
    """Body, neck, head and ears."""
    poll, muzzle = animal.head()
    mask = animal.mask(size)
    mask.ellipse((0, 0), 0.46, 0.22)
    mask.ellipse((-0.32, -0.03), 0.22, 0.23)
    mask.ellipse((0.30, 0.0), 0.22, 0.24)
    mask.limb((0.34, -0.04), poll, 0.19, 0.10)
    mask.limb(poll, muzzle, 0.105, 0.065)
    for back in (0.02, 0.09):
        mask.limb((poll[0] - back, poll[1] - 0.05), (poll[0] - back, poll[1] - 0.17), 0.035, 0.012)
    return mask.cover()


def _details(animal: _Animal, size: int) -> Array:
    """Mane, muzzle, eye and the near hooves."""
    poll, muzzle = animal.head()
    mask = animal.mask(size)
    x, y = -math.sin(animal.neck), -math.cos(animal.neck)  # direction from the neck's axis to its crest
    mask.limb((0.26 + 0.17 * x, -0.06 + 0.17 * y), (poll[0] + 0.10 * x, poll[1] + 0.10 * y), 0.035, 0.04)
    mask.ellipse(muzzle, 0.055, 0.055)
    mask.ellipse((0.7 * poll[0] + 0.3 * muzzle[0], 0.7 * poll[1] + 0.3 * muzzle[1] - 0.02), 0.026, 0.026)
    for _, hoof in animal.legs(near=True):
        mask.limb((hoof, 0.61), (hoof + 0.02, 0.64), 0.04, 0.045)
    return mask.cover()
