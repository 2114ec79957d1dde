"""The commands of `allotrope models`."""
