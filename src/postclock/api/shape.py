"""The shape of a body against a msgspec type: the typed decoder when all is well, a walk that names every bad field when not.

Every JSON endpoint decodes through here. ``decode`` is all or nothing; ``decode_partly`` also gives what is well formed, so
that a caller can go on to the meaning of it and report both kinds of mistakes together.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from postclock.api.findings import MAX_FIELD, Findings
from postclock.api.json_body import (
    MAX_DEPTH,
    MAX_INT,
    MIN_INT,
    OutOfRange,
    bounded,
    load,
    too_deep,
    unusual,
)
from postclock.api.kinds import choices, fields_of, is_object, kind, name, nullable, stand_in, suits
from postclock.core.errors import FieldError, Invalid

T = TypeVar("T")

THREAD_FROM: Final = 512 * 1024
"""Octets from which a body is decoded in a thread: 20 MB of small values take seconds, and other callers wait meanwhile."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _Bad:
    """What the walk gives for a value that cannot be used."""


_BAD: Final = _Bad()


def decode(body: bytes, shape: type[T], *, empty_list_is_absent: bool = False) -> T:
    """The body as ``shape``; unknown fields are dropped, null in an optional field counts as absent.

    ``empty_list_is_absent``: take ``[]`` where an optional object belongs as absent (what PHP makes of an empty map).
    Raises Invalid with every bad field, TooLarge over the limit.
    """
    value, findings = decode_partly(body, shape, empty_list_is_absent=empty_list_is_absent)
    if findings or value is None:
        raise findings.invalid()
    return value


def decode_partly(body: bytes, shape: type[T], *, empty_list_is_absent: bool = False) -> tuple[T | None, Findings]:
    """As ``decode``, but bad fields come back beside what is well formed.

    In the value a bad optional field is absent, a bad required one or a bad item of a list has a stand-in (empty string, zero,
    empty list …), so positions stay. None: too little was well formed. Raises Invalid when the body is no JSON.
    """
    bounded(body)
    if not unusual(body):
        try:
            return _decoder(shape).decode(body), Findings()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the walk below knows the field
    walk = _Walk(empty_list_is_absent)
    mended = walk.value(_info(shape), load(body), "", 1)
    findings = walk.findings
    if mended is _BAD:
        return None, findings
    try:
        return msgspec.convert(mended, shape), findings
    except msgspec.ValidationError as error:
        if not findings:
            findings.add(*_located(error))
        return None, findings


def collect(value: Any, shape: Any) -> list[FieldError]:
    """Every bad field of a decoded JSON value against a type; empty when it fits."""
    walk = _Walk(empty_list_is_absent=False)
    try:
        mended = walk.value(inspect.type_info(shape), value, "", 1)
        if not walk.findings:
            msgspec.convert(mended, shape)
    except Invalid as too_many:
        return list(too_many.errors)
    except msgspec.ValidationError as error:
        walk.findings.add(*_located(error))
    return walk.findings.errors()


def collect_json(value: Any, field: str, depth: int, findings: Findings) -> None:
    """Note what free JSON may not hold (U+0000, lone surrogates, numbers beyond 64 bits, deep nesting).

    ``field`` is the path of ``value``, ``depth`` its level in the body (the body itself is 1).
    """
    walk = _Walk(empty_list_is_absent=False)
    walk.findings = findings
    walk.free(value, field, depth, ignored=False)


_DECODERS: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}
_INFOS: Final[dict[Any, inspect.Type]] = {}


def _decoder(shape: type[T]) -> msgspec.json.Decoder[T]:
    decoder = _DECODERS.get(shape)
    if decoder is None:
        decoder = _DECODERS[shape] = msgspec.json.Decoder(shape)
    return decoder


def _info(shape: Any) -> inspect.Type:
    info = _INFOS.get(shape)
    if info is None:
        info = _INFOS[shape] = inspect.type_info(shape)
    return info


