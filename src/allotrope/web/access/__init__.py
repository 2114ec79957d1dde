"""Who may call: credentials, sessions, limits, proxies."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.web.access.access")
