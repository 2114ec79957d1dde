"""Opens the cache that the settings describe."""

import importlib
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from langchain_core.caches import BaseCache
from langchain_core.embeddings import Embeddings

from allotrope.exceptions import InputError, SettingsError
from allotrope.models.cache.answers import AnswerCache
from allotrope.models.cache.connecting import open_answers
from allotrope.models.cache.redis_cache import RedisCache
from allotrope.models.providers.provider import alone
from allotrope.settings import Settings
from allotrope.stores.redis.client import LazyCluster
from allotrope.support.extras import install
from allotrope.support.providers import CATALOGUED, PROVIDERS, embedding_options, in_process

if TYPE_CHECKING:
    from allotrope.models.cache.semantic.index.vectors import VectorIndex
    from allotrope.models.cache.semantic.tier import SemanticTier
    from allotrope.models.cache.semantic.verify import Verifier
    from allotrope.models.chain import FailoverChain

logger = logging.getLogger("allotrope.cache")

VERIFY_S = 5.0
"""How long a verifying model may think."""

LOOKUP_S = 5.0
"""How long a look-up may wait for the vector of its question."""


def open_semantic(
    settings: Settings, answers: AnswerCache, *, embeddings: Embeddings | None = None
) -> "SemanticTier | None":
    """The semantic tier of the settings.

    Args:
        settings: Which embeddings, which precision, which coefficients.
        answers: The exact tier it stands on.
        embeddings: Used instead of the ones the settings name.

    Returns:
        None where it is off, or where no embeddings are named; a log line says so.

    Raises:
        SettingsError: The embeddings can't be made.
        InputError: The coefficients can't be read.
    """
    semantic = settings.cache.semantic
    if semantic.mode == "off":
        return None
    name = semantic.embeddings or ("" if embeddings is None else type(embeddings).__qualname__)
    if not name:
        logger.info(
            "The semantic cache is off: no embeddings. Set ALLOTROPE_CACHE__SEMANTIC__EMBEDDINGS."
        )
        return None
    from allotrope.models.cache.semantic.gate import SafetyGate
    from allotrope.models.cache.semantic.score import load_scorer
    from allotrope.models.cache.semantic.tier import SemanticTier

    gate = SafetyGate(
        load_scorer(semantic.coefficients),
        precision=semantic.precision,
        verified=semantic.verify is not None,
    )
    return SemanticTier(
        answers,
        embeddings or open_embeddings(settings, within_s=LOOKUP_S),
        gate=gate,
        name=name,
        verify=None if semantic.verify is None else open_verifier(settings, semantic.verify),
        index=_index(answers),
    )


def _index(answers: AnswerCache) -> "VectorIndex":
    """Who keeps and searches the vectors; nothing is asked yet."""
    from allotrope.models.cache.semantic.index.vectors import ChosenIndex, MirrorIndex

    semantic = answers.settings.semantic
    mirror = MirrorIndex(answers.codec, limit=semantic.max_entries)
    why = ""
    if not answers.shared:
        why = "there is no Redis"
    elif isinstance(answers.client, LazyCluster):
        why = "in a cluster the vectors stay with their answers"
    elif answers.settings.encryption_key is not None:
        why = "Redis can't search what is encrypted"
    elif find_spec("redisvl") is None:
        why = f"redisvl is missing: {install('redisearch')}"
    if semantic.index == "redis":
        if why:
            raise SettingsError(
                f"ALLOTROPE_CACHE__SEMANTIC__INDEX is redis, but {why}.",
                hint="Set it to auto or process.",
            )
        return _in_redis(answers)
    if why or semantic.index == "process":
        return mirror
    return ChosenIndex(mirror, lambda: _in_redis(answers))


def _in_redis(answers: AnswerCache) -> "VectorIndex":
    from allotrope.models.cache.semantic.index.redisearch import RedisSearchIndex

    return RedisSearchIndex(answers.prefix)


