"""Allotrope: LangChain/LangGraph agents that stay cheap, fast and up."""
