"""Which engine and model recognise speech here, as the serving process chooses, names and reports them."""

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aldea.speech_model import uuid_of

MOONSHINE: Final = "moonshine"
POCKETSPHINX: Final = "pocketsphinx"
ENGINES: Final = (MOONSHINE, POCKETSPHINX)
# The package of each engine, and the model that comes with it.
_PACKAGES: Final = {MOONSHINE: "moonshine_voice", POCKETSPHINX: "pocketsphinx"}
_OWN_MODELS: Final = {MOONSHINE: "moonshine-tiny-en", POCKETSPHINX: "pocketsphinx-en-us"}
# What a model's folder must hold, for each engine (glob patterns).
_FILES: Final = {
    MOONSHINE: ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"),
    POCKETSPHINX: ("*/mdef", "*.lm.bin", "*.dict"),
}
# A model's shape is a number of the library's interface, which the name of its folder says (tiny-en, base-en).
MOONSHINE_SHAPES: Final = {"tiny": 0, "base": 1}


@dataclass(frozen=True, slots=True)
class Model:
    """An engine and the model that it uses. `folder`: the user's own model, None for the engine's own."""

    engine: str
    name: str
    version: str
    folder: str | None = None

    @property
    def uuid(self) -> str:
        """The same for the same model everywhere."""
        return uuid_of(self.engine, self.name, self.version)

    @property
    def info(self) -> dict[str, Any]:
        """As the wire names it (`model_info`)."""
        return {"name": self.name, "version": self.version, "arch": self.engine}


def package_folder(engine: str) -> Path | None:
    """Where the engine's package is installed; None if it is not."""
    spec = importlib.util.find_spec(_PACKAGES[engine])
    folders = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(folders))) if folders else None


def chosen(engine: str | None = None, folder: Path | None = None) -> Model:
    """The model for these settings: None for the best engine that is installed, and for its own model.

    Raises ValueError with a text for the operator.
    """
    if engine is None:
        engine = MOONSHINE if package_folder(MOONSHINE) is not None else POCKETSPHINX
    elif package_folder(engine) is None:
        raise ValueError(
            f"STT_ENGINE={engine}, and its package is not installed: `make setup` installs it on Linux with glibc 2.34 "
            f"or later, x86-64 or aarch64; elsewhere set STT_ENGINE={POCKETSPHINX} or leave it out"
        )
    version = importlib.metadata.version(_PACKAGES[engine])
    if folder is None:
        return Model(engine, _OWN_MODELS[engine], version)
    missing = [pattern for pattern in _FILES[engine] if not any(folder.glob(pattern))]
    if missing:
        raise ValueError(f"STT_MODEL_PATH={folder} holds no {engine} model: {', '.join(missing)} not found in it")
    if engine == MOONSHINE and shape(folder) is None:
        raise ValueError(
            f"STT_MODEL_PATH={folder}: the folder's name must begin with the model's shape, "
            f"{' or '.join(MOONSHINE_SHAPES)}, as in tiny-en"
        )
    return Model(engine, f"{engine}-{folder.name}", version, str(folder))


def shape(folder: Path) -> int | None:
    """The number of a Moonshine model's shape; None if the folder's name does not say it."""
    first, _, rest = folder.name.lower().partition("-")
    return None if rest.startswith("streaming") else MOONSHINE_SHAPES.get(first)
