"""Recommendations from the ledger: a rule per file, silent when the data is too little."""

from allotrope.usage.advice.rules.base import Recommendation, RuleData
from allotrope.usage.advice.rules.registry import RULES, recommend

__all__ = ["RULES", "Recommendation", "RuleData", "recommend"]
