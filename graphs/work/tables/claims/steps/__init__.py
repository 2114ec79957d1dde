"""What a number can follow from by one step."""
