"""Times COMET training steps in PyTorch and, in turns with it, in the Rust trainer.

A step is forward, backward and AdamW update of selector and predictor (the detector is frozen, in eval mode) on
random images. In every round, for every case, PyTorch takes its steps, then
`TRAINER bench --preset P --size S --batch B --steps N --json`; the next round goes backwards, so that a busy machine
hurts all alike. Each turn starts anew, and neither side's first two steps count. From the trainer's last line of
output, a JSON object, it takes `step_seconds` (a list or one number) or else `step_ms`. A side's figure is the median
over the rounds of the median step; a ratio is one of images/s within a round, above 1 where the trainer is faster.

One case (--preset, --size, --batch, --threads) prints one JSON object; without --trainer only PyTorch is timed.
Several cases print a Markdown table, each with every number of threads:

    python bench_train.py --cases small:64:32,full:64:32,small:96:32,full:96:16,small:224:8,full:224:8,lite:128:16 \\
        --threads 1,2 --rounds 3 --steps 5 --trainer BIN --out FILE.json

PyTorch has --threads threads within an operation (`torch.set_num_threads`) and runs one operation at a time
(`torch.set_num_interop_threads(1)`), the trainer gets RAYON_NUM_THREADS. Wants an idle machine: where a thread has to
wait for a core, PyTorch's others spin, and several threads become up to 20 times slower than one. A ratio measured
there says nothing; the load before the run is printed with the figures, with a warning if there was any.
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import lite
from networks import PRESETS, resnet, selector, set_bn_momentum
from train_comet import comet_backward

WIDTHS = {"full": 64, "small": 32}
WARM_UP = 2  # the trainer's, too
IDLE = 0.5  # load of a machine that does nothing else


@dataclass(frozen=True)
class Case:
    preset: str
    size: int
    batch: int
    threads: int

    def __str__(self):
        return f"{self.preset}, {self.size} px, batch {self.batch}, threads {self.threads}"


class Torch:
    def __init__(self, args, case):
        torch.manual_seed(0)
        torch.set_num_threads(case.threads)
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        build = lambda net: net.to(args.device, memory_format=layout)
        f_s, classifier = networks(case.preset, args.classes, args.width)
        self.f_s = build(f_s).train()
        self.f_p = build(classifier()).train()
        self.f_d = build(classifier()).eval().requires_grad_(False)
        self.optim = torch.optim.AdamW([*self.f_s.parameters(), *self.f_p.parameters()], lr=1e-3, weight_decay=0.03,
                                       fused=args.fused or None)
        self.x = build(torch.randn(case.batch, 3, case.size, case.size))
        self.y = torch.randint(args.classes, (case.batch,), device=args.device)

    def step(self):
        self.optim.zero_grad()
        comet_backward(self.f_s, self.f_p, self.f_d, self.x, self.y, 4.0, 100.0, 0.3, 2.0)  # .item() inside: waits
        self.optim.step()
        if self.x.is_cuda:
            torch.cuda.synchronize()

    def run(self, steps):
        seconds = []
        for _ in range(WARM_UP + steps):
            began = time.perf_counter()
            self.step()
            seconds.append(time.perf_counter() - began)
        return seconds[WARM_UP:]


def networks(preset, classes, width):
    """The selector, and what makes a classifier."""
    if preset == "lite":
        return lite.selector("top-down"), lambda: lite.classifier(classes)
    return set_bn_momentum(selector(preset), 0.1), lambda: resnet(classes, width or WIDTHS[preset])


def run_trainer(args, case):
    command = [args.trainer, "bench", "--preset", case.preset, "--size", str(case.size), "--batch", str(case.batch),
               "--classes", str(args.classes), "--steps", str(args.steps), "--json", *args.trainer_args.split()]
    if args.device == "cpu":
        command += ["--device", "cpu"]
    if args.width:
        command += ["--width", str(args.width)]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(case.threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"the trainer ended with status {done.returncode}")
    lines = done.stdout.strip().splitlines()
    try:
        report = json.loads(lines[-1] if lines else "")
    except json.JSONDecodeError as fault:
        raise SystemExit(f"the trainer's last line of output is no JSON object: {fault}") from fault
    if "step_seconds" in report:
        seconds = report["step_seconds"]
    elif "step_ms" in report:
        ms = report["step_ms"]
        seconds = [v / 1000 for v in ms] if isinstance(ms, list) else ms / 1000
    else:
        raise SystemExit(f"neither step_seconds nor step_ms in the trainer's report: {sorted(report)}")
    return seconds if isinstance(seconds, list) else [seconds]


def measure(args, cases):
    """All rounds of all cases: the median step of each turn, by case and side."""
    turns = {"torch": lambda case: Torch(args, case).run(args.steps)}
    if args.trainer:
        turns["trainer"] = lambda case: run_trainer(args, case)
    rounds = {case: {side: [] for side in turns} for case in cases}
    for number in range(args.rounds):
        way = 1 if number % 2 == 0 else -1
        for case in list(rounds)[::way]:
            for side in list(turns)[::way]:
                rounds[case][side].append(statistics.median(turns[side](case)))
            say(f"round {number + 1} of {args.rounds}: {case}: " + ", ".join(
                f"{side} {case.batch / taken[-1]:.2f} images/s" for side, taken in rounds[case].items()))
    return rounds


def result(case, rounds):
    """What goes into the JSON of a case."""
    found = asdict(case)
    for side, medians in rounds.items():
        median = statistics.median(medians)
        found[side] = {"median_step_seconds": median, "images_per_second": case.batch / median,
                       "round_medians": [round(value, 5) for value in medians]}
    if "trainer" in rounds:
        ratios = [a / b for a, b in zip(rounds["torch"], rounds["trainer"])]
        found.update(ratio=statistics.median(ratios), ratio_range=[min(ratios), max(ratios)])
    return found


def facts(args, load):
    """Where, when and how: what every figure has to carry."""
    names = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    version = subprocess.run([args.trainer, "--version"], capture_output=True, text=True) if args.trainer else None
    # Paths of this machine are left out.
    words, hidden = sys.argv[1:], {"--trainer": "BIN", "--out": "FILE"}
    words = [hidden.get(before, word) for before, word in zip(["", *words], words)]
    return {
        "date": datetime.date.today().isoformat(), "machine": names.group(1) if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)), "load": load, "device": args.device, "steps": args.steps,
        "rounds": args.rounds, "channels_last": args.channels_last, "fused": args.fused,
        "torch_version": torch.__version__, "python_version": platform.python_version(),
        "trainer_version": version.stdout.strip() if version else None,
        "command": " ".join(["bench_train.py", *words]),
    }


def table(facts, results):
    header = ["pair", "px", "batch", "threads", "comet-trainer, images/s", "PyTorch, images/s", "ratio"]
    rows = []
    for one in results:
        rate = lambda side: f"{one[side]['images_per_second']:.1f}" if side in one else "not measured"
        low, high = one.get("ratio_range", (0, 0))
        ratio = f"{one['ratio']:.2f} ({low:.2f} to {high:.2f})" if "ratio" in one else "not measured"
        rows.append([one["preset"], one["size"], one["batch"], one["threads"], rate("trainer"), rate("torch"), ratio])
    lines = [header, ["---"] * len(header), *rows]
    busy = " (BUSY: not comparable)" if facts["load"] > IDLE else ""
    heading = (f"{facts['date']}, {facts['machine']}, {facts['cores']} cores, load {facts['load']:.2f} before{busy}; "
               f"{facts['trainer_version'] or 'no trainer'}, PyTorch {facts['torch_version']}, "
               f"Python {facts['python_version']}; {facts['rounds']} rounds in turns of {facts['steps']} steps each "
               f"(n = {facts['rounds'] * facts['steps']}), medians; "
               f"in brackets the extremes of the ratio within a round. `{facts['command']}`")
    return "\n".join([heading, "", *(f"| {' | '.join(map(str, line))} |" for line in lines)])


def say(text):
    print(text, file=sys.stderr, flush=True)


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def numbers(text):
    """`1,2` as a list."""
    return [positive(word.strip()) for word in text.split(",")]


def cases(text):
    """`small:64:32,...` as (preset, size, batch)."""
    found = []
    for word in text.split(","):
        match = re.fullmatch(r"(full|small|lite):([1-9]\d*):([1-9]\d*)", word.strip())
        if not match:
            raise argparse.ArgumentTypeError(f"'{word}' is not PRESET:SIZE:BATCH with full, small or lite")
        found.append((match[1], int(match[2]), int(match[3])))
    return found


def arguments():
    p = argparse.ArgumentParser(description="Time COMET training steps: PyTorch against the Rust trainer.")
    p.add_argument("--cases", type=cases, metavar="PRESET:SIZE:BATCH,...", help="several cases, as a Markdown table")
    p.add_argument("--preset", choices=(*PRESETS, "lite"), default="full")
    p.add_argument("--size", type=positive, default=64)
    p.add_argument("--batch", type=positive, default=32)
    p.add_argument("--threads", type=numbers, metavar="N,...", help="[2; with --cases 1,2]")
    p.add_argument("--steps", type=positive, default=10, help="timed steps of a turn [%(default)s]")
    p.add_argument("--rounds", type=positive, default=3, help="turns of each side [%(default)s]")
    p.add_argument("--classes", type=positive, default=10)
    p.add_argument("--width", type=positive, help="first channel count of the ResNet-18 (full: 64, small: 32)")
    p.add_argument("--device", default="cpu", help="PyTorch's [%(default)s]")
    p.add_argument("--channels-last", action="store_true", help="PyTorch's other memory layout, often faster")
    p.add_argument("--fused", action="store_true", help="PyTorch's AdamW in one pass")
    p.add_argument("--trainer", metavar="BIN")
    p.add_argument("--trainer-args", default="", help="further options for `bench`, one string")
    p.add_argument("--out", type=Path, metavar="FILE", help="write all numbers as JSON to this file")
    args = p.parse_args()
    shapes = args.cases or [(args.preset, args.size, args.batch)]
    if any(preset == "lite" and size % 32 for preset, size, _ in shapes):
        p.error("the sides of lite's images are multiples of 32")
    threads = args.threads or ([1, 2] if args.cases else [2])
    return args, [Case(*shape, count) for shape in shapes for count in threads]


def main():
    args, cases = arguments()
    torch.set_num_interop_threads(1)
    load = os.getloadavg()[0]
    if load > IDLE:
        say(f"the load is {load:.2f}: on a busy machine PyTorch with several threads is far slower than it is; "
            "wait until nothing else runs")
    results = [result(case, rounds) for case, rounds in measure(args, cases).items()]
    about = facts(args, load)
    several = args.cases or len(results) > 1
    document = {**about, "cases": results} if several else {**about, **results[0]}
    if args.out:
        args.out.write_text(json.dumps(document, indent=1) + "\n")
    print(table(about, results) if several else json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
