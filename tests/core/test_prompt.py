"""Templates: the plain path against Jinja itself, values as data, what a seed must have, and what is refused."""

import string

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from deepswarm.core.prompt import TemplateProblem, compile_template, needed_names

JINJA = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
JINJA.globals.clear()

briefly = settings(max_examples=50, deadline=None)

REFUSED = {"self", "fields"}
"""`self` is Jinja's own; `fields` is ours."""

names = st.one_of(
    st.text(string.ascii_letters + "_", min_size=1, max_size=3),
    st.sampled_from(
        ["range", "dict", "loop", "cycler", "if", "for", "not", "in", "None", "true", "class", "__class__"]
    ),
).filter(lambda name: name not in REFUSED)

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=12),
        st.sampled_from(["{{ a }}", "{% raw %}", "{# x #}", "}}", "\r\n", "\ud800", "<b>&amp;</b>"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)

pieces = st.one_of(
    st.text(alphabet="{}%# \t\n\rab'\"-\u2028\x85", max_size=6),
    st.sampled_from(["{{", "}}", "{%", "%}", "{#", "#}", "{{-", "-}}", "{", "}", "\r\n", "\n", "{{ a", "{% raw %}"]),
    names.map("{{{{{}}}}}".format),
    names.map("{{{{ {}\t}}}}".format),
)
templates = st.lists(pieces, max_size=6).map("".join)


def rendered(text, fields):
    """What our template makes of the fields; None for a problem."""
    try:
        return compile_template(text).render(fields)
    except TemplateProblem:
        return None


def rendered_by_jinja(text, fields):
    try:
        return JINJA.from_string(text).render(fields)
    except (jinja2.TemplateError, TypeError, ValueError, LookupError):
        return None


@settings(deadline=None)
@given(templates, st.dictionaries(names, values, max_size=6))
def test_every_template_renders_exactly_what_jinja_renders(text, fields):
    assert rendered(text, fields) == rendered_by_jinja(text, fields)


@briefly
@given(st.lists(st.one_of(st.text(alphabet="ab {}%#\n.", max_size=4), names.map("{{{{ {} }}}}".format)), max_size=5))
def test_a_template_with_all_its_names_renders_exactly_what_jinja_renders(parts):
    text = "".join(parts)
    try:
        needed = needed_names(text)
    except TemplateProblem:
        assert rendered_by_jinja(text, {}) is None
        return
    fields = {name: f"<{name}>" for name in needed}
    assert rendered(text, fields) == rendered_by_jinja(text, fields) is not None


@briefly
@given(names, values)
def test_a_field_of_any_name_and_value_goes_in_as_str_makes_it(name, value):
    if name in {"not", "None", "true"}:
        return  # words of the language, not names
    assert compile_template("a {{ " + name + " }} b").render({name: value}) == f"a {value} b"


@pytest.mark.parametrize("text", ["{{ a }}", "{{ a }}{% if b %}{{ b }}{% endif %}"])
@briefly
@given(value=st.text(alphabet="{}%#ab \n", max_size=20))
def test_a_value_that_looks_like_a_template_passes_unchanged(text, value):
    fields = {"a": value, "b": "{{ a }}"}
    expected = value + "{{ a }}" if "if" in text else value
    assert compile_template(text).render(fields) == expected


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("no names at all", set()),
        ("{{a}} and {{ b }} and {{a}}", {"a", "b"}),
        ("{{ a | upper }}", {"a"}),
        ("{{ a.b[c] }}", {"a", "c"}),
        ("{% for x in items %}{{ x }}{% endfor %}", {"items"}),
        ("{% set x = a %}{{ x }}", {"a"}),
        ("{{ a | default('x') }}", set()),
        ("{{ a | d('x') }} {{ b }}", {"b"}),
        ("{% if a is defined %}{{ a }}{% endif %}", set()),
        ("{% if a is undefined %}none{% else %}{{ a }}{% endif %}{{ b }}", {"b"}),
        ("{% if a is string %}{{ a }}{% endif %}", {"a"}),
        ("{{ fields['odd name'] }}", set()),
        ("{% raw %}{{ a }}{% endraw %}{# {{ b }} #}", set()),
        ("{{ range }} {{ dict }} {{ loop }}", {"range", "dict", "loop"}),
    ],
)
def test_the_needed_names_are_those_that_every_seed_must_have(text, needed):
    assert needed_names(text) == needed


def test_fields_whose_name_is_no_identifier_are_reached_through_fields():
    assert compile_template("{{ fields['odd name'] }}").render({"odd name": 7}) == "7"


