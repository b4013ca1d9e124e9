"""Models that another program quantized: what comet-edge's int8 engine must load, and what it is held to.

Builds one small COMET graph with seeded random weights (32x32 pixels, 4 classes) and quantizes it with
onnxruntime.quantization in every way of VARIANTS. Writes tests/golden/foreign/*.onnx with a manifest and without
a checksum, as they would come from elsewhere, and tests/golden/foreign.json with ONNX Runtime's predictions for a few
images. Graph optimizations are switched off: what is stored is what the operators of the file say.
"""

import argparse
import json
import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

ROOT = Path(__file__).resolve().parents[2]
SIDE, CLASSES, BLOCKS = 32, 4, 4
WIDE, DEEP = 12, 20  # no multiples of 16: every kernel has channels left over
MEAN, STD = 0.5, 0.25
STRIDE = 5  # every 5th map value is stored; 5 and the width have no common factor
# The smallest distance of the two largest logits, in steps of an 8-bit logit: of the float model, and of every file.
MARGIN, LEAST_MARGIN = 30, 16

U8, S8 = QuantType.QUInt8, QuantType.QInt8
# What works on real numbers in the files of the trainer, beside the outputs of the layers `head` and `logits`.
REAL = ["resize", "sigmoid", "compose"]
VARIANTS = {
    "u8_per_channel": {"activation_type": U8, "weight_type": S8, "per_channel": True},
    "s8_symmetric": {
        "activation_type": S8, "weight_type": S8, "per_channel": True,
        "extra_options": {"ActivationSymmetric": True},
    },
    "u8_per_tensor": {"activation_type": U8, "weight_type": S8},
    "u8_symmetric_weights": {
        "activation_type": U8, "weight_type": U8, "extra_options": {"WeightSymmetric": True},
    },
    "u8_asymmetric_weights": {"activation_type": U8, "weight_type": U8},
    "one_region": {"activation_type": U8, "weight_type": S8, "per_channel": True, "real": True},
    "one_conv_left_out": {
        "activation_type": U8, "weight_type": S8, "per_channel": True, "nodes_to_exclude": ["block_1"],
    },
    "no_quantizer_after_conv": {
        "activation_type": U8, "weight_type": S8, "per_channel": True,
        "extra_options": {"OpTypesToExcludeOutputQuantization": ["Conv"]},
    },
    "convolutions_as_operators": {
        "activation_type": U8, "weight_type": S8, "per_channel": True, "op_types_to_quantize": ["Conv"],
        "quant_format": QuantFormat.QOperator,
    },
}


