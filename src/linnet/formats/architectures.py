"""The architectures of llama.cpp by name, and how much of each can be demanded. Names only."""

from __future__ import annotations

_REGULAR = """
apertus arcee baichuan bert bitnet bloom chatglm codeshell cohere2 command-r dream ernie4_5 eurobert exaone
exaone4 falcon gemma gemma-embedding gemma2 gemma3 glm4 gpt2 gptj gptneox granite hunyuan-dense internlm2 jais
jina-bert-v2 jina-bert-v3 llada llama llama-embed maincoder minicpm minicpm3 mistral3 modern-bert mpt nemotron
nomic-bert olmo olmo2 orion pangu-embedded phi2 phi3 plamo plm qwen qwen2 qwen2vl qwen3 qwen3vl refact
seed_oss smollm3 stablelm starcoder starcoder2 t5 t5encoder xverse
"""
_VARIED = """
afmoe arctic arwkv7 bailingmoe bailingmoe2 chameleon cogvlm dbrx deci deepseek deepseek2 deepseek2-ocr dots1
ernie4_5-moe exaone-moe falcon-h1 gemma3n gemma4 glm-dsa glm4moe gpt-oss granitehybrid granitemoe grok
grovemoe hunyuan-moe hunyuan_vl jais2 jamba kimi-linear lfm2 lfm2moe llada-moe llama4 mamba mamba2 mimo2
minimax-m2 mistral4 nemotron_h nemotron_h_moe neo-bert nomic-bert-moe olmoe openelm paddleocr phimoe plamo2
plamo3 qwen2moe qwen35 qwen35moe qwen3moe qwen3next qwen3vlmoe rnd1 rwkv6 rwkv6qwen2 rwkv7 smallthinker step35
wavtokenizer-dec
"""
# Attention and a feed-forward net of one shape in every block: all sizes must be there.
REGULAR = frozenset(_REGULAR.split())
# Blocks that differ, experts only, or no attention at all: fewer sizes can be demanded.
VARIED = frozenset(_VARIED.split())
KNOWN = REGULAR | VARIED
