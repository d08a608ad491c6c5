"""Strict reading of TOML files into pydantic models, with a message for each problem."""

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from .suggest import unknown

ALTERNATIVES = {  # pydantic's name for a member of a union -> the name in our messages
    "int": "a whole number", "literal['all']": "'all'", "list[int]": "a list of whole numbers",
    "float": "a number", "list[float]": "a list of numbers", "str": "a name",
    "list[str]": "a list of names",
}  # fmt: skip
WANTED = {  # pydantic's name for a problem -> the values that are allowed
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "string_type": "text", "string_too_short": "text that is not empty",
    "bool_type": "true or false", "list_type": "a list", "dict_type": "a table",
    "model_type": "a table", "finite_number": "finite",
    "greater_than": "more than {gt:g}", "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}", "less_than_equal": "{le:g} or less",
}  # fmt: skip
TABLE = ""  # tag of the table in a union of a table and another value; no part of a message


class Section(BaseModel):
    """A part of a TOML file; unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def allowed_keys(cls) -> set[str]:
        """Return the keys that the section may have."""
        return set(cls.model_fields)


S = TypeVar("S", bound=BaseModel)


def read_toml(path: Path, model: type[S], error: type[Exception]) -> S:
    """Read a TOML file.

    Raises:
        FileNotFoundError: The file does not exist.
        error: It is not TOML, or the model refuses it; the message lists every problem.
    """
    if path.exists() and not path.is_file():  # a FIFO would block
        raise error(f"{path} is not a file; give a TOML file")
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, IsADirectoryError) as problem:
        raise error(f"{path} is not a TOML file: {problem}") from None
    return parse(data, model, error, str(path))


def has_keys(path: Path, keys: Collection[str]) -> bool:
    """Return whether a TOML file has one of these keys; False for a file that cannot be read."""
    try:
        return not tomllib.loads(path.read_text("utf-8")).keys().isdisjoint(keys)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
        return False


def parse(data: Any, model: type[S], error: type[Exception], where: str) -> S:
    """Check values against a model; `where` names their file in messages.

    Raises:
        error: The model refuses them; the message lists every problem.
    """
    try:
        return model.model_validate(data)
    except ValidationError as refused:
        lines = _describe_all(model, refused.errors())
        raise error("\n".join(f"{where}: {line}" for line in lines)) from None


def _describe_all(model: type[BaseModel], problems: list[Any]) -> list[str]:
    """Return a line for each problem, one for all members of a union together."""
    lines, unions = [], dict[str, tuple[list[str], Any]]()
    for problem in problems:
        where = [str(part) for part in problem["loc"] if part != TABLE]
        tags = [index for index, part in enumerate(where) if part in ALTERNATIVES]
        if tags:
            place = ".".join(where[: tags[0]])
            unions.setdefault(place, ([], problem["input"]))[0].append(where[tags[0]])
        else:
            lines.append(f"{'.'.join(where)}{_describe(model, where, problem)}")
    for place, (tags, found) in unions.items():
        allowed = " or ".join(dict.fromkeys(ALTERNATIVES[tag] for tag in tags))
        lines.append(f"{place} must be {allowed}, got {found!r}")
    return lines


def _describe(model: type[BaseModel], where: list[str], problem: Any) -> str:
    """Return what is wrong with a value, to be read after its name."""
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        section = _section(model, where[:-1])
        keys = section.allowed_keys() if issubclass(section, Section) else section.model_fields
        return ": " + unknown("key", where[-1], keys)
    if kind == "missing":
        return " is missing"
    if kind == "value_error":
        given = "" if isinstance(value, dict) else f", got {value!r}"
        return f": {problem['ctx']['error']}{given}"
    if kind == "literal_error":
        if not isinstance(value, str):
            return f" must be {problem['ctx']['expected']}, got {value!r}"
        field = _section(model, where[:-1]).model_fields[where[-1]]
        return ": " + unknown("value", value, map(str, get_args(field.annotation)))
    if kind == "string_pattern_mismatch":
        field = _section(model, where[:-1]).model_fields[where[-1]]
        return f" must be {field.description}, got {value!r}"
    wanted = WANTED.get(kind, "another value").format(**problem.get("ctx", {}))
    return f" must be {wanted}, got {value!r}"


def _section(model: type[BaseModel], where: list[str]) -> type[BaseModel]:
    """Return the section that a path of keys, names and list indices leads to."""
    for part in where:
        if part in model.model_fields:
            inner = _sections(model.model_fields[part].annotation)
            model = inner[0] if inner else model
    return model


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """Return the sections in an annotation such as `dict[str, ProtocolEntry]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _sections(part)]
