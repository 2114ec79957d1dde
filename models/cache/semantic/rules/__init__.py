"""What two questions may not differ in, whatever their score: spelling, literals, material."""
