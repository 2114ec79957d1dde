"""Finding lengths, words and forms among the tokens of a brief."""
