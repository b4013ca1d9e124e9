"""Writes ../golden/calibration.json: temperature scaling and calibration errors in NumPy.

Independent of the Rust code: the temperature is the zero of the likelihood's derivative in b = 1 / T,
found by bisection (the Rust code searches ln T for the smallest likelihood), and the bins of the expected
calibration error are found by comparing with their ends (the Rust code computes a bin's number).

Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017.
"""

import argparse
import json
from pathlib import Path

import numpy as np

BINS = 15
SCALE = 16


def log_softmax(logits, b):
    scaled = (logits - logits.max(axis=1, keepdims=True)) * b
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))


def nll(logits, labels, b):
    return -log_softmax(logits, b)[np.arange(len(labels)), labels].mean()


def slope(logits, labels, b):
    """Derivative of nll in b: mean logit under the probabilities, minus the true class's logit."""
    p = np.exp(log_softmax(logits, b))
    return ((p * logits).sum(axis=1) - logits[np.arange(len(labels)), labels]).mean()


def fit(logits, labels):
    low, high = np.exp(-3.0), np.exp(3.0)
    assert slope(logits, labels, low) < 0 < slope(logits, labels, high), "the minimum lies inside"
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(logits, labels, middle) < 0 else (low, middle)
    return 1 / low


def ece(logits, labels, b):
    p = np.exp(log_softmax(logits, b))
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    ends = np.linspace(0, 1, BINS + 1)
    assert np.abs(confidence[:, None] - ends[None, 1:-1]).min() > 1e-6, "rounding cannot move an image"
    total = 0.0
    for low, high in zip(ends[:-1], ends[1:]):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return 100 * total


def case(name, seed, n, classes, true_scale, shown_scale):
    """Labels drawn from softmax(true_scale * z); the model shows shown_scale * z."""
    random = np.random.default_rng(seed)
    z = random.normal(size=(n, classes))
    p = np.exp(log_softmax(z, true_scale))
    labels = np.array([random.choice(classes, p=row) for row in p])
    units = np.round(SCALE * shown_scale * z).astype(int)
    logits = units / SCALE
    t = fit(logits, labels)
    written = round(t, 4)
    values = lambda b: {"ece": ece(logits, labels, b), "nll": nll(logits, labels, b)}
    return {
        "name": name, "classes": classes, "logits": units.ravel().tolist(), "labels": labels.tolist(),
        "temperature": t, "before": values(1.0), "after": values(1 / written),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parent.parent / "golden" / "calibration.json"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    golden = {
        "about": "Temperatures, ECE (percent, 15 bins) and NLL (nats); made by tests/reference/make_calibration_golden.py",
        "scale": SCALE,
        "cases": [
            case("too certain", 1, 80, 4, 1.5, 4.0),
            case("not certain enough", 2, 80, 3, 3.0, 1.0),
            case("two classes", 3, 60, 2, 1.0, 1.7),
        ],
    }
    args.out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    for found in golden["cases"]:
        print(found["name"], found["temperature"], found["before"], found["after"])


if __name__ == "__main__":
    main()
