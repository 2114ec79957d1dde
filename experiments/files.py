"""YAML files of people, read so that every complaint names file, line and field."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from allotrope.exceptions import InputError
from allotrope.support.complaints import complaints, dotted

LARGEST_BYTES = 200_000
DEEPEST = 32

Model = TypeVar("Model", bound=BaseModel)
Path_ = tuple[str | int, ...]


class Document:
    """A parsed YAML mapping that knows the line of each of its fields.

    Args:
        name: What to call it in complaints, usually its path.
        text: The YAML.

    Raises:
        InputError: It is too large, no YAML, or no mapping; or it has aliases or doubled keys.
    """

    def __init__(self, *, name: str, text: str) -> None:
        self.name = name
        self.lines: dict[Path_, int] = {(): 1}
        if len(text) > LARGEST_BYTES:
            raise InputError(
                f"{name} has {len(text):,} characters; at most {LARGEST_BYTES:,} are read."
            )
        try:
            depth = 0
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                line = event.start_mark.line + 1 if event.start_mark else 1
                if isinstance(event, yaml.AliasEvent):
                    raise self._at(line, "aliases (*name) aren't supported")
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                if depth > DEEPEST:  # PyYAML's time grows with the square of the depth
                    raise self._at(line, "it is nested too deeply")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if not isinstance(node, yaml.MappingNode):
                raise self._at(1, "a mapping of fields is expected")
            self._walk(node, ())
            self.data: dict[str, Any] = yaml.safe_load(text)
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            raise self._at(mark.line + 1 if mark else 1, f"no YAML: {exc.problem}") from exc
        except yaml.YAMLError as exc:
            raise self._at(1, f"no YAML: {exc}") from exc
        except ValueError as exc:  # a date like 2026-99-99
            if isinstance(exc, InputError):
                raise
            raise self._at(1, f"no YAML: {exc}") from exc

    def _walk(self, node: yaml.Node, path: Path_) -> None:
        self.lines.setdefault(path, node.start_mark.line + 1 if node.start_mark else 1)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                name = str(key.value)
                line = key.start_mark.line + 1 if key.start_mark else 1
                if name in seen:
                    raise self._at(line, "it stands there twice", (*path, name))
                seen.add(name)
                self.lines[(*path, name)] = line
                self._walk(value, (*path, name))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._walk(value, (*path, index))

    def error(self, message: str, *path: str | int) -> InputError:
        """A complaint about a field.

        Args:
            message: What is wrong, without the place.
            path: The field, from the top; where it isn't there, its nearest parent's line counts.
        """
        line = next(
            self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines
        )
        return self._at(line, message, path)

    def _at(self, line: int, message: str, path: Sequence[str | int] = ()) -> InputError:
        where = f"{self.name}:{line}"
        field = dotted(path)
        return InputError(f"{where}: {field}: {message}." if field else f"{where}: {message}.")

    def parse(self, model: type[Model]) -> Model:
        """The document as `model`.

        Raises:
            InputError: One sentence for each field that is wrong, each with its line.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as exc:
            raise InputError("\n".join(self._sentences(exc))) from exc

    def _sentences(self, exc: ValidationError) -> list[str]:
        sentences = []
        for one in complaints(exc):
            sentences.append(str(self.error(one.message, *self._known(one.path))))
        return sentences

    def _known(self, loc: Sequence[str | int]) -> Path_:
        """Drops what pydantic puts in between (tags of unions), keeps a missing last field."""
        path: Path_ = ()
        for index, part in enumerate(loc):
            if (*path, part) in self.lines or index == len(loc) - 1:
                path = (*path, part)
        return path


def read_text(path: Path, *, what: str) -> str:
    """Reads a UTF-8 file.

    Args:
        path: The file.
        what: What it should be, for the complaint.

    Raises:
        InputError: It isn't there, can't be read or isn't UTF-8.
    """
    try:
        if path.stat().st_size > 250 * LARGEST_BYTES:
            raise InputError(f"{path} is larger than 50 MB; that is no {what}.")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InputError(f"{path} is not UTF-8 (byte {exc.start}); save it as UTF-8.") from exc
    except FileNotFoundError as exc:
        raise InputError(f"There is no {what} at {path}.") from exc
    except OSError as exc:
        raise InputError(f"The {what} {path} can't be read: {exc.strerror}.") from exc
