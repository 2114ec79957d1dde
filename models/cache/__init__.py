"""The answer cache: an exact tier and a semantic tier behind a safety gate."""

from allotrope.models.cache.answers import AnswerCache
from allotrope.models.cache.connecting import open_answers
from allotrope.models.cache.factory import open_cache, open_semantic
from allotrope.models.cache.redis_cache import RedisCache

__all__ = ["AnswerCache", "RedisCache", "open_answers", "open_cache", "open_semantic"]
