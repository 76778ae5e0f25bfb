"""Templates and data from strangers: nothing leaks, nothing runs long, nothing but TemplateError comes out."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postclock.mail.template import MAX_OUTPUT, Budget, TemplateError, compile_template
from postclock.mail.template.parser import MAX_DEPTH, MAX_PARTS, MAX_SOURCE

PATIENCE = 5.0  # seconds; each case takes well under one on an idle machine


def render(source: str, data: dict[str, Any]) -> str:
    """One template, escaped."""
    return compile_template(source, escape=True).render(data)


def outcome(source: str, data: dict[str, Any]) -> str:
    """The message of the TemplateError that must come, in time."""
    started = perf_counter()
    with pytest.raises(TemplateError) as caught:
        render(source, data)
    assert perf_counter() - started < PATIENCE
    return caught.value.message


class Secret:
    """Has an attribute, as every object has."""

    password = "hunter2"

    def __str__(self) -> str:
        return self.password


@pytest.mark.parametrize(
    "name",
    ["__class__", "__class__.__mro__", "constructor", "__init__.__globals__", "password", "items", "format", "append"],
)
def test_attributes_are_out_of_reach(name: str) -> None:
    """Names find keys, whatever they are called; objects that are no JSON do not print."""
    data = {"text": "x", "list": [1], "map": {"k": 1}, "secret": Secret(), "number": 1}
    for value in data:
        assert render(f"{{{{{value}.{name}}}}}{{{{lookup {value} '{name}'}}}}{{{{{name}}}}}", data) == ""
    assert render("{{secret}}", data) == "[object Object]"
    assert render("{{__class__}}{{o.constructor}}", {"__class__": "a", "o": {"constructor": "b"}}) == "ab"


BIG = list(range(50_000))
BOMBS: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
    "loops in loops": lambda: ("{{#each x}}{{#each @root.x}}{{#each @root.x}}{{this}}{{/each}}{{/each}}{{/each}}", {"x": BIG}),
    "empty loops": lambda: ("{{#each x}}{{#each @root.x}}{{/each}}{{/each}}", {"x": BIG}),
    "sections": lambda: ("{{#x}}{{#@root.x}}{{/@root.x}}{{/x}}", {"x": BIG}),
    "lists printed": lambda: ("{{#each x}}{{@root.x}}{{/each}}", {"x": BIG}),
    "long texts compared": lambda: ("{{#each x}}{{#equals @root.a @root.b}}{{/equals}}{{/each}}", {"x": BIG, "a": "y" * 2**20, "b": "y" * 2**20 + ""}),
    "long keys": lambda: ("{{#each x}}{{lookup @root.d @root.k}}{{/each}}", {"x": BIG, "k": "y" * 2**20, "d": {"y": 1}}),
    "long paths": lambda: ("{{#each x}}{{" + ".".join(["a"] * 400) + "}}{{/each}}", {"x": BIG}),
    "dates": lambda: ("{{#each x}}{{formatDate this 'dddd MMMM dddd MMMM dddd'}}{{/each}}", {"x": BIG}),
    "long chains": lambda: ("{{#each x}}{{#if a}}" + "{{else if a}}" * 5000 + "{{/if}}{{/each}}", {"x": BIG}),
    "output": lambda: ("{{#each x}}{{@root.a}}{{/each}}", {"x": BIG, "a": "<" * 100_000}),
    "output of text": lambda: ("{{#each x}}" + "y" * 100_000 + "{{/each}}", {"x": BIG}),
    "one huge value": lambda: ("{{a}}", {"a": "&" * MAX_OUTPUT}),
    "a huge list": lambda: ("{{a}}", {"a": ["y" * 2**20] * 1000}),
    "a long format": lambda: ("{{formatDate 0 a}}", {"a": "YYYY" * 100}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_time(name: str) -> None:
    """Work and output are counted, whatever they are spent on."""
    message = outcome(*BOMBS[name]())
    assert "too many steps" in message or "too large" in message or "longer than" in message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{#if a}}" * 10_000 + "{{/if}}" * 10_000, f"deeper than {MAX_DEPTH}"),
        ("{{#if a}}" + "{{else with b}}" * 1000 + "{{/if}}", f"deeper than {MAX_DEPTH}"),
        ("{{#if " + "(lookup a " * 100 + "}}", "parentheses are nested"),
        ("x" * (MAX_SOURCE + 1), "the template is longer"),
        ("{{a}}" * MAX_PARTS, "more than"),
        ("{{!--}}" * (MAX_PARTS + 1), "more than"),
        ("\\{{" * (MAX_PARTS + 1), "more than"),
        ("{{a" + ".a" * 500_000 + "}}", "more than"),
        ("{{a" + " " * 1_000_000, "not closed"),
        ("{{" + "a" * 1_000_000 + '"', "unexpected"),
        ('{{insert a "' + '\\"' * 500_000, "not closed"),
        ("{{insert a [" + "\\]" * 500_000, "not closed"),
        ("{{!-- " * 150_000, "not closed"),
        ("{{#if " + "9" * 1_000_000 + "}}{{/if}}", "longer than"),
        ("{{" * 500_000, "raw blocks"),
    ],
)
def test_a_monstrous_source_is_refused_in_time(source: str, words: str) -> None:
    """Size, depth and parts of a template are bounded, and reading it takes time in proportion to its length."""
    assert words in outcome(source, {})


@pytest.mark.parametrize(
    "source", ["{{a ~}}" + " " * 1_000_000, (" " * 1000 + "{{!x}}") * 1000, "\n" * 1_000_000 + "{{#if a}}{{/if}}"]
)
def test_white_space_is_trimmed_in_time(source: str) -> None:
    """No quadratic search for the end of a line."""
    started = perf_counter()
    render(source, {})
    assert perf_counter() - started < PATIENCE


def test_what_is_allowed_works_at_its_bound() -> None:
    """The deepest template renders, and deep data prints without a stack."""
    assert render("{{#each x}}" * MAX_DEPTH + "y" + "{{/each}}" * MAX_DEPTH, {"x": [{"x": []}]}) == ""
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert (
        render(
            "{{#if a}}" * (MAX_DEPTH - 1) + "{{#with d}}{{.}}!{{/with}}" + "{{/if}}" * (MAX_DEPTH - 1),
            {"a": 1, "d": deep},
        )
        == "!"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=1), inner, max_size=4),
    max_leaves=10,
)
PIECES = st.sampled_from(
    ["{{", "}}", "{{{", "}}}", "{{#", "{{/", "{{^", "{{&", "{{!", "{{!--", "--}}", "~", "\\", "if", "each", "with", "else", "a", "b", "this",
     "..", ".", "/", "@", "root", "index", "(", ")", "[", "]", '"', "'", "=", "|", "as", " ", "\n", "0", "-1.5", "true", "lookup", "length",
     "insert", "formatDate", "equals", "{{#if a}}", "{{/if}}", "{{else}}", "{{#each b}}", "{{/each}}", "{{a}}", "\u2028", "\x00", "é"]
)  # fmt: skip


@settings(deadline=None, max_examples=500)
@given(
    source=st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=40),
    data=st.dictionaries(st.sampled_from("ab"), JSON),
    escape=st.booleans(),
)
@example(
    source="{{a}}{{#each b}}{{formatDate this a}}{{/each}}",
    data={"a": "YYYY", "b": [1e308, -62135596800, "0001-01-01", 10**400]},
    escape=True,
)
def test_any_text_compiles_or_is_refused(source: str, data: dict[str, Any], *, escape: bool) -> None:
    """Whatever is thrown at it, the answer is a text or a TemplateError."""
    budget = Budget(steps=500, output=2000)
    text, refusal = "", None
    try:
        text = compile_template(source, escape=escape).render(data, budget=budget)
    except TemplateError as error:
        refusal = error
    assert len(text) <= 2000
    assert refusal is None or (refusal.line >= 1 and refusal.column >= 1)
