"""The dashboard's pages, charts and filters."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.web.dashboard.pages")
