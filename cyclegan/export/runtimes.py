"""Translation by other runtimes than torch, on the CPU."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from cyclegan.errors import InputError, UserError, missing
from cyclegan.export.graphs import INPUT, OUTPUT, TOLERANCE, Direction, save_onnx
from cyclegan.methods.translator import Translator

Run = Callable[[Tensor], Tensor]
"""Translates images (N, C, H, W) in [-1, 1] in one direction."""


def started(runtime: str, translator: Translator, source: str, target: str) -> Run:
    """Export a direction as ONNX, in float32, and start a runtime with it.

    Raises:
        InputError: a package is not installed.
        UserError: the graph's results differ from torch's.
    """
    try:
        import onnxruntime

        if runtime == "openvino":
            import openvino
    except ImportError as error:
        raise InputError(f"--runtime {runtime} needs {missing(error.name or runtime)}") from error
    with TemporaryDirectory() as folder:
        file = Path(folder, "direction.onnx")
        difference = save_onnx(Direction(translator, source, target, "float"), file, {})
        if difference > TOLERANCE["float"]:
            raise UserError(f"--runtime {runtime}: its results differ by {difference:.2g} from torch's; leave it out")
        if runtime == "openvino":
            model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            return lambda images: torch.from_numpy(model(images.numpy())[0])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file, options)
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])