class _Walk:
    """One pass over a decoded body: notes what is bad, gives back what is good."""

    def __init__(self, empty_list_is_absent: bool) -> None:
        self.findings = Findings()
        self._empty_list_is_absent = empty_list_is_absent

    def value(self, info: inspect.Type, value: Any, path: str, depth: int) -> Any:
        """The value with its bad parts taken out, or ``_BAD``."""
        step = _STEPS.get(type(info))
        if step is not None:
            return step(self, info, value, path, depth)
        return self._opaque(value, path, depth)

    def _opaque(self, value: Any, path: str, depth: int) -> Any:
        before = len(self.findings)
        self.free(value, path, depth, ignored=False)
        return value if len(self.findings) == before else _BAD

    def _bad(self, path: str, message: str) -> _Bad:
        self.findings.add(path, message)
        return _BAD

    def _expected(self, info: inspect.Type, value: Any, path: str) -> _Bad:
        if isinstance(value, OutOfRange) and isinstance(info, inspect.IntType | inspect.FloatType):
            return self._bad(path, _out_of_range())
        subject = "Must be" if path else "The body must be"
        return self._bad(path, f"{subject} {name(info)}, not {kind(value)}.")

    def _union(self, info: inspect.UnionType, value: Any, path: str, depth: int) -> Any:
        if value is None and nullable(info):
            return None
        members = [member for member in info.types if type(member) is not inspect.NoneType]
        for member in members:
            if len(members) == 1 or suits(member, value):
                return self.value(member, value, path, depth)
        return self._expected(info, value, path)

    def _struct(self, info: inspect.StructType, value: Any, path: str, depth: int) -> Any:
        if info.array_like or info.tag is not None:  # no body of ours has these: msgspec's own verdict will do
            return self._opaque(value, path, depth)
        if not isinstance(value, dict):
            return self._expected(info, value, path)
        if depth > MAX_DEPTH:
            return self._bad(path, too_deep())
        fields = fields_of(info.cls)
        mended: dict[str, Any] = {}
        told = set()
        for key, item in value.items():
            field = fields.get(key)
            if field is None:
                if info.forbid_unknown_fields:
                    self.findings.add(_join(path, key), "Not a field of this object.")
                self._text(key, _join(path, key))
                self.free(item, _join(path, key), depth + 1, ignored=True)
            elif item is None or (item == [] and self._empty_list_is_absent and is_object(field.type)):
                pass  # absent: the loop below says so where the field is required
            else:
                good = self.value(field.type, item, _join(path, key), depth + 1)
                if good is _BAD:
                    told.add(key)
                else:
                    mended[key] = good
        for key, field in fields.items():
            if field.required and key not in mended:
                if key not in told and not (key in value and nullable(field.type)):
                    self.findings.add(_join(path, key), "This field is required.")
                mended[key] = stand_in(field.type)
        return mended

    def _list(
        self,
        info: inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType,
        value: Any,
        path: str,
        depth: int,
    ) -> Any:
        if not isinstance(value, list):
            return self._expected(info, value, path)
        if depth > MAX_DEPTH:
            return self._bad(path, too_deep())
        if not _within(len(value), info.min_length, info.max_length):
            self.findings.add(path, f"Must have {_span(info.min_length, info.max_length)} items.")
        mended = []
        for n, item in enumerate(value):
            good = self.value(info.item_type, item, _join(path, str(n)), depth + 1)
            mended.append(stand_in(info.item_type) if good is _BAD else good)
        return mended

    def _dict(self, info: inspect.DictType, value: Any, path: str, depth: int) -> Any:
        if not isinstance(value, dict):
            return self._expected(info, value, path)
        if depth > MAX_DEPTH:
            return self._bad(path, too_deep())
        if not _within(len(value), info.min_length, info.max_length):
            self.findings.add(path, f"Must have {_span(info.min_length, info.max_length)} entries.")
        mended = {}
        for key, item in value.items():
            inner = _join(path, key)
            good = self.value(info.value_type, item, inner, depth + 1)
            if self._text(key, inner) and good is not _BAD:
                mended[key] = good
        return mended

    def _string(self, info: inspect.StrType, value: Any, path: str, depth: int) -> Any:
        if not isinstance(value, str):
            return self._expected(info, value, path)
        if not self._text(value, path):
            return _BAD
        if not _within(len(value), info.min_length, info.max_length):
            return self._bad(path, f"Must have {_span(info.min_length, info.max_length)} characters.")
        if info.pattern is not None and not re.search(info.pattern, value):
            return self._bad(path, f"Must match {info.pattern}.")
        return value

    def _integer(self, info: inspect.IntType, value: Any, path: str, depth: int) -> Any:
        if not suits(info, value):
            return self._expected(info, value, path)
        if not MIN_INT <= value <= MAX_INT:
            return self._bad(path, _out_of_range())
        if not _within(value, info.ge, info.le):
            return self._bad(path, f"Must be {_span(info.ge, info.le)}.")
        return value

    def _plain(self, info: inspect.Type, value: Any, path: str, depth: int) -> Any:
        return value if suits(info, value) else self._expected(info, value, path)

    def _choice(self, info: inspect.LiteralType | inspect.EnumType, value: Any, path: str, depth: int) -> Any:
        allowed = choices(info)
        if any(type(value) is type(choice) and value == choice for choice in allowed):
            return value
        return self._bad(path, f"Must be one of: {', '.join(str(choice) for choice in allowed)}.")

    def _text(self, text: str, path: str) -> bool:
        if "\x00" in text:
            self.findings.add(path, "Must not contain the character U+0000.")
            return False
        if not text.isascii() and _SURROGATE.search(text):
            self.findings.add(path, "Must not contain half of a surrogate pair (\\ud800 to \\udfff alone).")
            return False
        return True

    def free(self, value: Any, path: str, depth: int, *, ignored: bool) -> None:
        """Look through free JSON. In ``ignored`` fields numbers may be of any size (nothing keeps them)."""
        kind = type(value)
        if kind is str:
            self._text(value, path)
        elif kind is dict or kind is list:
            if depth > MAX_DEPTH:
                self.findings.add(path, too_deep())
                return
            for key, item in value.items() if kind is dict else enumerate(value):
                inner = _join(path, str(key))
                if isinstance(key, str):
                    self._text(key, inner)
                self.free(item, inner, depth + 1, ignored=ignored)
        elif not ignored and (kind is OutOfRange or (kind is int and not MIN_INT <= value <= MAX_INT)):
            self.findings.add(path, _out_of_range())


