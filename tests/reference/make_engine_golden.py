"""What ONNX Runtime predicts for the shipped models: the values that comet-edge's engine is held to.

For every model in MODELS and the first images of its calibration set (which have the model's size, so
nothing is resized), stores the logits and every 16th value of the map. Writes tests/golden/engine.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def manifest_of(model):
    entries = {entry.key: entry.value for entry in model.metadata_props}
    return json.loads(entries["comet.manifest"])


def tensor_of(path, preprocess):
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / np.float32(255)
    assert pixels.shape[:2] == (preprocess["height"], preprocess["width"]), path
    mean = np.array(preprocess["mean"], dtype=np.float32)
    std = np.array(preprocess["std"], dtype=np.float32)
    return ((pixels - mean) / std).transpose(2, 0, 1)[None]


def predictions(path, images, stride):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    manifest = manifest_of(model)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    folder = ROOT / "calib" / manifest["name"] / "images"
    index = json.loads((folder.parent / "reference.json").read_text())
    chosen = index["images"][:: max(1, len(index["images"]) // images)][:images]
    cases = []
    for entry in chosen:
        feed = {"image": tensor_of(folder / entry["file"], manifest["preprocess"])}
        mask, logits = session.run(["mask", "logits"], feed)
        cases.append({
            "file": f"calib/{manifest['name']}/images/{entry['file']}",
            "logits": [round(float(v), 6) for v in logits[0]],
            "mask": [round(float(v), 6) for v in mask.ravel()[::stride]],
        })
    return {"model": f"models/{path.name}", "cases": cases}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--images", type=int, default=8, help="images a model")
    parser.add_argument("--stride", type=int, default=16, help="every n-th map value is stored")
    parser.add_argument("--out", type=Path, default=ROOT / "tests/golden/engine.json")
    args = parser.parse_args()
    models = [predictions(path, args.images, args.stride) for path in sorted(args.models.glob("*.onnx"))]
    golden = {"onnxruntime": onnxruntime.__version__, "stride": args.stride, "models": models}
    args.out.write_text(json.dumps(golden) + "\n")
    print(f"{args.out.relative_to(ROOT)}: {len(models)} models, {sum(len(m['cases']) for m in models)} images")


if __name__ == "__main__":
    main()
