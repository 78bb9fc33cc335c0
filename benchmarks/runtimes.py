"""Translation by several runtimes: seconds an image at batch size 1, in alternating turns.

The paper's ResNet-9 generator with random weights: PyTorch in float32 and bfloat16 (autocast), eager and by
torch.compile; ONNX Runtime in float32 and with weights of 8 bits; and OpenVINO if it is installed.

python benchmarks/runtimes.py --size 256 --turns 7
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from cyclegan.export.graphs import Direction, save_onnx
from cyclegan.methods.trained_generators import TrainedGenerators
from cyclegan.networks.resnet import ResnetGenerator

Run = Callable[[torch.Tensor], Any]


def eager(translator: TrainedGenerators, dtype: torch.dtype | None) -> Run:
    @torch.inference_mode()
    def run(images: torch.Tensor) -> Any:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            return translator.translate(images, "A", "B").float().numpy()

    return run


def compiled(translator: TrainedGenerators, dtype: torch.dtype | None) -> Run:
    network: Any = torch.compile(translator.generators()["gen_ab"])

    @torch.inference_mode()
    def run(images: torch.Tensor) -> Any:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            return network(images).float().numpy()

    return run


def onnx_runtime(file: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options)
    return lambda images: session.run(None, {"images": images.numpy()})[0]


def quantised(file: Path) -> Path:
    """Write a copy with weights of 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = file.with_name("int8.onnx")
    quantize_dynamic(file, small, weight_type=QuantType.QUInt8)
    return small


def openvino(file: Path, precision: str) -> Run:
    import openvino as ov

    model = ov.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return lambda images: model(images.numpy())[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    channels_last = TrainedGenerators({("A", "B"): ResnetGenerator()}, {"A": 3, "B": 3}).eval()
    channels_last.to(memory_format=torch.channels_last)
    images = torch.rand(1, 3, args.size, args.size) * 2 - 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "generator.onnx")
        save_onnx(Direction(channels_last, "A", "B", "float"), file, {})
        runs: dict[str, Run] = {
            "torch float32": eager(channels_last, None),
            "torch bfloat16": eager(channels_last, torch.bfloat16),
            "torch.compile float32": compiled(channels_last, None),
            "torch.compile bfloat16": compiled(channels_last, torch.bfloat16),
            "ONNX Runtime float32": onnx_runtime(file),
            "ONNX Runtime int8": onnx_runtime(quantised(file)),
        }
        if find_spec("openvino"):
            runs |= {f"OpenVINO {name}": openvino(file, name) for name in ("f32", "bf16")}
        results, seconds = {}, {name: list[float]() for name in runs}
        for name, run in runs.items():
            start = time.perf_counter()
            results[name] = run(images)
            print(f"{name}: first image {time.perf_counter() - start:.1f} s", flush=True)
        for _ in range(args.turns):
            for name, run in runs.items():
                start = time.perf_counter()
                run(images)
                seconds[name].append(time.perf_counter() - start)
    print(f"{args.size}², torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("| runtime | ms an image | ratio to torch float32 | largest difference of [-1, 1] |\n|---|---|---|---|")
    plain = statistics.median(seconds["torch float32"])
    for name, times in seconds.items():
        median = statistics.median(times)
        difference = abs(results[name] - results["torch float32"]).max()
        print(f"| {name} | {1000 * median:.0f} | {plain / median:.2f} | {difference:.1g} |")


if __name__ == "__main__":
    main()
