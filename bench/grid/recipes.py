"""The recipe of a method at each point of a grid's sweep."""

from dataclasses import fields, replace
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

    Fields given under [pretrain] replace those of every recipe. If they change the epochs of a
    source recipe, its warm-up keeps its share of the epochs.

    Raises:
        GridError: The method has no recipe of that name.
        ValueError: A field has a wrong type, or the recipe is impossible.
    """
    base = _named_recipe(entry.recipe or pretrain.recipe, info)
    values = {}
    for field in fields(Recipe):
        if field.name in pretrain.overrides:
            value = axes.get(field.name, pretrain.overrides[field.name])
            if allowed := CHOICES.get(field.name):
                if value not in allowed:
                    raise ValueError(unknown(field.name, str(value), allowed))
                values[field.name] = None if value == allowed[0] else value
                continue
            kind = int if isinstance(getattr(base, field.name), int) else float
            if isinstance(value, bool) or not isinstance(
                value, int if kind is int else int | float
            ):
                raise ValueError(f"{field.name} must be of type {kind.__name__}, got {value!r}")
            values[field.name] = kind(value)
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