@pytest.mark.parametrize("name", ["range", "dict", "loop", "namespace", "joiner", "lipsum"])
@pytest.mark.parametrize("text", ["{{ %s }}", "{%% if true %%}{{ %s }}{%% endif %%}"])
def test_a_field_may_bear_the_name_of_one_of_jinjas_own_helpers(name, text):
    assert compile_template(text % name).render({name: "mine"}) == "mine"
    with pytest.raises(TemplateProblem):
        compile_template(text % name).render({})


@pytest.mark.parametrize("text", ["{{ self }}", "{{ self }}{% if a %}{% endif %}", "a\n{{ self.b() }}"])
def test_self_is_refused_because_jinja_would_print_an_object(text):
    with pytest.raises(TemplateProblem, match="fields") as caught:
        compile_template(text)
    assert caught.value.line == text.count("\n") + 1
    assert compile_template("{{ fields['self'] }}").render({"self": "me"}) == "me"


@pytest.mark.parametrize("text", ["{{ a }}", "{{ a | upper }}"])
def test_a_missing_field_is_a_problem_that_names_it(text):
    with pytest.raises(TemplateProblem, match="'a'"):
        compile_template(text).render({"b": 1})


@pytest.mark.parametrize("absent", [{}, {"a": None}])
def test_default_makes_a_field_optional_but_null_is_a_value(absent):
    assert compile_template("{{ a | default('none') }}").render(absent) == ("None" if absent else "none")


@pytest.mark.parametrize(
    "text",
    [
        "{{ x.__class__ }}",
        "{{ x.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''.__class__ }}",
        "{{ x|attr('__class__') }}",
        "{{ x['__class__'] }}",
        "{{ [].__init__.__globals__ }}",
        "{{ x.format.__globals__ }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ fields.update({'x': 1}) }}",
        "{{ fields.clear() }}",
        "{{ items.append(1) }}",
        "{{ x.nothing }}",
    ],
)
def test_tricks_with_attributes_are_refused_and_change_nothing(text):
    fields = {"x": "text", "items": [1]}
    with pytest.raises(TemplateProblem):
        compile_template(text).render(fields)
    assert fields == {"x": "text", "items": [1]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{{ a", 1),
        ("one\n{{ a b }}", 2),
        ("one\ntwo\n{% if %}x{% endif %}", 3),
        ("{{ a }}\n\n\n{% endfor %}", 4),
        ("\n{{ a | nosuch }}", 2),
        ("\n\n{{ a is nosuch }}", 3),
        ("\r\n{{ a b }}", 2),
        ("{% if a %}\n{{ a }}\n", 2),
        ("a\n{{{a}}}", 2),
    ],
)
def test_a_syntax_error_says_its_line(text, line):
    with pytest.raises(TemplateProblem) as caught:
        compile_template(text)
    assert caught.value.line == line
    assert str(caught.value)


@pytest.mark.parametrize("text", ["{{" + "(" * 500 + "a" + ")" * 500 + "}}", "{{ 10 ** 5000 }}"])
def test_a_template_that_python_cannot_hold_is_a_problem_and_not_a_crash(text):
    with pytest.raises(TemplateProblem):
        compile_template(text).render({"a": 1})


@pytest.mark.parametrize(
    "text",
    [
        "{{ a + 1 }}",
        "{{ 1 / b }}",
        "{{ a | int + c }}",
        "{{ a.upper(1, 2) }}",
        "{{ e[5] }}",
        "{% include 'x' %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ '%d' % a }}",
    ],
)
def test_an_expression_that_fails_on_a_seed_is_a_problem_and_not_a_crash(text):
    with pytest.raises(TemplateProblem):
        compile_template(text).render({"a": "x", "b": 0, "e": []})


@pytest.mark.parametrize("text", ["a {{ x }}", "a {% if true %}{{ x }}{% endif %}", ""])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", " \n"])
def test_white_space_at_the_end_is_kept(text, end):
    template = compile_template(text + end)
    assert template.render({"x": "b"}) == ("a b" if text else "") + end


def test_a_template_can_be_rendered_again_and_again():
    template = compile_template("{{ a }}-{{ b }}")
    assert [template.render({"a": i, "b": -i}) for i in range(3)] == ["0-0", "1--1", "2--2"]


def test_plain_templates_do_not_need_the_engine():
    assert type(compile_template("{{ a }} { } }} text")).__name__ == "_PlainTemplate"
