"""Practice data for pre-training our small decoder: short tasks whose answers can be checked against the prompt."""

from .core import Message, Sample, Skill, Split
from .stock import SENTENCES, SKILLS, stream

__all__ = ["SENTENCES", "SKILLS", "Message", "Sample", "Skill", "Split", "stream"]
