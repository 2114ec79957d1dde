"""Who calls a server, by the credential that was shown: tokens, keys, signed tokens of others."""

from allotrope.identity.principal import OPERATOR, Principal

__all__ = ["OPERATOR", "Principal"]