_STEPS: Final[dict[type, Callable[..., Any]]] = {
    inspect.StrType: _Walk._string,
    inspect.IntType: _Walk._integer,
    inspect.FloatType: _Walk._plain,
    inspect.BoolType: _Walk._plain,
    inspect.NoneType: _Walk._plain,
    inspect.LiteralType: _Walk._choice,
    inspect.EnumType: _Walk._choice,
    inspect.UnionType: _Walk._union,
    inspect.StructType: _Walk._struct,
    inspect.DictType: _Walk._dict,
    inspect.ListType: _Walk._list,
    inspect.VarTupleType: _Walk._list,
    inspect.SetType: _Walk._list,
    inspect.FrozenSetType: _Walk._list,
}
"""A table, for ``match`` over twenty classes took half of the walk."""


def _join(path: str, key: str) -> str:
    if len(path) > MAX_FIELD:  # it will be cut there: a key of megabytes must not be copied for each of its children
        return path
    return f"{path}.{key}" if path else key


def _out_of_range() -> str:
    return "The number is out of range: integers have at most 64 bits, and NaN and Infinity are no JSON."


def _within(n: float, low: float | None, high: float | None) -> bool:
    return (low is None or n >= low) and (high is None or n <= high)


def _span(low: float | None, high: float | None) -> str:
    match low, high:
        case None, _:
            return f"at most {high}"
        case _, None:
            return f"at least {low}"
        case _:
            return f"{low} to {high}"


_AT: Final = re.compile(r"^(.*?)(?: - at `(?:key in )?\$(.*)`)?$", re.DOTALL)


def _located(error: msgspec.ValidationError) -> tuple[str, str]:
    """msgspec's own message as path and sentence: for types whose rules the walk does not know."""
    match = _AT.match(str(error))
    assert match is not None
    path = re.sub(r"\[(\d+)\]", r".\1", match[2] or "").replace("[...]", "").strip(".")
    return path, f"{match[1]}."
