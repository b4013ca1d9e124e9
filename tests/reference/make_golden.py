"""Writes tests/golden/networks.json: what the networks and one COMET step must give, from PyTorch.

The weights are not stored. Both sides fill every tensor from its name (see FORMULA), so the file holds
the tensor names and shapes, the outputs in eval mode, and the losses and gradients of one training step.

PyTorch computes in float64 on the float32 weights, so that the numbers are those of the mathematics and
not of one order of summation; `float32_deviation` says how far PyTorch's own float32 run is from them,
which is the scale that a tolerance has to have.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import lite
from networks import resnet, selector, set_bn_momentum

# Preset, head of the selector, width of the two ResNet-18.
PRESETS = [("full", "lraspp", 64), ("small", "lraspp", 32), ("lite", "lraspp", 0), ("lite", "top-down", 0)]
CLASSES, SIZE, LABELS = 10, 64, [3, 7]
ALPHA, BETA, GAP, TARGET_AREA = 4.0, 100.0, 2.0, 0.3
BN_MOMENTUM = 0.1

FORMULA = [
    "seed = FNV-1a-64 of the UTF-8 bytes of the hash key (offset 0xcbf29ce484222325, prime 0x100000001b3)",
    "stream = splitmix64 from that seed (state += 0x9e3779b97f4a7c15, then the usual two mixing steps)",
    "u_i = ((next() >> 40) as f64 / 2^24) * 2 - 1, i in row-major order; all in f64, cast to f32 at the end",
    "hash key = 'selector/' | 'predictor/' | 'detector/' + tensor name; num_batches_tracked is skipped",
    "dimensions >= 2: u * sqrt(3 / fan_in), fan_in = product of all dimensions but the first",
    "1-D '.weight' (BatchNorm): 1 + 0.1 u; 1-D '.bias': 0.1 u; running_mean: 0.1 u; running_var: 1 + 0.5 |u|",
    "input x [2,3,64,64]: hash key 'input/x', 1.5 u; labels [3, 7]",
    "eval: mask = selector(x), logits = predictor(x * mask), all BatchNorm with running statistics",
    "step: selector and predictor in training mode, detector in eval mode; total = l_p + alpha * "
    "max(l_p - l_d + gap, 0) + beta * r; l_p = CE(predictor(x * s)), l_d = CE(detector(x * (1 - s))), "
    "r = mean over images of max(mean(s_i) - target_area, 0)",
    "gradients: of total for the selector's parameters, of l_p alone for the predictor's; at_eighths[j] is "
    "the entry at flat index (j * n) // 8, j = 0..7; some gradients are zero by construction (a bias before "
    "a layer whose BatchNorm removes it), so compare with a floor: float32_deviation takes the error relative "
    "to norm + 0.001 * the net's largest norm",
    "batch_norm: after the step. running_var is PyTorch's, which takes the unbiased batch variance; "
    "running_var_biased is what the biased variance would have left; momentum as given, "
    "new = (1 - momentum) * old + momentum * batch",
]


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def uniform(key, count):
    """`count` numbers in [-1, 1) that belong to a name; float64."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(key)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2.0**24 * 2.0 - 1.0


def tensor(prefix, name, shape):
    count = math.prod(shape)
    u = uniform(f"{prefix}/{name}", count)
    if len(shape) >= 2:
        values = u * math.sqrt(3.0 / math.prod(shape[1:]))
    elif name.endswith(".running_var"):
        values = 1.0 + 0.5 * np.abs(u)
    elif name.endswith(".weight"):
        values = 1.0 + 0.1 * u
    else:  # a bias or a running mean
        values = 0.1 * u
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def names(net):
    return [(k, list(v.shape)) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")]


def build(preset, head, width, dtype):
    if preset == "lite":
        nets = {"selector": lite.selector(head), "predictor": lite.classifier(CLASSES),
                "detector": lite.classifier(CLASSES)}
    else:
        nets = {"selector": selector(preset), "predictor": resnet(CLASSES, width), "detector": resnet(CLASSES, width)}
    for prefix, net in nets.items():
        net.load_state_dict({k: tensor(prefix, k, s) for k, s in names(net)}, strict=False)
        set_bn_momentum(net.to(dtype), BN_MOMENTUM)
    return nets


def first_batch_norm(net):
    return next((k, m) for k, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d))


