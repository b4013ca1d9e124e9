"""A plain PyTorch COMET: what the Rust trainer's results and speed are measured against.

Data: DATA/images/<split>/<class>/*, DATA/masks/<split>/<class>/*.png (white = the object), splits
`train` and `val`, and a folder of scenes. Each image is cut out by its mask and pasted on a random
crop of a random scene: with `--scale-of image` the whole image's longer side becomes 0.45 to 0.85
of the frame's side, with `--scale-of cutout` that of the mask's bounding box does (larger objects, more
so the emptier the images are). It lands anywhere inside the frame and is flipped half of the time.
The validation images are pasted once, from a fixed seed, on the same scenes.

First a plain ResNet-18 (the detector) is trained on full images and frozen in eval mode. Then
selector S and predictor f_P are trained together:

    L_P = CE(f_P(x * S), y)    L_D = CE(f_D(x * (1 - S)), y)    R = mean_i max(mean(S_i) - t, 0)
    selector:  L_P + alpha * max(L_P - L_D + gap, 0) + beta * R        predictor:  L_P

Progress goes to standard output, one JSON object a line.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import metrics
from networks import PRESETS, resnet, selector, set_bn_momentum

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


# ---------------------------------------------------------------- data

def load_split(root, split, longest, to_box=False):
    """All images of a split as RGBA (alpha = the mask), longer side at most `longest`, and labels.

    `to_box` crops each to its mask's bounding box first (where the mask is not empty).
    """
    classes = sorted(p.name for p in (root / "images" / "train").iterdir() if p.is_dir())
    images, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((root / "images" / split / name).iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            mask = root / "masks" / split / name / (path.stem + ".png")
            image = Image.open(path).convert("RGB")
            alpha = Image.open(mask).convert("L") if mask.exists() else Image.new("L", image.size, 0)
            if to_box and (box := alpha.point(lambda v: 255 * (v >= 128)).getbbox()):
                image, alpha = image.crop(box), alpha.crop(box)
            scale = min(1.0, longest / max(image.size))
            size = tuple(max(1, round(v * scale)) for v in image.size)
            # Resized apart, so that the surroundings stay intact for the images that are not pasted.
            image = image.resize(size, Image.Resampling.BILINEAR)
            alpha = alpha.resize(size, Image.Resampling.BILINEAR)
            image.putalpha(alpha)
            images.append(image)
            labels.append(label)
    return images, np.array(labels), classes


def load_scenes(folder):
    return [Image.open(p).convert("RGB") for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES]


def scene_crop(scenes, size, rng):
    scene = scenes[rng.integers(len(scenes))]
    side = int(min(scene.size) * rng.uniform(0.5, 1.0))
    x, y = (int(rng.integers(v - side + 1)) for v in scene.size)
    return scene.resize((size, size), Image.Resampling.BILINEAR, box=(x, y, x + side, y + side))


def paste(image, scenes, size, rng):
    """One frame (uint8 [size,size,3]) and its true mask (bool [size,size])."""
    frame = scene_crop(scenes, size, rng)
    longest = rng.uniform(0.45, 0.85) * size
    width, height = (max(1, round(v * longest / max(image.size))) for v in image.size)
    cutout = image.resize((width, height), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    place = (int(rng.integers(size - width + 1)), int(rng.integers(size - height + 1)))
    alpha = cutout.getchannel("A")
    frame.paste(cutout.convert("RGB"), place, alpha)
    mask = Image.new("L", (size, size), 0)
    mask.paste(alpha, place)
    return np.asarray(frame), np.asarray(mask) >= 128


def whole(image, size):
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)[..., :3], np.asarray(image.getchannel("A")) >= 128


def frames(images, scenes, size, share, rng):
    """Frames and masks of all images; `share` of them are pasted on scenes."""
    made = [paste(p, scenes, size, rng) if scenes and rng.random() < share else whole(p, size) for p in images]
    x = torch.from_numpy(np.stack([m[0] for m in made])).permute(0, 3, 1, 2).float() / 255.0
    return x, np.stack([m[1] for m in made])


def augment(x, mean, std, rng):
    """Colour jitter, flip, rotation by up to 15 degrees, a shift of up to 1/16; outside is the mean."""
    n, size = x.shape[0], x.shape[-1]
    uniform = lambda low, high: torch.from_numpy(rng.uniform(low, high, n)).float()
    grey = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - grey) * uniform(0.85, 1.15).view(n, 1, 1, 1) + grey * uniform(0.85, 1.15).view(n, 1, 1, 1)
    x = (x.clamp(0, 1) - mean) / std
    angle = uniform(-15, 15) * (torch.pi / 180)
    flip = torch.from_numpy(rng.choice([-1.0, 1.0], n)).float()
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = flip * angle.cos(), -flip * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = angle.sin(), angle.cos()
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-0.125, 0.125), uniform(-0.125, 0.125)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def batches(x, y, size, rng):
    """Shuffled batches; the incomplete last one is left out."""
    order = torch.from_numpy(rng.permutation(len(x)))
    for start in range(0, len(x) - size + 1, size):
        pick = order[start:start + size]
        yield x[pick], y[pick]


# ---------------------------------------------------------------- losses

def comet_losses(f_s, f_p, f_d, x, y, alpha, beta, target_area, gap):
    """(total, L_P, L_D, R, whether the hinge is active); all but the last are tensors."""
    s = f_s(x)
    l_p = F.cross_entropy(f_p(x * s), y)
    l_d = F.cross_entropy(f_d(x * (1 - s)), y)
    r = (s.mean(dim=(1, 2, 3)) - target_area).clamp(min=0).mean()
    hinge = l_p - l_d + gap
    return l_p + alpha * hinge.clamp(min=0) + beta * r, l_p, l_d, r, bool(hinge.detach() > 0)


def comet_backward(f_s, f_p, f_d, x, y, alpha, beta, target_area, gap):
    """Fills .grad of the selector (total loss) and of the predictor (L_P only).

    One backward pass does for both: the total's gradient in the predictor's parameters is that of
    (1 + alpha) * L_P while the hinge is active and that of L_P while it is not.
    """
    total, l_p, l_d, r, active = comet_losses(f_s, f_p, f_d, x, y, alpha, beta, target_area, gap)
    total.backward()
    if active and alpha:
        for p in f_p.parameters():
            p.grad /= 1 + alpha
    return l_p.item(), l_d.item(), r.item()


# ---------------------------------------------------------------- evaluation

def accuracy(logits, y):
    return 100.0 * (logits.argmax(1) == y).float().mean().item()


@torch.no_grad()
def logits_of(net, x, batch=64):
    return torch.cat([net(part) for part in x.split(batch)])


@torch.no_grad()
def evaluate(f_s, f_p, x, y, masks, fidelity):
    f_s.eval(), f_p.eval()
    s = logits_of(f_s, x)
    maps = s[:, 0].double().numpy()
    result = {
        "accuracy": accuracy(logits_of(f_p, x * s), y),
        "pxap": metrics.pxap(maps, masks),
        "pxap1000": metrics.pxap(maps, masks, metrics.THRESHOLDS_1000),
        "iou50": metrics.mean_iou(maps, masks, 0.5),
        "auc_iou": metrics.auc_iou(maps, masks, 0.9),
        "area": 100.0 * float(maps.mean()),
        "true_area": 100.0 * float(masks.mean()),
    }
    if fidelity:
        for k in (5, 10, 20):
            # Per image: the pixels at or above the (1 - k%) quantile of the map become the mean (0).
            limit = torch.quantile(s.flatten(1), 1 - k / 100, dim=1).view(-1, 1, 1, 1)
            keep = (s < limit).float()
            # What the predictor saw (x * S) less those pixels, and the image itself less those pixels.
            result[f"fidelity{k}"] = accuracy(logits_of(f_p, x * s * keep), y)
            result[f"fidelity{k}_image"] = accuracy(logits_of(f_p, x * keep), y)
    return result


# ---------------------------------------------------------------- training

def say(**fields):
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in fields.items()}), flush=True)


def write_whole(path, write):
    """Writes beside the target and renames, so that a kill leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    write(temporary)
    os.replace(temporary, path)


