"""Templates with plain variables: what is replaced, what stays, what a value may do."""

import re
import time
from html import escape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.core.errors import MissingVariable, TooLarge
from postclock.core.template import Variable
from postclock.mail.simple_template import Values


def values(*variables: Variable, **given: Any) -> Values:
    return Values(variables, given)


@pytest.mark.parametrize(
    ("source", "filled"),
    [
        ("Hi {{name}}", "Hi Ada"),
        ("Hi {{ name }}", "Hi Ada"),
        ("Hi {{\tname\n}}", "Hi Ada"),
        ("{{name}}{{name}}", "AdaAda"),
        ("{{{name}}}", "{Ada}"),
        ("{{{{name}}", "{{Ada"),
        ("{{ nobody }}", ""),
        ("{{ first-name }}", "{{ first-name }}"),
        ("{{ two words }}", "{{ two words }}"),
        ("{{}} {{ }} {name} {{name} {{ name", "{{}} {{ }} {name} {{name} {{ name"),
        ("{{#if name}}x{{/if}} {{> name}} {{name.first}}", "{{#if name}}x{{/if}} {{> name}} {{name.first}}"),
        ("{{ naïve }} {{ imię }}", "{{ naïve }} {{ imię }}"),
        ("", ""),
    ],
)
def test_a_name_between_two_braces_is_replaced_and_nothing_else(source: str, filled: str) -> None:
    """Letters of ASCII, digits and underscores make a name; inner spaces are optional; other braces stay."""
    assert values(name="Ada").text(source) == filled


def test_values_are_escaped_in_html_and_nowhere_else() -> None:
    """In HTML a value can neither open a tag nor leave a quoted attribute."""
    filled = values(x="""<b>"A" & 'B'</b>""")
    assert filled.html('<a title="{{x}}">{{ x }}</a>') == (
        '<a title="&lt;b&gt;&quot;A&quot; &amp; &#x27;B&#x27;&lt;/b&gt;">'
        "&lt;b&gt;&quot;A&quot; &amp; &#x27;B&#x27;&lt;/b&gt;</a>"
    )
    assert filled.text("{{x}}") == """<b>"A" & 'B'</b>"""
    assert filled.line("{{x}}") == """<b>"A" & 'B'</b>"""


def test_a_value_is_not_rendered_again() -> None:
    """What a value brings in stays as it is, in every kind of text."""
    filled = values(a="{{ b }}", b="secret", c="{{", d="b}}")
    assert filled.text("{{a}} {{c}}{{d}} {{c}}b}}") == "{{ b }} {{b}} {{b}}"
    assert filled.html("{{a}}") == "{{ b }}"


def test_a_line_has_no_line_break() -> None:
    """A value cannot begin a header of its own."""
    assert values(name="Ada\r\nBcc: eve@example.com").line("Hi {{name}}\n") == "Hi Ada Bcc: eve@example.com"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (0, "0"),
        (7, "7"),
        (2.5, "2.5"),
        (True, "true"),
        (False, "false"),
        ({"a": [1, "x"]}, '{"a":[1,"x"]}'),
        ([], "[]"),
    ],
)
def test_other_values_stand_as_json(value: Any, text: str) -> None:
    """A string stands as it is, also an empty one; a default does not take the place of any of them."""
    assert values(Variable("x", default="default"), x=value).text("{{x}}") == text


def test_a_value_else_the_default_else_nothing() -> None:
    """Null counts as not given."""
    there = Variable("x", sample="sample", default="default")
    assert values(there, x="given").text("{{x}}") == "given"
    assert values(there).text("{{x}}") == "default"
    assert values(there, x=None).text("{{x}}") == "default"
    assert values(Variable("x", default=0)).text("{{x}}") == "0"
    assert values(Variable("x", sample="sample")).text("[{{x}}]") == "[]"


def test_a_required_variable_without_a_value_or_a_default_is_told_by_name() -> None:
    """Also when no text mentions it; a default satisfies it."""
    with pytest.raises(MissingVariable, match="order_no") as missing:
        values(Variable("name", required=True), Variable("order_no", required=True), name="Ada")
    assert missing.value.field == "order_no"
    with pytest.raises(MissingVariable):
        values(Variable("x", required=True), x=None)
    assert values(Variable("x", default="d", required=True)).text("{{x}}") == "d"
    assert values(Variable("x", required=True), x="").text("[{{x}}]") == "[]"


def test_all_texts_of_a_mail_share_one_bound() -> None:
    """Octets are counted, not characters, and of what is filled in as well as of what stands between."""
    assert Values((), {"x": "é" * 10}, limit=21).text("a{{x}}") == "a" + "é" * 10
    with pytest.raises(TooLarge):
        Values((), {"x": "é" * 10}, limit=20).text("a{{x}}")
    shared = Values((), {"x": "1234"}, limit=10)
    shared.text("{{x}}{{x}}")
    with pytest.raises(TooLarge):
        shared.html("123")


@pytest.mark.parametrize(
    "source", ["{{" * 500_000, "{{ " * 300_000, "{{" + " " * 1_000_000, "{{" + "a" * 1_000_000, "{{a " * 250_000]
)
def test_what_almost_is_a_variable_costs_no_more_than_its_length(source: str) -> None:
    """A million characters of unclosed braces take a moment and come back unchanged."""
    before = time.perf_counter()
    assert values(a="x").html(source) == source
    assert time.perf_counter() - before < 5


_TAG = re.compile(r"\{\{\s*([a-zA-Z0-9_]+)\s*\}\}", re.ASCII)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["{{", "}}", "{", "}", "a", "b_1", " ", "\n", "<", "é", "{{a}}", "{{ b_1 }}"])).map(
        "".join
    ),
    st.dictionaries(st.sampled_from(["a", "b_1"]), st.text(max_size=10)),
)
def test_filling_is_a_search_and_replace(source: str, given: dict[str, str]) -> None:
    """The same as a plain regular expression over the whole text, whatever stands beside the names."""
    assert Values((), given).text(source) == _TAG.sub(lambda m: given.get(m[1], ""), source)
    assert Values((), given).html(source) == _TAG.sub(lambda m: escape(given.get(m[1], "")), source)
