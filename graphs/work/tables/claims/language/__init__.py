"""How answers write numbers, dates and comparisons."""