def one_cycle(parameters, args, steps):
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=args.weight_decay)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=steps)


def arguments():
    p = argparse.ArgumentParser(description="Plain PyTorch COMET on a folder of images with masks.")
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--scenes", type=Path, help="folder of backgrounds; without it nothing is pasted")
    p.add_argument("--paste", type=float, default=1.0, help="share of the training images that is pasted")
    p.add_argument("--scale-of", choices=("image", "cutout"), default="cutout",
                   help="what is scaled to 0.45-0.85 of the frame; cutout needs --paste 1")
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--detector-epochs", type=int, default=8)
    p.add_argument("--epochs", type=int, default=14)
    p.add_argument("--lr", type=float, default=1e-3, help="peak of the one-cycle schedule")
    p.add_argument("--weight-decay", type=float, default=0.03)
    p.add_argument("--alpha", type=float, default=4.0)
    p.add_argument("--beta", type=float, default=100.0)
    p.add_argument("--target-area", type=float, default=0.3)
    p.add_argument("--gap", type=float, default=2.0)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--preset", choices=PRESETS, default="full")
    p.add_argument("--width", type=int, default=64, help="first channel count of the two ResNet-18")
    p.add_argument("--bn-momentum", type=float, default=0.1, help="BatchNorm momentum of the selector")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--evaluate-every", type=int, default=1, metavar="EPOCHS")
    p.add_argument("--limit", type=int, help="use only this many images a split (to try the script)")
    p.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt where there is one")
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args()
    if args.scale_of == "cutout" and (args.paste < 1 or not args.scenes):
        p.error("--scale-of cutout loads only the cut-outs: it needs --scenes and --paste 1")
    return args


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    stream = lambda *key: np.random.default_rng([args.seed, *key])

    scenes = load_scenes(args.scenes) if args.scenes else []
    train, train_y, classes = load_split(args.data, "train", 2 * args.size, args.scale_of == "cutout")
    val, val_y, _ = load_split(args.data, "val", 2 * args.size, args.scale_of == "cutout")
    if args.limit:
        pick = lambda n: stream(9).permutation(n)[:args.limit]
        train, train_y = [train[i] for i in pick(len(train))], train_y[pick(len(train_y))]
        val, val_y = [val[i] for i in pick(len(val))], val_y[pick(len(val_y))]
    train_y, val_y = torch.from_numpy(train_y), torch.from_numpy(val_y)

    sample, _ = frames(train, scenes, args.size, args.paste, stream(0))
    mean, std = sample.mean(dim=(0, 2, 3)).view(1, 3, 1, 1), sample.std(dim=(0, 2, 3)).view(1, 3, 1, 1)
    del sample
    val_x, val_masks = frames(val, scenes, args.size, args.paste, stream(1))
    val_x = (val_x - mean) / std
    say(train=len(train), val=len(val), scenes=len(scenes), classes=classes,
        mean=[round(v, 5) for v in mean.flatten().tolist()], std=[round(v, 5) for v in std.flatten().tolist()])

    f_d = resnet(len(classes), args.width)
    f_p = resnet(len(classes), args.width)
    f_s = set_bn_momentum(selector(args.preset), args.bn_momentum)
    steps = len(train) // args.batch
    optim_d, schedule_d = one_cycle(f_d.parameters(), args, max(1, steps * args.detector_epochs))
    optim, schedule = one_cycle([*f_s.parameters(), *f_p.parameters()], args, max(1, steps * args.epochs))

    kept = {"detector": f_d, "predictor": f_p, "selector": f_s, "optim_d": optim_d, "schedule_d": schedule_d,
            "optim": optim, "schedule": schedule}
    checkpoint = args.out / "checkpoint.pt"
    done_d, done, history, detector_accuracy = 0, 0, [], None
    if args.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, thing in kept.items():
            thing.load_state_dict(state[name])
        done_d, done, history = state["done_d"], state["done"], state["history"]
        detector_accuracy = state["detector_accuracy"]
        say(resumed=True, detector_epochs=done_d, epochs=done)

    def save():
        state = {name: thing.state_dict() for name, thing in kept.items()}
        state.update(done_d=done_d, done=done, history=history, detector_accuracy=detector_accuracy)
        write_whole(checkpoint, lambda path: torch.save(state, path))
        last = history[-1] if history else {}
        options = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
        report = {"options": options, "classes": classes, "mean": mean.flatten().tolist(),
                  "std": std.flatten().tolist(), "detector_accuracy": detector_accuracy, "last": last,
                  "history": history}
        write_whole(args.out / "metrics.json", lambda path: path.write_text(json.dumps(report, indent=1)))

    def epoch_of_batches(phase, epoch):
        rng = stream(phase, epoch)
        x, _ = frames(train, scenes, args.size, args.paste, rng)
        for part, y in batches(x, train_y, args.batch, rng):
            yield augment(part, mean, std, rng), y

    while done_d < args.detector_epochs:
        began, losses = time.perf_counter(), []
        f_d.train()
        for x, y in epoch_of_batches(2, done_d):
            optim_d.zero_grad()
            loss = F.cross_entropy(f_d(x), y)
            loss.backward()
            optim_d.step()
            schedule_d.step()
            losses.append(loss.item())
        seconds = time.perf_counter() - began
        done_d += 1
        f_d.eval()
        detector_accuracy = accuracy(logits_of(f_d, val_x), val_y)
        say(phase="detector", epoch=done_d, seconds=seconds, images_per_second=steps * args.batch / seconds,
            loss=float(np.mean(losses)), accuracy=detector_accuracy)
        save()

    f_d.eval().requires_grad_(False)
    while done < args.epochs:
        began, losses = time.perf_counter(), []
        f_s.train(), f_p.train()
        for x, y in epoch_of_batches(3, done):
            optim.zero_grad()
            losses.append(comet_backward(f_s, f_p, f_d, x, y, args.alpha, args.beta, args.target_area, args.gap))
            optim.step()
            schedule.step()
        seconds = time.perf_counter() - began
        done += 1
        last = done == args.epochs
        if last or done % args.evaluate_every == 0:
            l_p, l_d, r = np.mean(losses, axis=0).tolist()
            row = {"phase": "comet", "epoch": done, "seconds": seconds,
                   "images_per_second": steps * args.batch / seconds, "loss_p": l_p, "loss_d": l_d, "r": r,
                   **evaluate(f_s, f_p, val_x, val_y, val_masks, fidelity=last)}
            history.append(row)
            say(**row)
        save()


if __name__ == "__main__":
    main()
