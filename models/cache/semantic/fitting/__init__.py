"""Fitting the gate's score on labelled pairs of questions."""
