"""What robust training costs: in passes, at a matched time, and on one GPU to 40 % under PGD-20.

    python benchmarks/training.py --out passes.json
    python benchmarks/training.py --matched --out matched.json [--data mnist --data-root FOLDER]
    python benchmarks/training.py --gpu --data-root FOLDER --out gpu.json [--seconds 360]

The first measures each objective's step beside its passes run bare, on digits enlarged to 32×32×3;
see training_passes.py. The second trains each for the same time; see training_matched.py. The
third does the first on the device, in bfloat16 and channels_last, and then trains until 40 % of
1,000 test images resist PGD-20 at 8/255; see training_race.py. `--device cpu` tries it without one:

    python benchmarks/training.py --gpu --device cpu --model resnet20 --data digits --limit 256 \\
        --test 64 --batch 32 --rounds 1 --epochs 2

One process, one thread on a CPU (set OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import training_matched
import training_passes
from training_bare import Subject
from training_matched import Matched
from training_race import Race, race

from saddlepoint.data import TensorData, load_data
from saddlepoint.files import write_json

# The network of each data set, its widths, and the budget that is trained for.
MATCHED = {
    "digits": ("simple-cnn", (16, 32, 64), 32 / 255),
    "mnist": ("simple-cnn", (16, 32, 64), 0.3),
}
NATURAL = ("resnet20", (), 8 / 255)


def main() -> None:
    args = _parsed()
    device = torch.device(args.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    about = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    found: dict[str, Any] = {"about": about}
    keep = functools.partial(_keep, args.out, found)
    if args.matched:
        _match(args, device, keep)
        return
    bf16 = args.gpu
    model = args.model or ("preactresnet18" if args.gpu else "resnet56")
    size = args.batch or (512 if args.gpu else 16)
    print(f"\n{model}, batches of {size}{', bfloat16, channels_last' if bf16 else ''}")
    subject = Subject.of(model, size, device, bf16=bf16, last=bf16)
    passes = training_passes.measure(subject, args.rounds)
    training_passes.tell(passes)
    keep("passes", {"model": model, **passes})
    if args.gpu:
        del subject
        _race(args, model, size, device, keep)


def _match(args: argparse.Namespace, device: torch.device, keep: Callable[..., None]) -> None:
    data = args.data or "digits"
    model, widths, eps = MATCHED.get(data, NATURAL)
    matched = Matched(
        model=args.model or model,
        eps=eps,
        seconds=args.seconds or 8.0,
        widths=() if args.model else widths,
        seeds=args.seeds,
        batch=args.batch or 64,
        rate=args.rate,
        augmentation="none" if data in MATCHED else "crop-flip",
    )
    train, test = _data(args, data, device, args.test or 1000)
    print(f"\n{matched}\n{len(train)} training and {len(test)} test images")
    found = training_matched.compare(matched, train, test, lambda f: keep("matched", f))
    training_matched.tell(found)


def _race(
    args: argparse.Namespace, model: str, size: int, device: torch.device, keep: Callable[..., None]
) -> None:
    train, test = _data(args, args.data or "cifar10-jpeg", device, args.test or 1000)
    matched = Matched(
        model=model,
        eps=8 / 255,
        seconds=args.seconds or 360.0,
        batch=size,
        rate=args.rate,
        augmentation="crop-flip",
    )
    settings = Race(matched, epochs=args.epochs, bf16=True)
    say = functools.partial(print, flush=True)
    race(settings, train, test, lambda found: keep("race", found), say)


def _data(
    args: argparse.Namespace, name: str, device: torch.device, test: int
) -> tuple[TensorData, TensorData]:
    found = []
    for split, limit in (("train", args.limit), ("test", test)):
        part = load_data(name, split=split, data_root=args.data_root, limit=limit)
        assert isinstance(part, TensorData)  # what is named fits in memory
        found.append(part.to(device))
    return found[0], found[1]


def _keep(out: Path | None, found: dict[str, Any], part: str, value: Mapping[str, Any]) -> None:
    found[part] = value
    if out is not None:
        write_json(out, found)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matched", action="store_true", help="accuracy at a matched time")
    parser.add_argument("--gpu", action="store_true", help="the passes in bf16, then the race")
    parser.add_argument("--device", help="default: cuda with --gpu, else cpu")
    parser.add_argument("--model", help="of the zoo")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=6, help="of the passes")
    parser.add_argument("--data", help="digits, mnist, cifar10-jpeg …")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--limit", type=int, help="training images")
    parser.add_argument("--test", type=int, help="test images; default 1000 or all")
    parser.add_argument("--seconds", type=float, help="of each training; with --gpu of all races")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15, help="of each race")
    parser.add_argument("--rate", type=float, default=0.1, help="peak learning rate of PGD")
    parser.add_argument("--out", type=Path, help="a JSON file")
    args = parser.parse_args()
    args.device = args.device or ("cuda" if args.gpu else "cpu")
    return args


if __name__ == "__main__":
    main()
