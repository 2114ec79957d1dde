"""Where the vectors of questions lie, and who searches them."""
