"""The recipe of a method at each point of a grid's sweep."""

from dataclasses import fields, replace
from math import isfinite
from typing import Any

from ...methods._registry import own_names
from ..identity import CHOICES, RECIPES, SOURCE, Recipe
from ..method_facts.method_info import MethodInfo, inspect_method
from ..suggest import unknown
from .schema import GridError, MethodEntry, PretrainSection


def recipe_of(
    pretrain: PretrainSection, axes: dict[str, Any], entry: MethodEntry, info: MethodInfo
) -> Recipe:
    """Return the recipe of a method at one point of the sweep.

    Fields of the method's entry replace those under [pretrain], and these those of every recipe. If
    they change the epochs of a source recipe, its warm-up keeps its share of the epochs.

    Raises:
        GridError: The method has no recipe of that name.
        ValueError: A field has a wrong type, or the recipe is impossible.
    """
    base = _named_recipe(entry.recipe or pretrain.recipe, info)
    given = pretrain.overrides | axes | entry.overrides
    values = {
        field.name: _value(field.name, given[field.name])
        for field in fields(Recipe)
        if field.name in given
    }
    if (entry.recipe or pretrain.recipe) == SOURCE and "epochs" in values:
        share = base.warmup_epochs / base.epochs
        values = {"warmup_epochs": share * values["epochs"]} | values
    recipe = replace(base, **values)
    if recipe.optimizer and (unused := sorted({"beta1", "beta2"} & values.keys())):
        raise ValueError(
            f"{' and '.join(unused)} are those of AdamW, but optimizer is {recipe.optimizer!r}; "
            "leave them out"
        )
    return recipe


def _value(name: str, value: Any) -> Any:
    """Return a value of a grid as that of a recipe."""
    if allowed := CHOICES.get(name):
        if value not in allowed:
            raise ValueError(unknown(name, str(value), allowed))
        return None if value == allowed[0] else value
    whole = name == "batch"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ValueError(f"{name} must be a {'whole ' * whole}number, got {value!r}")
    if name == "epochs":
        return int(value) if isfinite(value) and value == int(value) else value
    return value if whole else float(value)


def _named_recipe(name: str, info: MethodInfo) -> Recipe:
    if name != SOURCE:
        return RECIPES[name]
    if info.source_recipe is None:
        have = [one for one in sorted(own_names()) if inspect_method(one).source_recipe]
        raise GridError(
            f"{info.name} has no recipe {SOURCE!r}, because its file defines no source_recipe. "
            f"Methods that have one: {', '.join(have)}. Give {info.name} another recipe, for "
            f'example {{name = "{info.name}", recipe = "paper"}}'
        )
    try:
        return Recipe(**info.source_recipe)
    except (TypeError, ValueError) as error:
        raise GridError(f"{info.name}: source_recipe is not a recipe: {error}") from error
