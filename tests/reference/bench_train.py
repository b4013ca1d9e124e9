"""Times one COMET training step in PyTorch and, in turns with it, in the Rust trainer.

A step is forward, backward and AdamW update of selector and predictor (the detector is frozen) on random
images. PyTorch and `TRAINER bench --preset P --size S --batch B --steps N --json` alternate, so that a
busy machine hurts both alike; the first of a round changes sides. From the trainer's last line of output,
a JSON object, it takes `step_seconds` (a list or one number) or else `step_ms`.
Without --trainer only PyTorch is timed. Prints one JSON object; ratio > 1 means the trainer is faster.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

import torch

import lite
from networks import PRESETS, resnet, selector, set_bn_momentum
from train_comet import comet_backward

WIDTHS = {"full": 64, "small": 32}


class Torch:
    def __init__(self, args):
        torch.manual_seed(0)
        torch.set_num_threads(args.threads)
        width = args.width or WIDTHS.get(args.preset)
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        build = lambda net: net.to(args.device, memory_format=layout)
        is_lite = args.preset == "lite"
        classifier = (lambda: lite.classifier(args.classes)) if is_lite else (lambda: resnet(args.classes, width))
        self.f_s = build(lite.selector("top-down") if is_lite else set_bn_momentum(selector(args.preset), 0.1)).train()
        self.f_p = build(classifier()).train()
        self.f_d = build(classifier()).eval().requires_grad_(False)
        self.optim = torch.optim.AdamW([*self.f_s.parameters(), *self.f_p.parameters()], lr=1e-3, weight_decay=0.03)
        self.x = build(torch.randn(args.batch, 3, args.size, args.size))
        self.y = torch.randint(args.classes, (args.batch,), device=args.device)

    def step(self):
        self.optim.zero_grad()
        comet_backward(self.f_s, self.f_p, self.f_d, self.x, self.y, 4.0, 100.0, 0.3, 2.0)  # .item() inside: waits
        self.optim.step()
        if self.x.is_cuda:
            torch.cuda.synchronize()

    def run(self, steps):
        seconds = []
        for _ in range(steps):
            began = time.perf_counter()
            self.step()
            seconds.append(time.perf_counter() - began)
        return seconds


def run_trainer(args):
    command = [args.trainer, "bench", "--preset", args.preset, "--size", str(args.size), "--batch", str(args.batch),
               "--steps", str(args.steps), "--json", *args.trainer_args.split()]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"the trainer ended with status {done.returncode}")
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        report = json.loads(done.stdout.strip().splitlines()[-1])
    if "step_seconds" in report:
        seconds = report["step_seconds"]
    elif "step_ms" in report:
        ms = report["step_ms"]
        seconds = [v / 1000 for v in ms] if isinstance(ms, list) else ms / 1000
    else:
        raise SystemExit(f"neither step_seconds nor step_ms in the trainer's report: {sorted(report)}")
    return seconds if isinstance(seconds, list) else [seconds]


def main():
    p = argparse.ArgumentParser(description="Time COMET training steps: PyTorch against the Rust trainer.")
    p.add_argument("--preset", choices=(*PRESETS, "lite"), default="full")
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--steps", type=int, default=10, help="timed steps a round")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--warm-up", type=int, default=2, help="untimed PyTorch steps before the first round")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--classes", type=int, default=10)
    p.add_argument("--width", type=int, help="first channel count of the ResNet-18 (full: 64, small: 32)")
    p.add_argument("--device", default="cpu")
    p.add_argument("--channels-last", action="store_true", help="PyTorch's other memory layout, often faster")
    p.add_argument("--trainer", metavar="BIN")
    p.add_argument("--trainer-args", default="", help="further options for `bench`, one string")
    args = p.parse_args()

    reference = Torch(args)
    reference.run(args.warm_up)
    sides = {"torch": lambda: reference.run(args.steps)}
    if args.trainer:
        sides["trainer"] = lambda: run_trainer(args)
    seconds, per_round = {name: [] for name in sides}, {name: [] for name in sides}
    for number in range(args.rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            taken = sides[name]()
            seconds[name] += taken
            per_round[name].append(round(statistics.median(taken), 4))

    result = {"preset": args.preset, "size": args.size, "batch": args.batch, "steps": args.steps,
              "rounds": args.rounds, "threads": args.threads, "device": args.device,
              "channels_last": args.channels_last, "torch_version": torch.__version__}
    for name, values in seconds.items():
        median = statistics.median(values)
        result[name] = {"median_step_seconds": median, "images_per_second": args.batch / median,
                        "round_medians": per_round[name]}
    if args.trainer:
        result["ratio"] = result["torch"]["median_step_seconds"] / result["trainer"]["median_step_seconds"]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
