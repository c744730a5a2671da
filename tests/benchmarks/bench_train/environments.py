"""One virtual environment a peer, so that nobody's requirements bend another's."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# A plain `torch` may pull gigabytes of CUDA, and a peer that asks for "some torch" must not replace the one here.
_TORCH = ("torch==2.13.0", "torchvision==0.28.0")


@dataclass(frozen=True)
class Peer:
    """What a user would install instead.

    Args:
        packages: given to pip.
        shown: distributions whose versions belong into the table.
        variables: set in the peer's environment: what it is documented to need, and nothing asked of the network.
        note: what the table has to say beside its name.
    """

    packages: tuple[str, ...]
    shown: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    note: str = ""


PEERS = {
    "plain": Peer(_TORCH, ("torch", "torchvision")),
    "fastai": Peer((*_TORCH, "fastai"), ("fastai", "torch")),
    "lightning": Peer((*_TORCH, "lightning"), ("lightning", "torch")),
    "skorch": Peer((*_TORCH, "skorch"), ("skorch", "torch")),
    "keras": Peer((*_TORCH, "keras"), ("keras", "torch"), {"KERAS_BACKEND": "torch"}),
    "ultralytics": Peer((*_TORCH, "ultralytics"), ("ultralytics", "torch"), {"YOLO_OFFLINE": "true"}),
    "aucmedi": Peer(
        ("aucmedi",),
        ("aucmedi", "tensorflow", "keras"),
        {"NO_ALBUMENTATIONS_UPDATE": "1"},
        note="its 2D.Vanilla, another network",
    ),
}


def python_of(envs: Path, name: str) -> Path:
    return envs / name / "bin" / "python"


def prepare(envs: Path, name: str) -> str | None:
    """Make the environment of a peer with pip, and return what pip said when it failed."""
    peer, folder = PEERS[name], envs / name
    envs.mkdir(parents=True, exist_ok=True)
    constraints = envs / "constraints.txt"
    constraints.write_text("\n".join(_TORCH) + "\n")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(python_of(envs, name)), "-m", "pip", "install", "--quiet", "--constraint", str(constraints)]
    # torch goes first: what asks for it next finds it there.
    for packages in (peer.packages[:1], peer.packages):
        done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip()
    return None


def versions(envs: Path, name: str) -> dict[str, str]:
    """Return the versions of what the peer is made of, as its environment tells them."""
    return versions_in(python_of(envs, name), PEERS[name].shown)


def versions_in(python: Path, distributions: tuple[str, ...]) -> dict[str, str]:
    asks = "import json, sys; from importlib.metadata import version; "
    asks += "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    done = subprocess.run([python, "-c", asks, *distributions], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
