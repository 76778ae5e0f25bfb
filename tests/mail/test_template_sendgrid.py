"""SendGrid's helpers and the errors people meet while they write a template."""

from types import MappingProxyType
from typing import Any

import pytest

from postclock.core.errors import PostclockError
from postclock.mail.template import Budget, TemplateError, compile_template


def render(source: str, data: dict[str, Any] | None = None) -> str:
    """One template, verbatim output."""
    return compile_template(source, escape=False).render(data or {})


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [
        ('{{insert name "default=Customer"}}', {}, "Customer"),
        ('{{insert name "default=Customer"}}', {"name": ""}, "Customer"),
        ('{{insert name "default=Customer"}}', {"name": "Ben"}, "Ben"),
        ('{{insert what "your business"}}', {"what": None}, "your business"),
        ("{{insert n default='d'}}{{insert z 'd'}}", {"z": 0}, "d0"),
        ("{{#equals a b}}same{{else}}other{{/equals}}", {"a": 3, "b": "3"}, "same"),
        ("{{#equals a 'true'}}same{{else}}other{{/equals}}", {"a": True}, "same"),
        ("{{#equals a b}}same{{else}}other{{/equals}}", {"a": [], "b": ""}, "other"),
        ("{{#notEquals a b}}other{{/notEquals}}", {"a": "x", "b": "y"}, "other"),
        ("{{#greaterThan a b}}more{{else}}not{{/greaterThan}}", {"a": "10", "b": 9}, "more"),
        ("{{#greaterThan a b}}more{{else}}not{{/greaterThan}}", {"a": 10}, "not"),
        ("{{#lessThan a 2}}less{{/lessThan}}{{#lessThan 'a' 'b'}}!{{/lessThan}}", {"a": 1.5}, "less!"),
        ("{{#and a b}}both{{else}}no{{/and}}{{#or a b}}any{{/or}}", {"a": 1, "b": ""}, "noany"),
        ("{{#greaterThan (length xs) 2}}many{{/greaterThan}}{{length xs}}{{length s}}{{length o}}", {"xs": [1, 2, 3], "s": "abcd", "o": {}}, "many340"),
        ("{{#if (and a (equals b 'x'))}}yes{{else if (or b c)}}maybe{{/if}}", {"a": 1, "b": "x"}, "yes"),
        ("{{#if no}}{{else equals a 1}}one{{else greaterThan a 1}}more{{/if}}", {"a": 2}, "more"),
        ("{{length}} {{#length}}!{{/length}}", {"length": 12}, "12 !"),
    ],
)  # fmt: skip
def test_sendgrids_helpers(source: str, data: dict[str, Any], expected: str) -> None:
    """As SendGrid documents them; a variable may bear a helper's name as long as nothing is passed to it."""
    assert render(source, data) == expected


@pytest.mark.parametrize(
    ("pattern", "offset", "expected"),
    [
        ("MMMM DD, YYYY h:mm:ss A", None, "January 01, 2020 11:00:00 PM"),
        ("MMMM DD, YYYY h:mm:ss A", "-0800", "January 01, 2020 3:00:00 PM"),
        ("YY M D dddd ddd HH H hh a Z ZZ", "+05:30", "20 1 2 Thursday Thu 04 4 04 am +05:30 +0530"),
        ("Do MMM [at] m s", 0, "1st Jan at 0 0"),
        ("HH:mm", -8, "15:00"),
        ("HH:mm", -480, "15:00"),
        ("HH:mm", "nonsense", "23:00"),
        ("HH:mm", "+9900", "23:00"),
    ],
)
@pytest.mark.parametrize(
    "moment", ["2020-01-01T23:00:00.000Z", 1577919600, "1577919600", 1577919600000, "2020-01-02T00:00:00+01:00"]
)
def test_dates(moment: object, pattern: str, offset: object, expected: str) -> None:
    """ISO 8601 and Unix seconds or milliseconds are the same moment; an offset moves the clock, without one it is UTC."""
    data = {"t": moment, "p": pattern, "o": offset}
    assert render("{{formatDate t p o}}", data) == expected