def open_verifier(settings: Settings, name: str) -> "Verifier":
    """The cheap model that has the last word on semantic hits.

    Args:
        settings: Keys and addresses of the providers.
        name: A role (`economical`), `embedded`, or the form of `init_chat_model`,
            `openai:gpt-4o-mini`.

    Raises:
        SettingsError: It can't be made.
    """
    from langchain.chat_models import init_chat_model

    from allotrope.models.cache.semantic.verify import Verifier

    try:
        provider, _, model = (name if ":" in name else _of_role(settings, name)).partition(":")
        if provider in PROVIDERS and (model or in_process(provider)):
            return Verifier(_guarded_verifier(settings, provider, model))
        return Verifier(init_chat_model(name, temperature=0))
    except Exception as exc:
        raise SettingsError(
            f"ALLOTROPE_CACHE__SEMANTIC__VERIFY is {name!r}, which can't be used: {exc}.",
            hint="Write a role, such as economical, or provider:model, such as openai:gpt-4o-mini.",
        ) from exc


def _of_role(settings: Settings, name: str) -> str:
    """The `provider:model` of a role; the embedded model by its own name."""
    from allotrope.models.catalogue.roles import models_by_role

    if in_process(name):
        return f"{name}:"
    roles = models_by_role(settings)
    if name not in roles:
        raise InputError(f"there is no role {name!r}; there are {', '.join(sorted(roles))}")
    return f"{CATALOGUED}:{roles[name]}"


def _guarded_verifier(settings: Settings, provider: str, model: str) -> "FailoverChain":
    """A model behind the breaker: in an outage it says no at once, nobody waits for it."""
    from allotrope.models.breaker.opening import circuits_of
    from allotrope.models.chain import build_chain

    once = settings.resilience.model_copy(update={"attempts": 1})
    within_s = None if in_process(provider) else VERIFY_S
    return build_chain(
        alone(settings, provider, model, within_s=within_s).model_copy(update={"resilience": once}),
        arguments={provider: {"temperature": 0}},
        circuits=circuits_of(settings),
        function="verify",
    )


def open_embeddings(
    settings: Settings,
    name: str | None = None,
    *,
    where: str = "ALLOTROPE_CACHE__SEMANTIC__EMBEDDINGS",
    within_s: float = 60.0,
) -> Embeddings:
    """The embeddings of a name, with key and address from the settings.

    Args:
        settings: Key and address of the provider.
        name: `provider:model`, as `init_embeddings` takes it; default: the semantic cache's.
        where: Where the name stands, for the complaint.
        within_s: Seconds that one request may take.

    Raises:
        SettingsError: None are named, or they can't be made.
    """
    from langchain.embeddings import init_embeddings

    name = name or settings.cache.semantic.embeddings
    if not name:
        raise SettingsError(
            "No embeddings are set.",
            hint="Set ALLOTROPE_CACHE__SEMANTIC__EMBEDDINGS, or give --vectors.",
        )
    try:
        made = init_embeddings(name, **embedding_options(name, settings, within_s))
    except Exception as exc:
        raise SettingsError(
            f"{where} is {name!r}, which can't be used: {exc}.",
            hint="Write provider:model, such as openai:text-embedding-3-small.",
        ) from exc
    if not isinstance(made, Embeddings):
        raise SettingsError(f"{name!r} names no embeddings.")
    return made


def open_cache(settings: Settings) -> BaseCache | None:
    """The cache for the chain: ours, or the LangChain cache that `cache.factory` gives.

    Returns:
        None where the cache is switched off.

    Raises:
        SettingsError: `cache.factory` leads nowhere.
    """
    if not settings.cache.enabled:
        return None
    if settings.cache.factory is None:
        answers = open_answers(settings)
        return RedisCache(answers, semantic=open_semantic(settings, answers))
    module, _, name = settings.cache.factory.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(settings)
    except (ImportError, AttributeError, ValueError) as exc:
        raise SettingsError(
            f"ALLOTROPE_CACHE__FACTORY is {settings.cache.factory!r}, which can't be used: {exc}.",
            hint="Write module:function; the function gets the settings and gives a BaseCache.",
        ) from exc
    if not isinstance(made, BaseCache):
        raise SettingsError(
            f"ALLOTROPE_CACHE__FACTORY gave a {type(made).__name__}, which is no BaseCache."
        )
    return made
