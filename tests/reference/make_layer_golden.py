"""Writes tests/golden/layers.json: outputs and gradients of every kind of layer that the trainer computes on the CPU.

Inputs and weights are not stored: both sides draw them from names (see FORMULA). The loss of a layer is the sum of its
output times fixed random numbers. PyTorch computes in float64; `float32_deviation` says how far its own float32 run is
from these numbers, which is the scale that a tolerance has to have.

    python make_layer_golden.py
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from make_golden import fnv1a64, uniform

FULL = 160  # tensors of at most this many values are stored as a whole
KINK = 4e-5  # no value before an activation may be as close as this to a point where its slope jumps

FORMULA = [
    "u_i of a name: as in networks.json (FNV-1a-64, splitmix64, 24 bits), row-major, all in f64, cast to f32 at the end",
    "the name of a tensor is the case's key, '/' and what it is: x, weight, bias, gamma, beta, running_mean, "
    "running_var, residual, gate, cotangent",
    "x, residual, beta: 1.5 u, x of a norm plus `offset`; x of max_pool: floor(2 u) / 2 + 0.25, so that there are ties",
    "weight: u sqrt(3 / fan_in), fan_in = product of all dimensions but the first; cotangent, bias: u",
    "gamma: 3 + u; running_mean: 0.5 u; running_var: 1 + 0.5 u; gate: 0.5 + 0.5 u",
    "shapes are [batch, channels, height, width]; padding is [top, left, bottom, right]",
    "loss = sum(output * cotangent); d_x is its gradient by x, and so on; norms: output = activation(norm(x) + residual)",
    "norms with training true use the batch's mean and biased variance (`mean`, `variance`), the others running ones",
    "of every tensor: its norm, and its dot products with u of '<key>/<tensor>/0' and '<key>/<tensor>/1'; `all` values "
    "of small ones, otherwise at_eighths[j], the entry at flat index (j * n) // 8, j = 0..7",
    "adamw: parameters after each step; betas 0.9 and 0.999, decoupled weight decay",
    "float32_deviation: of `all` and at_eighths relative to norm / sqrt(n), of norm and dots relative to the norm",
]


@dataclass(frozen=True)
class Conv:
    name: str
    input: tuple  # batch, channels, height, width
    out: int
    kernel: int
    stride: int = 1
    padding: tuple = (0, 0, 0, 0)
    dilation: int = 1
    depthwise: bool = False
    bias: bool = False


def dense(name, shape, out, kernel, padding=0, **more):
    return Conv(f"dense_{name}", shape, out, kernel, padding=around(padding), **more)


def depthwise(name, shape, kernel, padding, **more):
    return Conv(f"depthwise_{name}", shape, shape[1], kernel, padding=around(padding), depthwise=True, **more)


def around(padding):
    return padding if isinstance(padding, tuple) else (padding,) * 4


# Small ones whose every value is compared, then sizes at which the kernels cut their work into pieces.
CONVOLUTIONS = [
    dense("1x1", (2, 5, 7, 5), 3, 1),
    dense("1x1_stride_2", (3, 5, 7, 5), 3, 1, stride=2),
    dense("1x1_bias", (2, 3, 3, 4), 5, 1, bias=True),
    dense("1x1_of_one_position", (3, 24, 1, 1), 40, 1, bias=True),
    dense("3x3", (2, 3, 7, 5), 5, 3, 1),
    dense("3x3_no_padding", (2, 5, 7, 5), 3, 3),
    dense("3x3_stride_2", (2, 3, 7, 5), 5, 3, 1, stride=2),
    dense("3x3_17_to_33_channels", (1, 17, 5, 4), 33, 3, 1),
    dense("3x3_dilation_2", (1, 5, 7, 5), 3, 3, 2, dilation=2),
    dense("3x3_bias", (1, 3, 5, 4), 5, 3, 1, bias=True),
    dense("3x3_of_one_position", (2, 5, 1, 1), 3, 3, 1),
    dense("3x3_of_two_columns", (3, 5, 3, 2), 3, 3, 1),
    dense("3x3_after", (2, 3, 8, 6), 5, 3, (0, 0, 1, 1), stride=2),
    dense("3x3_after_odd", (1, 3, 7, 5), 5, 3, (0, 0, 1, 1), stride=2),
    dense("5x5_after", (1, 3, 8, 6), 4, 5, (1, 1, 2, 2), stride=2),
    dense("7x7_stride_2", (1, 3, 9, 7), 5, 7, 3, stride=2),
    depthwise("3x3", (2, 5, 7, 5), 3, 1),
    depthwise("3x3_stride_2", (3, 3, 7, 5), 3, 1, stride=2),
    depthwise("3x3_dilation_2", (1, 5, 7, 5), 3, 2, dilation=2),
    depthwise("3x3_bias", (1, 5, 4, 7), 3, 1, bias=True),
    depthwise("3x3_after", (2, 3, 8, 6), 3, (0, 0, 1, 1), stride=2),
    depthwise("3x3_after_odd", (1, 5, 5, 7), 3, (0, 0, 1, 1), stride=2),
    depthwise("3x3_of_17_channels", (1, 17, 7, 5), 3, 1),
    depthwise("5x5", (2, 3, 7, 5), 5, 2),
    depthwise("5x5_stride_2", (1, 5, 7, 5), 5, 2, stride=2),
    depthwise("5x5_dilation_2", (1, 3, 9, 7), 5, 4, dilation=2),
    depthwise("5x5_after", (2, 3, 8, 6), 5, (1, 1, 2, 2), stride=2),
    depthwise("5x5_of_two_columns", (3, 5, 1, 2), 5, 2),
    dense("1x1_large", (3, 24, 16, 12), 40, 1),
    dense("1x1_stride_2_large", (2, 40, 15, 13), 72, 1, stride=2),
    dense("3x3_large", (3, 40, 17, 15), 24, 3, 1),
    dense("3x3_stride_2_large", (3, 24, 17, 15), 40, 3, 1, stride=2),
    dense("3x3_dilation_2_large", (2, 24, 14, 13), 24, 3, 2, dilation=2),
    dense("3x3_after_large", (3, 3, 48, 32), 32, 3, (0, 0, 1, 1), stride=2),
    dense("7x7_stride_2_large", (3, 3, 64, 48), 16, 7, 3, stride=2),
    depthwise("3x3_large", (3, 69, 17, 15), 3, 1),
    depthwise("3x3_stride_2_large", (2, 40, 17, 15), 3, 1, stride=2),
    depthwise("3x3_after_large", (2, 40, 16, 14), 3, (0, 0, 1, 1), stride=2),
    depthwise("5x5_large", (3, 69, 17, 15), 5, 2),
    depthwise("5x5_stride_2_large", (2, 40, 17, 15), 5, 2, stride=2),
    depthwise("5x5_dilation_2_large", (2, 24, 14, 13), 5, 4, dilation=2),
    depthwise("5x5_after_large", (3, 24, 16, 14), 5, (1, 1, 2, 2), stride=2),
]

# Activation and where its slope jumps.
ACTIVATIONS = {"identity": (lambda z: z, ()), "relu": (F.relu, (0,)), "relu6": (F.relu6, (0, 6)),
               "hard_swish": (F.hardswish, (-3, 3))}


@dataclass(frozen=True)
class Norm:
    name: str
    input: tuple
    activation: str
    residual: bool = False
    training: bool = True
    epsilon: float = 1e-3
    offset: float = 0.0


def norms():
    for activation in ACTIVATIONS:
        for residual in (False, True):
            added = "_and_add" if residual else ""
            yield Norm(f"{activation}{added}", (2, 5, 4, 3), activation, residual)
            yield Norm(f"{activation}{added}_running", (2, 5, 4, 3), activation, residual, training=False)
    yield Norm("two_values", (2, 24, 1, 1), "relu")
    yield Norm("offset", (3, 3, 3, 4), "relu", epsilon=1e-5, offset=5.0)
    # More values than a piece of the kernels' work has; around 1, since a mean near 0 is of no size to compare with.
    yield Norm("relu6_large", (3, 40, 19, 17), "relu6", offset=1.0)
    yield Norm("relu_and_add_large", (3, 40, 19, 17), "relu", residual=True, epsilon=1e-5, offset=1.0)
    yield Norm("hard_swish_running_large", (3, 40, 19, 17), "hard_swish", training=False)


@dataclass(frozen=True)
class Other:
    name: str
    kind: str  # max_pool, mean, scale or resize
    input: tuple
    size: tuple = None  # height and width of a resize


OTHERS = [
    Other("max_pool", "max_pool", (2, 3, 7, 5), None),
    Other("max_pool_even", "max_pool", (1, 3, 8, 6), None),
    Other("max_pool_of_one_position", "max_pool", (2, 3, 1, 1), None),
    Other("max_pool_large", "max_pool", (3, 40, 17, 15), None),
    Other("mean", "mean", (2, 5, 4, 3)),
    Other("mean_large", "mean", (3, 40, 15, 13)),
    Other("scale", "scale", (2, 5, 4, 3)),
    Other("scale_large", "scale", (3, 40, 15, 13)),
    Other("resize_twice", "resize", (2, 3, 3, 4), (6, 8)),
    Other("resize_four_times", "resize", (1, 2, 2, 3), (8, 12)),
    Other("resize_odd", "resize", (1, 3, 4, 3), (7, 5)),
    Other("resize_same", "resize", (1, 3, 4, 3), (4, 3)),
    Other("resize_down", "resize", (2, 3, 7, 5), (3, 2)),
    Other("resize_of_one_position", "resize", (2, 3, 1, 1), (3, 2)),
    Other("resize_large", "resize", (2, 40, 7, 5), (28, 23)),
]


class Case:
    """Inputs by name, in one precision."""

    def __init__(self, key, dtype):
        self.key, self.dtype, self.leaves = key, dtype, {}

    def draw(self, what, shape, value):
        u = uniform(f"{self.key}/{what}", math.prod(shape))
        return torch.from_numpy(value(u).astype(np.float32).reshape(shape)).to(self.dtype)

    def leaf(self, what, shape, value):
        self.leaves[what] = self.draw(what, shape, value).requires_grad_()
        return self.leaves[what]

    def results(self, y, **more):
        loss = (y * self.draw("cotangent", tuple(y.shape), lambda u: u)).sum()
        gradients = torch.autograd.grad(loss, list(self.leaves.values()))
        return {"y": y, **{f"d_{name}": g for name, g in zip(self.leaves, gradients)}, **more}


def convolution(spec, dtype, key):
    case, channels = Case(key, dtype), spec.input[1]
    groups = channels if spec.depthwise else 1
    shape = (spec.out, channels // groups, spec.kernel, spec.kernel)
    x = case.leaf("x", spec.input, lambda u: 1.5 * u)
    weight = case.leaf("weight", shape, lambda u: u * math.sqrt(3 / math.prod(shape[1:])))
    bias = case.leaf("bias", (spec.out,), lambda u: u) if spec.bias else None
    top, left, bottom, right = spec.padding
    padded = F.pad(x, (left, right, top, bottom))
    return case.results(F.conv2d(padded, weight, bias, spec.stride, 0, spec.dilation, groups))


def norm(spec, dtype, key):
    case, channels = Case(key, dtype), (spec.input[1],)
    x = case.leaf("x", spec.input, lambda u: spec.offset + 1.5 * u)
    gamma, beta = (lambda u: 3 + u), (lambda u: 1.5 * u)
    if spec.training:
        gamma, beta = case.leaf("gamma", channels, gamma), case.leaf("beta", channels, beta)
        mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        z = F.batch_norm(x, None, None, gamma, beta, True, 0.0, spec.epsilon)
        more = {"mean": mean, "variance": variance}
    else:
        gamma, beta = case.draw("gamma", channels, gamma), case.leaf("beta", channels, beta)
        mean = case.draw("running_mean", channels, lambda u: 0.5 * u)
        variance = case.draw("running_var", channels, lambda u: 1 + 0.5 * u)
        z, more = F.batch_norm(x, mean, variance, gamma, beta, False, 0.0, spec.epsilon), {}
    if spec.residual:
        z = z + case.leaf("residual", spec.input, lambda u: 1.5 * u)
    activation, kinks = ACTIVATIONS[spec.activation]
    if any((z - kink).abs().min() < KINK for kink in kinks):
        return None
    return case.results(activation(z), **more)


def other(spec, dtype, key):
    case, (batch, channels, _, _) = Case(key, dtype), spec.input
    tied = lambda u: np.floor(2 * u) / 2 + 0.25
    x = case.leaf("x", spec.input, tied if spec.kind == "max_pool" else lambda u: 1.5 * u)
    if spec.kind == "max_pool":
        return case.results(F.max_pool2d(x, 3, 2, 1))
    if spec.kind == "mean":
        return case.results(x.mean(dim=(2, 3), keepdim=True))
    if spec.kind == "scale":
        return case.results(x * case.leaf("gate", (batch, channels, 1, 1), lambda u: 0.5 + 0.5 * u))
    return case.results(F.interpolate(x, size=spec.size, mode="bilinear", align_corners=False))


def short(value):
    """A float64 number as the shortest text of the float32 number nearest to it."""
    return [short(v) for v in value] if isinstance(value, list) else float(str(np.float32(value)))


def summary(key, name, tensor):
    values = tensor.detach().double().flatten()
    n = values.numel()
    dots = [float(values @ torch.from_numpy(uniform(f"{key}/{name}/{index}", n))) for index in (0, 1)]
    result = {"shape": list(tensor.shape), "norm": float(values.norm()), "dots": dots}
    if n <= FULL:
        return {**result, "all": values.tolist()}
    return {**result, "at_eighths": values[[j * n // 8 for j in range(8)]].tolist()}


def gap(exact, single):
    """Of one tensor: how far the float32 run is off."""
    n = math.prod(exact["shape"])
    entries = "all" if "all" in exact else "at_eighths"
    off = lambda what, scale: max(abs(a - b) for a, b in zip(exact[what], single[what])) / scale
    return max(off(entries, exact["norm"] / math.sqrt(n)), off("dots", exact["norm"]),
               abs(exact["norm"] - single["norm"]) / exact["norm"])


def entry(kind, compute, spec, worst):
    """One case; the key counts up until no value lies at a kink."""
    for attempt in range(100):
        key = f"layers/{kind}/{spec.name}" + (f"/{attempt}" if attempt else "")
        exact = compute(spec, torch.float64, key)
        if exact is not None:
            break
    else:
        raise SystemExit(f"{spec.name}: no key without values at a kink")
    single = compute(spec, torch.float32, key)
    tensors = {}
    for name, tensor in exact.items():
        tensors[name] = summary(key, name, tensor)
        if tensors[name]["norm"] < 1e-3:
            raise SystemExit(f"{spec.name}: {name} is practically zero and shows nothing")
        off = gap(tensors[name], summary(key, name, single[name]))
        worst[kind] = max(worst.get(kind, (0, "")), (off, f"{spec.name}, {name}"))
        tensors[name] = {k: v if k == "shape" else short(v) for k, v in tensors[name].items()}
    about = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(spec).items()}
    return {**about, "key": key, "tensors": tensors}


def adamw():
    """Three steps on ordinary, large, tiny and no gradients."""
    rate, decay, epsilon, n = 0.01, 0.03, 1e-8, 12
    scales = np.array([1, 1, 1, 100, 100, 1e-3, 1e-3, 1e-6, 1e-7, 1e-8, 1e-9, 0])
    f32 = lambda values: torch.from_numpy(values.astype(np.float32)).double()
    start = f32(1.5 * uniform("layers/adamw/parameters", n))
    gradients = [f32(uniform(f"layers/adamw/gradients/{step}", n) * scales) for step in range(3)]
    parameters = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([parameters], lr=rate, betas=(0.9, 0.999), eps=epsilon, weight_decay=decay)
    after = []
    for gradient in gradients:
        parameters.grad = gradient.clone()
        optimizer.step()
        after.append(short(parameters.tolist()))
    return {"rate": rate, "weight_decay": decay, "epsilon": epsilon, "parameters": short(start.tolist()),
            "gradients": [short(gradient.tolist()) for gradient in gradients], "after": after}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).resolve().parent.parent / "golden" / "layers.json"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    torch.set_num_threads(1)
    worst = {}
    document = {
        "about": "Outputs and gradients of single layers; made by tests/reference/make_layer_golden.py",
        "torch": torch.__version__.split("+")[0],
        "formula": FORMULA,
        "formula_check": {"key": "layers/conv/dense_1x1/x", "fnv1a64": f"{fnv1a64('layers/conv/dense_1x1/x'):#018x}",
                          "u": uniform("layers/conv/dense_1x1/x", 4).tolist()},
        "convolutions": [entry("conv", convolution, spec, worst) for spec in CONVOLUTIONS],
        "norms": [entry("norm", norm, spec, worst) for spec in norms()],
        "others": [entry("other", other, spec, worst) for spec in OTHERS],
        "adamw": adamw(),
        "float32_deviation": {kind: {"largest": off, "of": of} for kind, (off, of) in worst.items()},
    }
    args.out.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    cases = sum(len(document[kind]) for kind in ("convolutions", "norms", "others"))
    print(args.out.name, args.out.stat().st_size, "bytes,", cases, "cases,", json.dumps(document["float32_deviation"]))
    print("other keys:", [one["key"] for one in document["norms"] if one["key"].count("/") > 2])


if __name__ == "__main__":
    main()
