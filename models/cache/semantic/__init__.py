"""The semantic tier: the answer to the same question in other words, if the gate agrees."""
