"""Chat templates of our own, for base models that have none. Written into what is tuned with them."""

from __future__ import annotations

from collections.abc import Collection

# The form of ChatML (OpenAI's chat markup), with functions and calls as Hermes-style models write them.
CHATML = (
    "{%- if tools %}{{- '<|im_start|>system\\n' }}"
    "{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] + '\\n\\n' }}{%- endif %}"
    "{{- 'Functions that may be called:' }}{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}"
    '{{- \'\\nA call is <tool_call>{"name": ..., "arguments": {...}}</tool_call><|im_end|>\\n\' }}{%- endif %}'
    "{%- for message in messages %}{%- if not (tools and loop.first and message['role'] == 'system') %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['content'] %}{{- message['content'] }}{%- endif %}"
    "{%- for call in message['tool_calls'] or [] %}"
    "{%- if message['content'] or not loop.first %}{{- '\\n' }}{%- endif %}"
    "{{- '<tool_call>{\"name\": ' }}{{- call['function']['name'] | tojson }}{{- ', \"arguments\": ' }}"
    "{{- call['function']['arguments'] | tojson }}{{- '}</tool_call>' }}{%- endfor %}"
    "{{- '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# For a tokenizer without ChatML's tokens: headings in plain text, an answer ends with the model's own end token.
PLAIN = (
    "{%- for message in messages %}{%- if message['role'] == 'assistant' %}"
    "{{- '### Assistant:\\n' + message['content'] + eos_token + '\\n\\n' }}{%- else %}"
    "{{- '### ' + message['role'] | capitalize + ':\\n' + message['content'] + '\\n\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '### Assistant:\\n' }}{%- endif %}"
)
NAMED = {"chatml": CHATML, "plain": PLAIN}
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")


def fitting_template(tokens: Collection[str]) -> str:
    """The name of the template for a tokenizer with these added tokens."""
    return "chatml" if set(CHATML_TOKENS) <= set(tokens) else "plain"