def run(preset, head, width, dtype):
    nets = build(preset, head, width, dtype)
    f_s, f_p, f_d = nets["selector"], nets["predictor"], nets["detector"]
    x = torch.from_numpy((1.5 * uniform("input/x", 2 * 3 * SIZE * SIZE)).astype(np.float32))
    x = x.reshape(2, 3, SIZE, SIZE).to(dtype)
    y = torch.tensor(LABELS)

    for net in nets.values():
        net.eval()
    with torch.no_grad():
        mask = f_s(x)
        logits = f_p(x * mask)
        detector_logits = f_d(x * (1 - mask))

    f_s.train(), f_p.train()
    f_d.requires_grad_(False)
    before, seen, hooks = {}, {}, []
    for prefix in ("selector", "predictor"):
        _, bn = first_batch_norm(nets[prefix])
        before[prefix] = bn.running_var.clone()
        keep = lambda module, inputs, prefix=prefix: seen.__setitem__(prefix, inputs[0].detach().clone())
        hooks.append(bn.register_forward_pre_hook(keep))
    s = f_s(x)
    l_p = F.cross_entropy(f_p(x * s), y)
    l_d = F.cross_entropy(f_d(x * (1 - s)), y)
    r = (s.mean(dim=(1, 2, 3)) - TARGET_AREA).clamp(min=0).mean()
    hinge = l_p - l_d + GAP
    total = l_p + ALPHA * hinge.clamp(min=0) + BETA * r
    # Two separate passes: the predictor moves by L_P only, the selector by the total.
    grad_p = torch.autograd.grad(l_p, list(f_p.parameters()), retain_graph=True)
    grad_s = torch.autograd.grad(total, list(f_s.parameters()))
    for hook in hooks:
        hook.remove()

    batch_norm = {}
    for prefix in ("selector", "predictor"):
        key, bn = first_batch_norm(nets[prefix])
        biased = seen[prefix].var(dim=(0, 2, 3), unbiased=False)
        batch_norm[prefix] = {
            "name": key, "momentum": BN_MOMENTUM, "eps": bn.eps, "running_mean": bn.running_mean,
            "running_var": bn.running_var,
            "running_var_biased": (1 - BN_MOMENTUM) * before[prefix] + BN_MOMENTUM * biased,
        }
    gradients = {prefix: dict(zip((k for k, _ in nets[prefix].named_parameters()), grads))
                 for prefix, grads in (("selector", grad_s), ("predictor", grad_p))}
    return {
        "tensors": {"selector": names(f_s), "resnet": names(f_p)},
        "eval": {"mask": mask, "logits": logits, "detector_logits": detector_logits},
        "step": {"l_p": l_p, "l_d": l_d, "r": r, "hinge": hinge, "total": total, "mask": s,
                 "mask_mean": s.mean(dim=(1, 2, 3))},
        "gradients": gradients, "batch_norm": batch_norm,
    }


def deviation(exact, single):
    """How far the float32 run is off: absolute for outputs, relative for gradients.

    Some gradients are zero by construction (a bias that a later BatchNorm takes away again), so a
    gradient's error is taken relative to its norm plus a thousandth of the net's largest norm.
    """
    gap = lambda a, b: (a - b.double()).detach().abs().max().item()
    relative = {}
    for prefix, grads in exact["gradients"].items():
        floor = 1e-3 * max(g.norm().item() for g in grads.values())
        errors = {k: (g - single["gradients"][prefix][k].double()).norm().item() / (g.norm().item() + floor)
                  for k, g in grads.items()}
        ranked = sorted(errors, key=errors.get)
        relative[f"gradient_{prefix}_median"] = errors[ranked[len(ranked) // 2]]
        relative[f"gradient_{prefix}_worst"] = errors[ranked[-1]]
        relative[f"gradient_{prefix}_worst_key"] = ranked[-1]
    return {
        "eval_mask": gap(exact["eval"]["mask"], single["eval"]["mask"]),
        "eval_logits": gap(exact["eval"]["logits"], single["eval"]["logits"]),
        "step_mask": gap(exact["step"]["mask"], single["step"]["mask"]),
        "total": gap(exact["step"]["total"], single["step"]["total"]),
        **relative,
    }


def numbers(t, digits=9):
    """Nested lists of floats, rounded to float32 precision."""
    short = lambda v: [short(i) for i in v] if isinstance(v, list) else float(f"{v:.{digits}g}")
    return short(t.detach().tolist())


def entries(preset, head, width):
    exact, single = (run(preset, head, width, dtype) for dtype in (torch.float64, torch.float32))
    eighths = lambda g: g.flatten()[[j * g.numel() // 8 for j in range(8)]]
    mask = exact["eval"]["mask"]
    return {
        "preset": preset, "head": head, "classes": CLASSES, "width": width,
        "selector": [{"key": k, "shape": s} for k, s in exact["tensors"]["selector"]],
        "resnet": [{"key": k, "shape": s} for k, s in exact["tensors"]["resnet"]],
        "eval": {
            "mask": numbers(mask.flatten()), "logits": numbers(exact["eval"]["logits"]),
            "detector_logits": numbers(exact["eval"]["detector_logits"]),
            "mask_mean": float(mask.mean()), "mask_min": float(mask.min()), "mask_max": float(mask.max()),
            "mask_std": float(mask.std()),
        },
        "step": {**{k: numbers(v) for k, v in exact["step"].items() if k not in ("mask",)},
                 "mask_at_eighths": [numbers(eighths(m)) for m in exact["step"]["mask"]]},
        "gradients": {prefix: [{"key": k, "norm": numbers(g.norm()), "at_eighths": numbers(eighths(g))}
                               for k, g in grads.items()] for prefix, grads in exact["gradients"].items()},
        "batch_norm": {prefix: {k: numbers(v) if torch.is_tensor(v) else v for k, v in values.items()}
                       for prefix, values in exact["batch_norm"].items()},
        "float32_deviation": deviation(exact, single),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).resolve().parent.parent / "golden" / "networks.json"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    torch.set_num_threads(2)
    document = {
        "about": "Outputs and gradients of the COMET networks; made by tests/reference/make_golden.py",
        "torch": torch.__version__.split("+")[0],
        "formula": FORMULA,
        "formula_check": {"key": "input/x", "fnv1a64": f"{fnv1a64('input/x'):#018x}",
                          "u": uniform("input/x", 4).tolist()},
        "input": {"shape": [2, 3, SIZE, SIZE], "labels": LABELS},
        "loss": {"alpha": ALPHA, "beta": BETA, "gap": GAP, "target_area": TARGET_AREA},
        "presets": [entries(*preset) for preset in PRESETS],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    print(args.out.name, args.out.stat().st_size, "bytes")
    for entry in document["presets"]:
        summary = {k: v for k, v in entry["eval"].items() if k.startswith("mask_")}
        print(entry["preset"], json.dumps(summary), json.dumps({k: v for k, v in entry["step"].items() if k != "mask_at_eighths"}),
              json.dumps(entry["float32_deviation"]), entry["eval"]["logits"], sep="\n  ")


if __name__ == "__main__":
    main()
