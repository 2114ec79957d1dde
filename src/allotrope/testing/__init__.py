"""Test helpers for users of Allotrope: the provider simulator and a scripted chat model."""

from allotrope.testing.content.catalog import SimModel, model_rules
from allotrope.testing.content.replies import Asked, Reply, SimRequest, ToolCall, ToolSpec, Turn
from allotrope.testing.faults import KINDS, Fault, FaultPlan
from allotrope.testing.scripted import ScriptedChatModel
from allotrope.testing.simulator import ProviderSimulator

__all__ = [
    "KINDS",
    "Asked",
    "Fault",
    "FaultPlan",
    "ProviderSimulator",
    "Reply",
    "ScriptedChatModel",
    "SimModel",
    "SimRequest",
    "ToolCall",
    "ToolSpec",
    "Turn",
    "model_rules",
]
