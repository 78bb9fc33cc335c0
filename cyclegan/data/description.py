"""What a run's images are, in a few lines at its start."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from cyclegan.data.held_out import HeldOut
from cyclegan.data.reader import Prepared


def describe(
    root: Path | None,
    splits: Mapping[str, Mapping[str, Prepared]],
    modes: Mapping[str, Counter[str]],
    types: Mapping[str, str],
    held_out: HeldOut | None,
) -> list[str]:
    """Lines for people.

    Args:
        root: of the data set, if it has one.
        splits: the images of each split, by domain.
        modes: what headers showed of them: {"trainA": {"RGB": 1067}}.
        types: of the pixels of each domain, as stored.
        held_out: the images to measure with, if there are any.
    """
    counts = ", ".join(f"{split}{domain} {len(p)}" for split, each in splits.items() for domain, p in each.items())
    lines = [f"images    {counts}" + (f" from {root}" if root else "")]
    for domain, prepared in splits["train"].items():
        given = prepared.pixel_format
        low, high = given.bounds(types[domain])
        seen = ", ".join(f"{mode} ×{count}" for mode, count in modes.get(f"train{domain}", Counter[str]()).items())
        channels = f"{given.channels} channel{'' if given.channels == 1 else 's'}"
        of = f" of {seen}" if seen else ""
        lines.append(f"{f'domain {domain}':<10}{channels}{of}; {types[domain]} {low:g} to {high:g} become -1 to 1")
    others = sum((p.images.skipped for each in splits.values() for p in each.values()), Counter[str]())
    if others:
        lines.append(f"others    passed over: {', '.join(f'{kind} ×{count}' for kind, count in others.most_common(8))}")
    if held_out and (paired := held_out.describe_pairing("data.pairing=by_name")):
        lines.append(f"pairing   {paired}")
    return lines