class Builder:
    """Nodes with random weights, each named after its output."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def node(self, operator, inputs, name, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, name, shape, gain):
        """Channels of very different size: per-channel scales must matter."""
        deviation = gain * np.sqrt(2 / np.prod(shape[1:]))
        sizes = np.exp2(self.random.uniform(-1, 1, shape[:1] + (1,) * (len(shape) - 1)))
        values = self.random.normal(0, deviation, shape) * sizes
        return self.constant(f"{name}.weight", values.astype(np.float32))

    def conv(self, value, name, inputs, outputs, kernel=1, stride=1, group=1, gain=1.0, bias=0.1):
        weight = self.weights(name, (outputs, inputs // group, kernel, kernel), gain)
        biases = self.random.normal(0, bias, outputs).astype(np.float32)
        return self.node(
            "Conv", [value, weight, self.constant(f"{name}.bias", biases)], name, group=group,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4,
        )


def build(seed):
    b = Builder(seed)
    stem = b.node("Relu", [b.conv("image", "stem", 3, WIDE, kernel=3, stride=2)], "stem_relu")
    wide = b.node("HardSwish", [b.conv(stem, "depthwise", WIDE, WIDE, kernel=3, group=WIDE)], "depthwise_swish")
    squeeze = b.node("GlobalAveragePool", [wide], "squeeze")
    squeeze = b.node("Relu", [b.conv(squeeze, "fc1", WIDE, 4)], "fc1_relu")
    squeeze = b.node("HardSigmoid", [b.conv(squeeze, "fc2", 4, WIDE)], "gate", alpha=1 / 6, beta=0.5)
    scaled = b.node("Mul", [wide, squeeze], "scaled")
    body = b.node("Add", [b.conv(scaled, "project", WIDE, WIDE), stem], "body")
    head = b.conv(body, "head", WIDE, 1, gain=2.0)
    sizes = b.constant("sizes", np.array([1, 1, SIDE, SIDE], dtype=np.int64))
    large = b.node(
        "Resize", [head, "", "", sizes], "resize", mode="linear", coordinate_transformation_mode="half_pixel"
    )
    b.nodes.append(helper.make_node("Sigmoid", [large], ["mask"], name="sigmoid"))
    b.nodes.append(helper.make_node("Mul", ["image", "mask"], ["masked"], name="compose"))
    first = b.node("Relu", [b.conv("masked", "conv1", 3, DEEP, kernel=7, stride=2)], "conv1_relu")
    pooled = b.node("MaxPool", [first], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    block = b.node("Relu", [b.conv(pooled, "block_1", DEEP, DEEP, kernel=3)], "block_1_relu")
    block = b.node("Add", [b.conv(block, "block_2", DEEP, DEEP, kernel=3, gain=0.7), pooled], "block_add")
    block = b.node("Relu", [block], "block_relu")
    mean = b.node("Flatten", [b.node("GlobalAveragePool", [block], "mean")], "flat", axis=1)
    weight = b.weights("logits", (CLASSES, DEEP), 3.0)
    b.node("Gemm", [mean, weight, b.constant("logits.bias", np.zeros(CLASSES, np.float32))], "logits", transB=1)
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        b.nodes, "foreign", [value("image", [1, 3, SIDE, SIDE])],
        [value("mask", [1, 1, SIDE, SIDE]), value("logits", [1, CLASSES])], b.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def manifest(name):
    """What the trainer would write; nothing was trained."""
    training = {
        "completeness": "hinge", "alpha": 0.0, "beta": 0.0, "target_area": 0.0, "detector_epochs": 0, "epochs": 0,
        "best_epoch": 0, "seed": 0, "seconds": 0.0, "device": "none",
    }
    return json.dumps({
        "format_version": 1, "name": name, "writer": f"onnxruntime.quantization {onnxruntime.__version__}",
        "classes": [f"class {index}" for index in range(CLASSES)],
        "preprocess": {"width": SIDE, "height": SIDE, "fit": "crop", "mean": [MEAN] * 3, "std": [STD] * 3},
        "fill": 0.0, "precision": "int8", "preset": "small", "training": training,
        "data": {"name": "none", "train": 0, "val": 0, "paste": 0.0},
    })


def image(blocks):
    """Bytes [height, width, 3] from [3, 4, 4] patches of one shade, with a texture: neighbouring pixels differ."""
    y, x, c = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
    step = SIDE // BLOCKS
    return (np.asarray(blocks)[c, y // step, x // step] + (7 * x + 3 * y + 5 * c) % 32).astype(np.uint8)


def tensor(blocks):
    pixels = image(blocks).astype(np.float32) / np.float32(255)
    return ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)[None]


class Images(CalibrationDataReader):
    def __init__(self, images):
        self.left = iter(images)

    def get_next(self):
        blocks = next(self.left, None)
        return None if blocks is None else {"image": tensor(blocks)}


def quantize(source, name, options, images, folder):
    options = {"quant_format": QuantFormat.QDQ, **options}
    target = folder / f"{name}.onnx"
    is_real = options.pop("real", False)
    if is_real:
        options["nodes_to_exclude"] = REAL
        options["extra_options"] = {"OpTypesToExcludeOutputQuantization": ["Gemm"]}
    quantize_static(source, target, Images(images), **options)
    model = onnx.load(target)
    if is_real:
        leave_real(model, "head")
        # The quantizer lets every reader of a value read its dequantized form.
        (compose,) = [node for node in model.graph.node if node.name == "compose"]
        compose.input[0] = "image"
    onnx.checker.check_model(model, full_check=True)
    entry = model.metadata_props.add()
    entry.key, entry.value = "comet.manifest", manifest(name)
    return model


def leave_real(model, value):
    """Takes the quantizer behind `value` away, and its constants."""
    nodes, constants = model.graph.node, model.graph.initializer
    (first,) = [node for node in nodes if node.op_type == "QuantizeLinear" and node.input[0] == value]
    (second,) = [node for node in nodes if node.op_type == "DequantizeLinear" and node.input[0] == first.output[0]]
    for node in nodes:
        node.input[:] = [value if name == second.output[0] else name for name in node.input]
    nodes.remove(first)
    nodes.remove(second)
    for unused in [tensor for tensor in constants if tensor.name in first.input]:
        constants.remove(unused)


def predictions(model, images):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [session.run(["mask", "logits"], {"image": tensor(blocks)}) for blocks in images]


def centre(model, images):
    """Gives the last layer the bias that makes every class win now and then."""
    logits = np.concatenate([prediction[1] for prediction in predictions(model, images)])
    (bias,) = [tensor for tensor in model.graph.initializer if tensor.name == "logits.bias"]
    bias.CopyFrom(numpy_helper.from_array(-logits.mean(axis=0), bias.name))


def margin(logits):
    low, high = np.sort(logits.ravel())[-2:]
    return float(high - low)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--images", type=int, default=6, help="images whose predictions are stored")
    parser.add_argument("--out", type=Path, default=ROOT / "tests/golden/foreign")
    args = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)

    random = np.random.default_rng(args.seed + 1)
    images = random.integers(0, 224, (64, 3, BLOCKS, BLOCKS)).tolist()
    model = build(args.seed)
    centre(model, images)
    logits = np.concatenate([prediction[1] for prediction in predictions(model, images)])
    step = float(logits.max() - logits.min()) / 255
    clear = [index for index, row in enumerate(logits) if margin(row) > MARGIN * step]
    chosen = []
    while clear and len(chosen) < args.images:
        # The classes in turns, as far as the images reach.
        seen = [int(np.argmax(logits[index])) for index in chosen]
        clear.sort(key=lambda index: (seen.count(int(np.argmax(logits[index]))), index))
        chosen.append(clear.pop(0))
    images_out = [images[index] for index in chosen]

    args.out.mkdir(parents=True, exist_ok=True)
    golden = {
        "onnxruntime": onnxruntime.__version__, "side": SIDE, "stride": STRIDE, "logit_step": round(step, 6),
        "images": images_out, "models": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "float.onnx"
        onnx.save(model, source)
        for name, options in VARIANTS.items():
            quantized = quantize(source, name, options, images, Path(folder))
            cases = [
                {
                    "logits": [round(float(value), 5) for value in logits[0]],
                    "mask": [round(float(value), 5) for value in mask.ravel()[::STRIDE]],
                }
                for mask, logits in predictions(quantized, images_out)
            ]
            path = args.out / f"{name}.onnx"
            onnx.save(quantized, path)
            golden["models"].append({"model": path.name, "cases": cases})
            worst = min(margin(np.array(case["logits"])) for case in cases) / step
            if worst < LEAST_MARGIN:
                raise SystemExit(f"{name}: two logits lie {worst:.1f} steps apart; try another seed")
            masks = np.concatenate([case["mask"] for case in cases])
            operators = sorted({node.op_type for node in quantized.graph.node})
            print(
                f"{path.name}: {path.stat().st_size} bytes, smallest margin {worst:.1f} steps, map {masks.min():.2f} "
                f"to {masks.max():.2f}, {len(quantized.graph.node)} nodes: {', '.join(operators)}"
            )
    out = args.out.with_suffix(".json")
    out.write_text(json.dumps(golden) + "\n")
    classes = sorted({int(np.argmax(logits[index])) for index in chosen})
    print(f"{out.name}: {len(chosen)} images, classes {classes}, one step of a logit is {step:.4f}")


if __name__ == "__main__":
    main()
