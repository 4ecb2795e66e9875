"""What a service's image adds to its base, computed without a container engine: `python -m benchmarks.image_size`.

The installed files of each package that the image's requirements name, as they are in this environment, and what pip
compiles of them. Another version of Python has other wheels, so the figure is right to a few MB.
"""

import importlib.metadata
import marshal
import re
import sys
import warnings
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
# What is installed beside a service's own requirements (services/Dockerfile).
ADDED: Final = {"stt_api": ("moonshine",)}
SERVICES: Final = ("ws_proxy", "http_proxy", "frontend", "sqs_updater", "backend", "stt_api")
_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


def required(text: str) -> list[str]:
    """The packages that a file of requirements names; one may be named for each of several versions of Python."""
    return list(dict.fromkeys(_REQUIREMENT.findall(text)))


def installed_bytes(package: str) -> int:
    """Bytes of a package's files, and of its sources compiled; 0 if it is not installed (another system's)."""
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return 0
    paths = [Path(str(found.locate_file(name))) for name in found.files or ()]
    return sum(_bytes(path) for path in paths if path.suffix != ".pyc" and path.is_file())


def _bytes(path: Path) -> int:
    size = path.stat().st_size
    return size + compiled_bytes(path) if path.suffix == ".py" else size


def compiled_bytes(path: Path) -> int:
    """Bytes of a source's .pyc; 0 for one that does not compile."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return 16 + len(marshal.dumps(compile(path.read_bytes(), str(path), "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return 0


def code_bytes(service: str) -> int:
    """Bytes of the service's own code and what services share, compiled too."""
    folders = (ROOT / "services" / "aldea", ROOT / "services" / service, ROOT / "onebox" / "samples")
    paths = (path for folder in folders for path in folder.rglob("*") if path.suffix != ".pyc" and path.is_file())
    return sum(_bytes(path) for path in paths)


def main() -> None:
    """Print megabytes (10⁶ bytes) for the services that are named, or for all."""
    for service in sys.argv[1:] or SERVICES:
        parts = {
            name: sum(map(installed_bytes, required((ROOT / "requirements" / f"{name}.txt").read_text())))
            for name in (service, *ADDED.get(service, ()))
        }
        parts["code"] = code_bytes(service)
        shown = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in parts.items())
        print(f"{service}: {sum(parts.values()) / 1e6:.0f} MB ({shown})")


if __name__ == "__main__":
    main()
