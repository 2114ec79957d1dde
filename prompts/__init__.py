"""The prompt templates, as text files, and the library that loads, versions and renders them."""

from allotrope.prompts.library import PromptLibrary, open_library
from allotrope.prompts.template import PromptTemplateVersion

__all__ = ["PromptLibrary", "PromptTemplateVersion", "open_library"]
