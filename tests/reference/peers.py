"""Who is timed by `bench_peers.py`, and how one block of timed runs is taken of each."""

import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

# A child's peak memory starts with that of the process which started it (Linux), so that this one has to stay small:
# numpy and onnxruntime are imported in the processes of their blocks alone.

VARIABLE = "COMET_EDGE_KERNEL"
WARM_UP = 10  # as in `comet-edge bench`


@dataclass(frozen=True)
class Pair:
    """One model in two files."""

    name: str
    int8: Path
    float: Path

    @property
    def files(self) -> dict[str, Path]:
        return {"int8": self.int8, "float": self.float}


@dataclass(frozen=True)
class Contender:
    name: str
    file: str  # of the pair: int8 or float
    kernel: str = ""  # forced; without it comet-edge chooses
    predictor: bool = False
    onnxruntime: bool = False

    @classmethod
    def forced(cls, kernel: str) -> "Contender":
        return cls(f"forced {kernel}", "int8", kernel=kernel)


OURS = Contender("comet-edge int8", "int8")
OURS_FLOAT = Contender("comet-edge float", "float")
STOCK = Contender("tract int8", "int8", kernel="tract")
ORT = Contender("ONNX Runtime int8", "int8", onnxruntime=True)
ORT_FLOAT = Contender("ONNX Runtime float", "float", onnxruntime=True)
PREDICTOR = Contender("predictor alone int8", "int8", predictor=True)
MAIN = [OURS, OURS_FLOAT, STOCK, ORT, ORT_FLOAT]


@dataclass
class Series:
    """One contender on one pair with one number of threads; `reports` and `peaks_mib` have one entry a block."""

    pair: Pair
    threads: int
    contender: Contender
    rounds: int
    reports: list[dict] = field(default_factory=list)
    peaks_mib: list[float] = field(default_factory=list)

    def stages(self, name: str) -> list[float]:
        """Milliseconds of a stage, the median of each block."""
        return [report["stages"][name] for report in self.reports]

    @property
    def median_ms(self) -> float:
        return statistics.median(self.stages("inference"))

    @property
    def p95_ms(self) -> float:
        return max(report["p95_ms"] for report in self.reports)

    @property
    def n(self) -> int:
        return sum(report["n"] for report in self.reports)

    @property
    def peak_mib(self) -> float:
        return max(self.peaks_mib)


@dataclass
class Ratio:
    """Of the medians of two series, with the extremes within a round."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, one: Series, other: Series) -> "Ratio":
        each = [a / b for a, b in zip(one.stages("inference"), other.stages("inference"))]
        return cls(one.median_ms / other.median_ms, min(each), max(each))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass
class Ended:
    """A process that has ended."""

    status: int
    stdout: str
    stderr: str
    seconds: float
    peak_mib: float


def run(command: list[str], kernel: str = "") -> Ended:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if kernel:
        environment[VARIABLE] = kernel
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    return Ended(process.returncode, output.decode(), text, seconds, usage.ru_maxrss / 1024)


def must(command: list[str], kernel: str = "") -> Ended:
    ended = run(command, kernel)
    if ended.status != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {ended.status}:\n{ended.stderr.strip()}")
    return ended


def measure(binary: str, series: Series, iterations: int) -> None:
    """Takes one block."""
    contender, model = series.contender, series.pair.files[series.contender.file]
    if contender.onnxruntime:
        command = [sys.executable, __file__, str(model), str(series.threads), str(iterations)]
    else:
        command = [binary, "bench", "--model", str(model), "--threads", str(series.threads),
                   "--iterations", str(iterations), "--json", *(["--predictor"] if contender.predictor else [])]
    ended = must(command, contender.kernel)
    series.reports.append({**json.loads(ended.stdout), "model": model.name})
    series.peaks_mib.append(ended.peak_mib)


def kernels(binary: str, model: Path) -> list[str]:
    """The integer kernels of this processor, as comet-edge lists them when it is asked for one that is none."""
    ended = run([binary, "bench", "--model", str(model), "--iterations", "1"], "nonsense")
    found = re.search(r"this processor has ([\w-]+(?:, [\w-]+)*)", ended.stderr)
    return [name for name in found.group(1).split(", ") if name != "tract"] if found else []


def quantile(samples: list[float], share: float) -> float:
    """The sample at `share` of the sorted samples (nearest rank), as comet-edge has it."""
    return sorted(samples)[max(math.ceil(share * len(samples)) - 1, 0)]


def onnxruntime_block(model: str, threads: int, iterations: int) -> dict:
    """What `comet-edge bench --json` says, of ONNX Runtime."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    shape = [side if isinstance(side, int) else 1 for side in image.shape]
    feed = {image.name: np.random.default_rng(1).standard_normal(shape, dtype=np.float32)}
    samples = []
    for index in range(WARM_UP + iterations):
        began = time.perf_counter()
        session.run(None, feed)
        if index >= WARM_UP:
            samples.append(1000 * (time.perf_counter() - began))
    median = quantile(samples, 0.5)
    return {"median_ms": median, "p95_ms": quantile(samples, 0.95), "n": iterations, "threads": threads,
            "engine": f"onnxruntime {ort.__version__}", "kernel": "onnxruntime", "stages": {"inference": median},
            "samples_ms": samples}


if __name__ == "__main__":
    print(json.dumps(onnxruntime_block(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
