"""Test helpers for users of Allotrope: the provider simulator and a scripted chat model."""
