"""The model card of exports, as the Hugging Face Hub shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

from cyclegan.validation.catalogue import METRICS

CARD = """---
library_name: cyclegan
pipeline_tag: image-to-image
tags:
- cyclegan
- image-to-image{license}
---

# {title}

Translates images {directions}. Trained by the method {method} of the package `cyclegan`, version {version}.
{grid}
## Use

```sh
pip install 'cyclegan[export]'
cyclegan-translate --checkpoint hf://{repository} --input FOLDER --output TRANSLATED
```

```python
import cyclegan
translator = cyclegan.load("hf://{repository}", direction="{first}")
translator("photo.jpg").save("translated.png")
```

Images are RGB or of the channels below, in [-1, 1] as tensors; height and width are padded to multiples of
{multiple} pixels.{scale}

## Training

| | |
|---|---|
{training}

## Metrics

{metrics}
"""


def model_card(repository: str, abouts: Sequence[Mapping[str, Any]], license_: str | None, grid: str | None) -> str:
    """Return the text of the README.md of a model.

    Args:
        repository: USER/MODEL.
        abouts: descriptions of the exported directions.
        license_: the Hub's identifier of the licence; None leaves it out.
        grid: name of the image file with samples; None: there is none.
    """
    first = abouts[0]
    names = ["2".join(about["direction"]) for about in abouts]
    trained = first["training"] or {}
    scale = first["scale"]
    rows = {
        "directions": ", ".join(names),
        "channels": ", ".join(f"{domain}: {count}" for domain, count in first["channels"].items()),
        "generator": _call(first["generator"]),
        "run": trained.get("name"),
        "data": trained.get("data"),
        "images seen of each domain": trained.get("images"),
    }
    return CARD.format(
        license=f"\nlicense: {license_}" if license_ else "",
        title=repository.partition("/")[2] or repository,
        directions=" and ".join(f"of {source} into {target}" for source, target in (a["direction"] for a in abouts)),
        method=first["method"],
        version=first["cyclegan"],
        grid=f"\n![Samples]({grid})\n" if grid else "",
        repository=repository,
        first=names[0],
        multiple=first["size_multiple"],
        scale=f" Training resized them to {scale['load_size']} pixels ({scale['resize']})." if scale else "",
        training="\n".join(f"| {name} | {value} |" for name, value in rows.items() if value),
        metrics=_metrics(abouts),
    )


def _call(generator: Mapping[str, Any] | None) -> str:
    if generator is None:
        return "recognised by its weights"
    arguments = ", ".join(f"{key}={value}" for key, value in generator.items() if key != "_target_")
    return f"`{generator['_target_'].rpartition('.')[2]}({arguments})`"


def _metrics(abouts: Sequence[Mapping[str, Any]]) -> str:
    measured = abouts[0]["metrics"]
    if not measured:
        return "None were stored with the checkpoint."
    lines = ["| metric | " + " | ".join("2".join(about["direction"]) for about in abouts) + " |"]
    lines.append("|---" * (len(abouts) + 1) + "|")
    for metric in METRICS.values():
        values = [measured.get(metric.column(tuple(about["direction"]))) for about in abouts]
        if metric.is_headline and any(value is not None for value in values):
            cells = ["" if value is None else f"{value:.4g}" for value in values]
            lines.append(f"| {metric.title} | " + " | ".join(cells) + " |")
    protocol = abouts[0]["protocol"] or {}
    images, distances = protocol.get("images", {}), protocol.get("distances", {})
    features = distances.get("features", {}).get("network", "none")
    return "\n".join(lines) + (
        f"\n\nOn the {images.get('split')} images ({images.get('size')}), with the features of {features}. The whole "
        "protocol is in the JSON files."
    )
