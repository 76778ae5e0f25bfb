"""What kind of JSON a msgspec type takes: how to name it to a person, whether a value is of it, what can stand in for one.

The vocabulary of ``api.shape``, which walks a body against a type.
"""

from functools import cache
from typing import Any

from msgspec import inspect


@cache
def fields_of(struct: type) -> dict[str, inspect.Field]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: field for field in info.fields}


def choices(info: inspect.LiteralType | inspect.EnumType) -> tuple[Any, ...]:
    if isinstance(info, inspect.LiteralType):
        return info.values
    return tuple(member.value for member in info.cls)


def nullable(info: inspect.Type) -> bool:
    return isinstance(info, inspect.UnionType) and any(isinstance(t, inspect.NoneType) for t in info.types)


def is_object(info: inspect.Type) -> bool:
    if isinstance(info, inspect.UnionType):
        return any(is_object(member) for member in info.types)
    return isinstance(info, inspect.StructType | inspect.DictType)


def suits(info: inspect.Type, value: Any) -> bool:
    """Whether the value is of the JSON kind the type takes."""
    match info:
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.NoneType():
            return value is None
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return isinstance(value, list)
        case inspect.DictType() | inspect.StructType():
            return isinstance(value, dict)
        case inspect.LiteralType() | inspect.EnumType():
            return any(type(value) is type(choice) for choice in choices(info))
        case _:
            return True


def name(info: inspect.Type) -> str:
    match info:
        case inspect.UnionType():
            names = (name(member) for member in info.types if not isinstance(member, inspect.NoneType))
            return " or ".join(dict.fromkeys(names))
        case inspect.StrType():
            return "a string"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "an integer"
        case inspect.FloatType():
            return "a number"
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return "an array"
        case inspect.DictType() | inspect.StructType():
            return "an object"
        case inspect.LiteralType() | inspect.EnumType():
            return f"one of {', '.join(str(choice) for choice in choices(info))}"
        case _:
            return "another kind of value"


def kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"
        case float():
            return "a fraction"
        case _:
            return "a number"


def stand_in(info: inspect.Type) -> Any:
    """Something of the type, to keep the place of a value that was bad."""
    match info:
        case inspect.StrType():
            return ""
        case inspect.BoolType():
            return False
        case inspect.IntType() | inspect.FloatType():
            return 0
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return []
        case inspect.StructType():
            return {name: stand_in(f.type) for name, f in fields_of(info.cls).items() if f.required}
        case inspect.DictType():
            return {}
        case inspect.LiteralType() | inspect.EnumType():
            return choices(info)[0]
        case inspect.UnionType():
            return None if nullable(info) else stand_in(info.types[0])
        case _:
            return None