@pytest.mark.parametrize("moment", ["soon", "", None, "9" * 70, 1e300, True, [1], "2020-99-99"])
def test_what_is_no_moment_is_shown_as_it_came(moment: object) -> None:
    """A raw value in a mail is better than an error in it."""
    assert render("{{formatDate t 'YYYY'}}", {"t": moment}) == render("{{t}}", {"t": moment})


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12345678901234567890, "12345678901234567890"), (10**4000, "Infinity"), (1e21, "1e+21"), (123e-9, "1.23e-7"),
     (1e20, "100000000000000000000"), (-0.0, "0"), (2.5, "2.5"), (float("nan"), "NaN"),
     ({}, "[object Object]"), ([[], [1, [None]]], ",1,")],
)  # fmt: skip
def test_values_print_as_in_javascript_but_whole_numbers_in_full(value: object, expected: str) -> None:
    """An order number is never rounded to a double."""
    assert render("{{x}}", {"x": value}) == expected


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        ("Hi\n  {{name", 2, 3, "not closed"),
        ("Hi {{name}", 1, 10, "unexpected '}'"),
        ("a\n{{#if x}}\nb", 2, 1, "'if' is not closed"),
        ("{{#if x}}{{/each}}", 1, 10, "'if' is open here, not 'each'"),
        ("{{/if}}", 1, 1, "never opened"),
        ("{{else}}", 1, 1, "outside of any block"),
        ("{{#if a}}{{else}}{{else}}{{/if}}", 1, 18, "nothing may follow"),
        ("{{upper name}}", 1, 3, "no helper 'upper'"),
        ("{{#upper name}}{{/upper}}", 1, 4, "no helper 'upper'"),
        ("x {{> footer}}", 1, 3, "partials"),
        ("{{#> layout}}{{/layout}}", 1, 1, "partials"),
        ("{{* deco}}", 1, 1, "decorators"),
        ("{{{{raw}}}}{{{{/raw}}}}", 1, 1, "raw blocks"),
        ("{{}}", 1, 1, "empty tag"),
        ("{{{a}}", 1, 5, "different number of braces"),
        ("{{a}}}", 1, 4, "different number of braces"),
        ("{{#if}}{{/if}}", 1, 4, "'if' takes 1 argument"),
        ("{{#each}}{{/each}}", 1, 4, "'each' takes 1 argument"),
        ("{{#equals a}}{{/equals}}", 1, 4, "'equals' takes 2 arguments"),
        ("{{if x}}", 1, 3, "opens a block"),
        ("{{#length x}}{{/length}}", 1, 4, "does not open a block"),
        ("{{a.b/../c}}", 1, 7, "middle of a path"),
        ("{{@nope}}", 1, 3, "no variable '@nope'"),
        ('{{insert a "b}}', 1, 12, "string is not closed"),
        ("{{lookup (lookup a b}}", 1, 10, "parenthesis"),
        ("{{! never", 1, 1, "comment is not closed"),
        ("{{#each x as |y|}}{{/each}}", 1, 14, "unexpected '|'"),
        ("{{#if x wrong=1}}{{/if}}", 1, 4, "no option 'wrong'"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_column(source: str, line: int, column: int, words: str) -> None:
    """The message points at the place, in the words people search for."""
    with pytest.raises(TemplateError) as caught:
        compile_template(source, escape=True)
    error = caught.value
    assert isinstance(error, PostclockError)
    assert (error.line, error.column) == (line, column)
    assert words in error.message
    assert str(error) == f"line {error.line}, column {error.column}: {error.message}"


def test_one_budget_is_shared_by_the_parts_of_a_mail() -> None:
    """Subject, text and HTML together may not take more than one of them could."""
    template, budget = compile_template("{{x}}", escape=False), Budget(output=10)
    assert template.render({"x": "é" * 4}, budget=budget) == "é" * 4
    assert budget.output == 2
    with pytest.raises(TemplateError, match=r"line 1, column 3: the rendered template is too large"):
        template.render({"x": "abc"}, budget=budget)


def test_any_mapping_is_data() -> None:
    """The top of the data need not be a dict."""
    assert compile_template("{{a}}", escape=True).render(MappingProxyType({"a": 1})) == "1"
