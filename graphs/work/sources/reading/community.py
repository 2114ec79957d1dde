"""The one place where langchain-community is imported."""

import importlib
import warnings
from types import ModuleType


def community(module: str) -> ModuleType:
    """Imports a module of langchain-community, late and without its farewell.

    The package warns at import that it is no longer maintained. We know: only its document loaders
    and its BM25 retriever are used, over libraries that are (pypdf, BeautifulSoup,
    rank-bm25). Only that one warning is silenced.

    Args:
        module: Name below `langchain_community`, for example `document_loaders`.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message="`langchain-community` is being sunset",
            category=DeprecationWarning,
        )
        return importlib.import_module(f"langchain_community.{module}")
