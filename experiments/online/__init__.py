"""Online experiments: assignment, exposures, traffic, guard-rails."""

from allotrope.support.moved import names_in

__getattr__ = names_in(__name__, "allotrope.experiments.online.online")
