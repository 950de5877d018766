"""Chat templates are read, never rendered: real ones pass, and each way to crash, hang or escape is named."""

from __future__ import annotations

import sys
import threading

import pytest

from linnet.formats.chat_template import MAX_BYTES, check_template
from tests.gguf_files import CHATML

LLAMA_3 = """
{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
{%- endif %}
{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("One tool call at once!") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {%- for arg_name, arg_val in tool_call.arguments | items %}
            {{- arg_name + '="' + arg_val + '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}
        {%- endfor %}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {%- if message.content is mapping or message.content is iterable %}{{- message.content | tojson }}
        {%- else %}{{- message.content }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""
MISTRAL = """
{%- set loop_messages = messages[1:] if messages[0]["role"] == "system" else messages %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0, found=false) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results") %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("Roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- for key, val in tool.function.items() if key != "return" %}
                    {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}
                    {%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
            {%- endfor %}
            {{- "] [/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {{- "[INST] " + message["content"] + "[/INST]" }}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.id|length != 9 %}{{- raise_exception("Tool call IDs have 9 characters!") }}{%- endif %}
            {{- (tool_call.function|tojson)[:-1] + ', "id": "' + tool_call.id + '"}' }}
        {%- endfor %}
        {{- eos_token }}
    {%- else %}{% generation %}{{- " " + message["content"]|trim + eos_token }}{% endgeneration %}
    {%- endif %}
{%- endfor %}
"""
GEMMA = """
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}
{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
{{ '<start_of_turn>' + role + '\\n' }}
{% if message['content'] is iterable and message['content'] is not string %}
  {% for item in message['content'] %}
    {% if item['type'] == 'image' %}{{ '<start_of_image>' }}
    {% elif item['type'] == 'text' %}{{ item['text'] | trim }}{% endif %}
  {% endfor %}
{% else %}{{ message['content'] | trim }}{% endif %}{{ '<end_of_turn>\\n' }}
{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}
"""
PHI_TOOLS = """
{%- macro visible(content) -%}
    {%- if content is string -%}{{ content }}
    {%- else -%}{%- for item in content -%}{{ item.text or '' }}{%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- macro describe(tool, depth=0) -%}
    {{- ' ' * 2 ~ tool.name ~ '(' }}
    {%- for name, value in tool.parameters.properties.items() -%}
        {{- name ~ ': ' ~ value.type }}{{ '' if loop.last else ', ' }}
    {%- endfor -%}
    {{- ')' ~ visible(tool.description) }}
{%- endmacro -%}
{%- set ns = namespace(last=messages|length - 1, multi=true) -%}
{%- for message in messages[::-1] -%}
    {%- set index = (messages|length - 1) - loop.index0 -%}
    {%- if ns.multi and message.role == 'user' and not (message.content.startswith('<tool_response>')) -%}
        {%- set ns.multi = false -%}{%- set ns.last = index -%}
    {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
    {%- if message.role == 'system' and 'tools' in message and message.tools -%}
        {{- '<|system|>' + message.content + '<|tool|>' + message.tools|tojson + '<|/tool|><|end|>' -}}
    {%- elif loop.index0 > ns.last and '</think>' in visible(message.content) -%}
        {%- set content = visible(message.content).split('</think>')[-1].lstrip('\\n') -%}{{ content }}
    {%- else -%}
        {%- if loop.index0 > 200 -%}{%- break -%}{%- endif -%}
        {{- '<|' + message.role + '|>' + visible(message.content) + '<|end|>' -}}
    {%- endif -%}
{%- endfor -%}
{%- for tool in tools or [] -%}{{ describe(tool) }}{%- endfor -%}
{%- for n in range(3) -%}{{ '-' * 10 }}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
REAL = {"ChatML": CHATML, "Llama 3": LLAMA_3, "Mistral": MISTRAL, "Gemma": GEMMA, "Phi with tools": PHI_TOOLS}


@pytest.mark.parametrize("name", REAL)
def test_rule_10_templates_in_the_style_of_real_ones_pass(name: str) -> None:
    report = check_template(REAL[name])
    assert (report.ok, report.refusal, report.unknown_filters) == (True, "", ())
    assert report.length == len(REAL[name].encode())


def refusal(source: str) -> str:
    report = check_template(source)
    assert not report.ok
    assert report.refusal.startswith("The chat template ")
    return report.refusal


def test_rule_10_length() -> None:
    assert check_template("x" * MAX_BYTES).ok
    assert f"{MAX_BYTES + 1} bytes" in refusal("x" * (MAX_BYTES + 1))
    assert "262146 bytes" in refusal("é" * (MAX_BYTES // 2 + 1))


def test_rule_10_names_and_marks() -> None:
    assert check_template("{{a}}" * 10_000).ok
    assert "more than 40000 names and marks" in refusal("{{a}}" * 20_000)


@pytest.mark.parametrize("pair", ["()", "[]"])
def test_rule_10_depth_of_brackets(pair: str) -> None:
    def nested(depth: int) -> str:
        return "{{ " + pair[0] * depth + "1" + pair[1] * depth + " }}"

    assert check_template(nested(100)).ok
    assert "brackets deeper than 100" in refusal(nested(101))


def test_rule_10_depth_of_blocks() -> None:
    def nested(depth: int) -> str:
        return "{% if a %}" * depth + "x" + "{% endif %}" * depth

    assert check_template(nested(100)).ok
    assert "blocks deeper than 100" in refusal(nested(101))
    assert check_template("{% if a %}x{% endif %}" * 500).ok
    assert check_template("{% set a = 1 %}" * 500).ok
    assert check_template("{% set a %}1{% endset %}" * 500).ok


def test_rule_10_a_long_row_of_elif() -> None:
    assert check_template("{% if a %}" + "{% elif b %}x" * 400 + "{% endif %}").ok
    assert not check_template("{% if a %}" + "{% elif b %}x" * 401 + "{% endif %}").ok


def test_rule_10_both_depths_at_once() -> None:
    source = "{% if a %}" * 100 + "{{ " + "(" * 100 + "1" + ")" * 100 + " }}" + "{% endif %}" * 100
    before = sys.getrecursionlimit()
    assert check_template(source).ok
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize("link", ["+a", "|trim", ".a", "[0]", "~a*a", " or not a", " if a else a"])
def test_rule_10_long_chains(link: str) -> None:
    assert check_template("{{ a" + link * 20 + " }}").ok
    assert not check_template("{{ a" + link * 3000 + " }}").ok


@pytest.mark.parametrize(
    "source",
    [
        "{% macro a(x) %}{{ a(x) }}{% endmacro %}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}",
        "{% macro a() %}{% call a() %}{% endcall %}{% endmacro %}",
        "{% macro a() %}{% macro b() %}{{ a() }}{% endmacro %}{{ b() }}{% endmacro %}",
    ],
)
def test_rule_10_macros_that_call_themselves(source: str) -> None:
    assert "that calls itself" in refusal(source)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("{% macro a() %}{{ f() }}{% endmacro %}{% set f = a %}", "hands on the macro 'a'"),
        ("{% macro a(f) %}{{ f(f) }}{% endmacro %}", "calls what it was given"),
        ("{% macro a(f) %}{{ f[0](f) }}{% endmacro %}", "cannot be seen"),
        ("{% macro a() %}{% endmacro %}{% macro a() %}{% endmacro %}", "twice"),
        ("{% block a %}{{ self.a() }}{% endblock %}", "'self'|defines a block"),
    ],
)
def test_rule_10_recursion_by_another_door(source: str, word: str) -> None:
    assert any(part in refusal(source) for part in word.split("|"))


def test_rule_10_macros_that_call_each_other_in_order_pass() -> None:
    assert check_template("{% macro a(x) %}{{ x }}{% endmacro %}{% macro b(x) %}{{ a(x) }}{% endmacro %}{{ b(1) }}").ok
    assert check_template("{% macro a(x) %}{{ x }}{% endmacro %}{% if a is defined %}{{ a(1) }}{% endif %}").ok


@pytest.mark.parametrize(
    "expression",
    [
        "range({n})",
        "range(0, {n})",
        "'a' * {n}",
        "{n} * 'a'",
        "'a' * 2 * {n}",
        "'a'|center({n})",
        "'a'|indent(width={n})",
        "lipsum({n})",
        "'a'.ljust({n})",
        "range(1 + {n} - 1)",
        "range({n}|int)",
        "range({n} if a else 1)",
    ],
)
def test_rule_10_constants(expression: str) -> None:
    def source(number: str) -> str:
        return "{{ " + expression.replace("{n}", number) + " }}"

    assert check_template(source("4000")).ok
    for number in ("10001", "10**9", "1000*1000", "9999999999999999999999", "1e9", "(-99999)"):
        assert not check_template(source(number)).ok


def test_rule_10_at_the_limit() -> None:
    assert check_template("{{ range(10000) }}{{ 'a' * 10000 }}").ok
    assert not check_template("{{ range(10001) }}").ok
    assert not check_template("{{ 'a' * 10001 }}").ok


@pytest.mark.parametrize(
    "source",
    [
        "{% set n = 10**9 %}{% for i in range(n) %}x{% endfor %}",
        "{% set a = 5000 %}{% set b = a * a %}{{ 'x' * b }}",
        "{% set ns = namespace() %}{% set ns.n = 99999 %}{{ range(ns.n) }}",
        "{% for i in range(200) %}{% for j in range(200) %}x{% endfor %}{% endfor %}",
        "{% for i in 'x' * 200 %}{% for j in [1]*200 %}x{% endfor %}{% endfor %}",
        "{% macro a() %}{% for i in range(99) %}{% endfor %}{% endmacro %}{% for i in range(200) %}{{ a() }}{%endfor%}",
        "".join(f"{{% macro m{n} %}}{{{{ m{n + 1}() }}}}{{{{ m{n + 1}() }}}}{{% endmacro %}}" for n in range(40))
        + "{% macro m40() %}x{% endmacro %}{{ m0() }}",
        "{% set x = 'a' %}{% for m in messages %}{% set x = x ~ x %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for m in messages %}{% set ns.x = ns.x + 'b' + ns.x %}{% endfor %}",
        "{{ '%1000000000d'|format(1) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '%*d' % (99999, 1) }}",
        "{{ a ** b }}",
        "{{ a*100*b*101 }}",
        "{{ " + "9" * 5000 + " }}",
    ],
)
def test_rule_10_work(source: str) -> None:
    refusal(source)


def test_rule_10_loops_over_data_and_small_numbers_pass() -> None:
    nested = (
        "{% for m in messages %}{% for t in m.tools %}{% for p in t.p %}{{ p }}{% endfor %}{% endfor %}{% endfor %}"
    )
    assert check_template(nested).ok
    assert check_template("{% for i in range(100) %}{% for j in range(100) %}x{% endfor %}{% endfor %}").ok
    assert check_template("{% set ns = namespace(x='') %}{% set ns.x = ns.x + 'b' %}").ok
    assert check_template("{% if messages|length > 100000 %}x{% endif %}").ok
    assert check_template("{{ '{\"id\": 123456789}' }}").ok


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("{{ ''.__class__.__mro__ }}", "'__mro__'"),
        ("{{ ''['__class__'] }}", "'__class__'"),
        ("{{ ''['__cla' ~ 'ss__'] }}", "'__class__'"),
        ("{{ ''|attr('__class__') }}", "'__class__'"),
        ("{{ ''|attr(x) }}", "cannot be seen"),
        ("{{ x|map(attribute='__class__.__base__')|list }}", "'__class__'"),
        ("{{ raise_exception.__globals__ }}", "'__globals__'"),
        ("{{ __import__('os') }}", "'__import__'"),
        ("{% include '/etc/passwd' %}", "includes another file"),
        ("{% import 'a' as b %}", "imports another file"),
        ("{% from 'a' import b %}", "imports another file"),
        ("{% extends 'a' %}", "extends another file"),
        ("{% for a in b recursive %}{{ loop(b) }}{% endfor %}", "loop that calls itself"),
    ],
)
def test_rule_10_ways_out(source: str, word: str) -> None:
    assert word in refusal(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{",
        "{% if %}",
        "{% if a %}",
        "{{ a b }}",
        "{{ 'a }}",
        "{% nothing %}",
        "{{ (] }}",
        "{{ '\\N{x}' }}",
    ],
)
def test_rule_10_not_valid(source: str) -> None:
    refusal(source)


def test_rule_10_unknown_filters_are_listed_and_pass() -> None:
    report = check_template("{{ a|glitter|trim|sparkle|tojson }}")
    assert report.ok
    assert report.unknown_filters == ("glitter", "sparkle")


def test_many_at_once_leave_the_limit_of_recursion_alone() -> None:
    before = sys.getrecursionlimit()
    source = "{{ " + "(" * 90 + "1" + ")" * 90 + " }}"
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.extend(check_template(source).ok for _ in range(5))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 40
    assert sys.getrecursionlimit() == before
